// What the host sees: exports only. Codes and limits are in abi.ts, which both sides import.

export {
  checksumRepeat,
  copyBytesRepeat,
  iommuMapReadUnmap,
  iommuMapUnmap,
  iommuTranslateAll,
  iommuWalkAll,
  memoryCopyRepeat,
  pageAllocRepeat,
  pageFlipRepeat,
  pageQueueFill,
  segmentRepeat,
  tableTakeGive,
  tlsfTakeGive,
  toeplitzRepeat,
} from "./bench";
export { deviceRaiseNeedsReset } from "./device";
export {
  spaceMap,
  spaceMapCoherent,
  spaceMapSg,
  spacePlace,
  spaceSyncForCpu,
  spaceSyncForDevice,
  spaceTick,
  spaceUnmap,
  spaceUnmapCoherent,
  spaceUnmapSg,
} from "./dma/calls";
export { faultLogBytes, faultLogInit } from "./dma/faults";
export {
  iommuDomainBytes,
  iommuInit,
  iommuMap,
  iommuPlace,
  iommuTick,
  iommuTranslate,
  iommuUnmap,
  iommuWalk,
  iommuWatch,
} from "./dma/iommu";
export { iommuCheck, iommuCheckBytes } from "./dma/iommu-check";
export { iovaGive, iovaTake } from "./dma/iova";
export { magazinesEmpty, magazinesGive, magazinesTake } from "./dma/magazines";
export { spaceInit, spaceSetBackend } from "./dma/space";
export { swiotlbBytes, swiotlbInit } from "./dma/swiotlb";
export { arenaInit, arenaSeal, arenaTakePrivate, arenaTakeShared } from "./mem/arena";
export { copyBytes } from "./mem/copy";
export { fnv1a } from "./mem/digest";
export { numbersInit } from "./mem/numbers";
export { PAGE_LOG_BYTES } from "./mem/page-log";
export {
  pagesCheck,
  pagesControlBytes,
  pagesDescriptorBytes,
  pagesGet,
  pagesInit,
  pagesPut,
  pagesTake,
} from "./mem/pages";
export { pinsBytes, pinsInit, pinsSum } from "./mem/pins";
export { stackBytes } from "./mem/stack";
export {
  tlsfCheck,
  tlsfControlBytes,
  tlsfFreeBytes,
  tlsfGive,
  tlsfInit,
  tlsfLiveBlocks,
  tlsfRegionBytes,
  tlsfTake,
} from "./mem/tlsf";
export { opTraceBytes, opTraceInit } from "./mem/trace";
export {
  checksumSeed,
  checksumVerify,
  coalesceAdd,
  coalesceFlush,
  coalesceReady,
  coalesceRelease,
  coalesceReset,
  coalescerInit,
  hashFrame,
  parseFrame,
  parseTunnel,
  segmentBurst,
  segmentNext,
  segmentStart,
} from "./net/calls";
export { checksumAddOdd, checksumComplete, checksumFold } from "./net/checksum";

export { coalescerBytes } from "./net/coalescer";

export { netControlAnswer, netControlNext } from "./net/control";
export {
  netDeviceBytes,
  netDeviceDecide,
  netDeviceInit,
  netDeviceNegotiated,
  netDeviceQueueStart,
  netDeviceQueueStop,
  netDeviceReset,
  netDeviceSetAllCoalescing,
  netDeviceSetCoalescing,
  netDeviceSetHash,
  netDeviceSetMac,
  netDeviceSetMacTable,
  netDeviceSetMode,
  netDeviceSetOffloads,
  netDeviceSetPairs,
  netDeviceSetVlan,
  netDeviceTick,
} from "./net/device";
export { netDeviceForgetReceived, netDeviceReceive } from "./net/device-receive";
export { netDeviceForgetSegments, netDeviceTransmit } from "./net/device-transmit";
export {
  netDriverBytes,
  netDriverInit,
  netDriverNegotiated,
  netDriverQueueBuffers,
  netDriverQueueStart,
  netReceiveBytes,
} from "./net/driver";
export { netDriverDrain, netDriverFill, netDriverReceive } from "./net/driver-receive";
export { netDriverDetach, netDriverReclaim, netDriverTransmit } from "./net/driver-transmit";
export { netHeaderBytes, offloadsOf, tunnelBitsContradict } from "./net/header";

export { checksumAdd, checksumCopy } from "./net/sum";
export { toeplitzHash, toeplitzPrepare } from "./net/toeplitz";
export * from "./offsets";
export { framesOut } from "./path/app";
export { portsCheck } from "./path/check";
export { hostEngineBytes, hostEngineInit } from "./path/host-engine";
export { passthruWireBytes, passthruWireInit } from "./path/host-passthru";
export { inFlightBytes, inFlightInit } from "./path/in-flight";
export {
  passthruBytes,
  passthruForget,
  passthruInit,
  passthruLost,
  passthruOutstanding,
} from "./path/passthru";
export { passthruGuestGives, passthruGuestPops } from "./path/passthru-guest";
export {
  passthruArrive,
  passthruAsk,
  passthruBind,
  passthruCancel,
  passthruComplete,
  passthruStop,
  passthruSubmit,
} from "./path/passthru-user";
export { passthruDepart, passthruSent } from "./path/passthru-write";
export { portBytes } from "./path/port";
export {
  portClose,
  portDigest,
  portNumbers,
  portOpen,
  portSettle,
  portsReceive,
  portsTransmit,
  portWakes,
} from "./path/run";
export { portFlat } from "./path/transmit";
export {
  bufferBytePlace,
  bufferPlace,
  bufferWritten,
  deviceBufferRead,
  deviceBufferWrite,
} from "./ring/access";
export { packedLoop, splitLoop } from "./ring/loop";
export { mappingBytes } from "./ring/mappings";
export {
  packedDeviceArm,
  packedDeviceEnable,
  packedDeviceMarkAllUsed,
  packedDeviceMarkUsed,
  packedDevicePop,
  packedDevicePublishUsed,
  packedDeviceResume,
  packedDeviceShadowBytes,
  packedDeviceSuppress,
} from "./ring/packed-device";
export {
  packedDriverAdd,
  packedDriverArm,
  packedDriverDetach,
  packedDriverEnable,
  packedDriverNotificationData,
  packedDriverPublish,
  packedDriverReclaim,
  packedDriverSuppress,
} from "./ring/packed-driver";
export { queueResume, queueStop, queueSuspend } from "./ring/queue";
export {
  splitDeviceArm,
  splitDeviceEnable,
  splitDeviceMarkAllUsed,
  splitDeviceMarkUsed,
  splitDevicePop,
  splitDevicePublishUsed,
  splitDeviceResume,
  splitDeviceShadowBytes,
  splitDeviceSuppress,
} from "./ring/split-device";
export {
  splitDriverAdd,
  splitDriverArm,
  splitDriverDetach,
  splitDriverEnable,
  splitDriverNotificationData,
  splitDriverPublish,
  splitDriverReclaim,
  splitDriverSuppress,
} from "./ring/split-driver";
export { tablesListed } from "./ring/tables";
export { consumerInit } from "./rx/consumer";
export { headersBytes } from "./rx/headers";
