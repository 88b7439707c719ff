// A host that leaves the copies to a copy engine, both ways: it submits a job for each piece of a packet, and shows the
// packet's buffers when all of them are done. Packets go on in the order in which they came.
//
//               first                  first + count
//   packets  | ... | packet | packet | ...                 a ring: who waits for how many jobs
//   used     | ... | {handle, bytes} of each buffer | ...  a ring, in the order of the packets
//
// While the queue of jobs has no room the host submits nothing: what was popped, or the wire's frames, wait. A job
// that failed is copied by the CPU when it is polled, and so is a packet of more pieces than the queue holds.

import { ACCESS_SCATTERED, COPY_JOB, IOMMU_FAULT, PAGE_SIZE, POP_HEADER, SEGMENT, USED_RECORD } from "../abi";
import { copyBytes } from "../mem/copy";
import { bufferBytePlace, bufferPlace, bufferWrite, bufferWritten } from "../ring/access";
import { POP_READABLE } from "../ring/device";
import { isLive } from "../ring/queue";
import { countCpuCopy, countEngineCopy } from "./copies";
import { CopyEngine, copyEngineTurn, JOB_FAILED, jobAt, jobPut, jobsFree } from "./copy-engine";
import { countError, hostSlot } from "./host-path";
import { devicePop, Port, showStaged, stageRoom, stageUsed } from "./port";
import { walkAt, walkFrom, walkLeft, walkOn, walkPages, walkRead } from "./walk";
import { wireTakesHosts } from "./wire";

@unmanaged
export class HostEngine extends CopyEngine {
  packets: u32;
  first: u32;
  count: u32;
  used: u32;
  usedMask: u32;
  /** Counts that wrap: buffers of packets that are under way. */
  usedFirst: u32;
  usedEnd: u32;
  /** Transmit: popped records that wait for room, and the first of them. */
  restCount: u32;
  rest: u32;
}

@unmanaged
class EnginePacket {
  /** Jobs that are not polled yet. */
  jobs: u32;
  buffers: u32;
  /** Transmit: the frame in the host's buffer, and its bytes. */
  frame: u32;
  bytes: u32;
  /** Bytes of the frame that the engine has moved, and the CPU. */
  engineBytes: u32;
  cpuBytes: u32;
  /** Receive: bytes of the device header that are still to be written. */
  header: u32;
  /** 1: the CPU copies all of it. */
  byCpu: u32;
}

/** Bytes of the block and its rings: for `jobs` jobs and as many packets, and for `buffers`, both powers of two. */
export function hostEngineBytes(jobs: u32, buffers: u32): u32 {
  return offsetof<HostEngine>() + jobs * (COPY_JOB + offsetof<EnginePacket>()) + buffers * USED_RECORD;
}

/** Nothing submitted; at most `jobs` are at a time, and at most `turn` are done in a turn of the engine. */
export function hostEngineInit(at: u32, jobs: u32, turn: u32, buffers: u32): void {
  const engine = changetype<HostEngine>(at);
  memory.fill(at, 0, offsetof<HostEngine>());
  engine.jobs = at + offsetof<HostEngine>();
  engine.mask = jobs - 1;
  engine.turn = turn;
  engine.packets = engine.jobs + jobs * COPY_JOB;
  engine.used = engine.packets + jobs * offsetof<EnginePacket>();
  engine.usedMask = buffers - 1;
}

@inline
function engineOf(port: Port): HostEngine {
  return changetype<HostEngine>(port.host.engine);
}

/** The packet that came `k` after the one that waits longest. */
@inline
function packetAt(engine: HostEngine, k: u32): EnginePacket {
  return changetype<EnginePacket>(
    engine.packets + ((engine.first + k) & engine.mask) * offsetof<EnginePacket>(),
  );
}

/** The packet that is submitted. */
@inline
function newest(engine: HostEngine): EnginePacket {
  return packetAt(engine, engine.count);
}

/** The engine's own turn, which the run loop gives it; how many jobs it did. */
export function engineTurn(port: Port): u32 {
  return copyEngineTurn(engineOf(port));
}

/** Shows what is done: the packets in front whose jobs have all been polled. */
export function enginePolls(port: Port): void {
  const engine = engineOf(port);
  for (; engine.polled != engine.done; engine.polled++) {
    const job = jobAt(engine, engine.polled);
    const packet = changetype<EnginePacket>(job.owner & ~JOB_FAILED);
    if (job.owner & JOB_FAILED) {
      copyBytes(job.to, job.from, job.bytes);
      packet.cpuBytes += job.bytes;
      countError(port.host);
    } else packet.engineBytes += job.bytes;
    if (!packet.frame) bufferWritten(changetype<u32>(port.device), job.to, job.bytes);
    packet.jobs--;
  }
  while (engine.count && !packetAt(engine, 0).jobs) leave(port, engine, packetAt(engine, 0));
}

function leave(port: Port, engine: HostEngine, packet: EnginePacket): void {
  if (packet.engineBytes) countEngineCopy(port.host, packet.engineBytes);
  if (packet.cpuBytes) countCpuCopy(port.host, packet.cpuBytes);
  if (packet.frame) wireTakesHosts(port, packet.frame, packet.bytes);
  // A frame's buffers are shown together.
  stageRoom(port, packet.buffers);
  for (let k: u32 = 0; k < packet.buffers; k++) {
    const used = usedAt(engine, engine.usedFirst++);
    stageUsed(port, load<u32>(used), load<u32>(used, 4));
  }
  engine.first++;
  engine.count--;
}

@inline
function usedAt(engine: HostEngine, at: u32): u32 {
  return engine.used + (at & engine.usedMask) * USED_RECORD;
}

/** Waits for the engine, with all that the guest has sent. What a broken queue has popped is nobody's any more. */
export function engineDrain(port: Port): void {
  const engine = engineOf(port);
  const sends = changetype<u32>(port.rx) == 0;
  for (;;) {
    while (engineTurn(port)) {}
    enginePolls(port);
    showStaged(port);
    if (!isLive(port.device)) break;
    const got = sends ? devicePop(port, engineRoom(port, port.batch)) : 0;
    if (sends) engineTakes(port, got);
    if (!got && !engine.count) return;
  }
  engine.restCount = 0;
}

/** Whether the newest packet may have `jobs`: all that the queue will ever take if there are more. */
@inline
function hasRoom(engine: HostEngine, jobs: u32): bool {
  return engine.count <= engine.mask && jobsFree(engine) >= min(jobs, engine.mask + 1);
}

function begin(port: Port, jobs: u32): EnginePacket {
  const engine = engineOf(port);
  const packet = newest(engine);
  memory.fill(changetype<u32>(packet), 0, offsetof<EnginePacket>());
  packet.byCpu = <u32>(jobs > engine.mask + 1);
  return packet;
}

/** The packet has its jobs; or after a fault, which broke the queue, it never was. */
function end(engine: HostEngine, packet: EnginePacket, whole: bool): void {
  if (whole) engine.count++;
  else {
    engine.submitted -= packet.jobs;
    engine.usedEnd -= packet.buffers;
  }
}

/** The newest packet has a buffer more, with `bytes` in it once all jobs are done. */
export function engineUses(port: Port, handle: u32, bytes: u32): void {
  const engine = engineOf(port);
  const used = usedAt(engine, engine.usedEnd++);
  store<u32>(used, handle);
  store<u32>(used, bytes, 4);
  newest(engine).buffers++;
}

/** Jobs for `bytes` between `dma`, which the guest has, and `host`. False after a fault. */
function addJobs(port: Port, packet: EnginePacket, dma: u32, host: u32, bytes: u32, writes: bool): bool {
  const device = changetype<u32>(port.device);
  const place = bufferPlace(device, dma, bytes, writes);
  if (place == IOMMU_FAULT) return false;
  if (place != ACCESS_SCATTERED) {
    addJob(port, packet, place, host, bytes, writes);
    return true;
  }
  for (let at: u32 = 0; at < bytes; ) {
    const now = min(bytes - at, PAGE_SIZE - ((dma + at) & (PAGE_SIZE - 1)));
    addJob(port, packet, bufferBytePlace(device, dma + at, writes), host + at, now, writes);
    at += now;
  }
  return true;
}

@inline
function addJob(port: Port, packet: EnginePacket, guest: u32, host: u32, bytes: u32, writes: bool): void {
  packet.jobs++;
  jobPut(engineOf(port), writes ? host : guest, writes ? guest : host, bytes, changetype<u32>(packet));
}

// Transmit

/** How many packets may be popped: none while some wait. */
@inline
export function engineRoom(port: Port, most: u32): u32 {
  return engineOf(port).restCount ? 0 : most;
}

/** Takes `count` popped packets over, or goes on with those that wait. False after a fault. */
export function engineTakes(port: Port, count: u32): bool {
  const engine = engineOf(port);
  port.host.shown = 0;
  enginePolls(port);
  if (count) {
    engine.restCount = count;
    engine.rest = port.popped;
  }
  while (engine.restCount && takeRecord(port, engine, engine.rest)) {}
  showStaged(port);
  return isLive(port.device);
}

/** Takes a packet over; false if there is no room, or after a fault. */
function takeRecord(port: Port, engine: HostEngine, record: u32): bool {
  const counts = load<u32>(record, 4);
  const total = load<u32>(record, POP_READABLE);
  // What a guest says is too long, or shorter than its header, is taken from nowhere and given back.
  if (total - port.headerBytes > port.host.slotBytes - port.headerBytes) {
    port.dropsTooLong++;
    stageRoom(port, 1);
    stageUsed(port, load<u32>(record), 0);
  } else {
    walkFrom(port, record);
    const jobs = port.device.domain ? walkPages(port, total) : counts & 0xffff;
    if (!hasRoom(engine, jobs)) return false;
    const packet = begin(port, jobs);
    engineUses(port, load<u32>(record), 0);
    const whole = submit(port, packet, total - port.headerBytes);
    end(engine, packet, whole);
    if (!whole) return false;
  }
  engine.rest = record + POP_HEADER + ((counts & 0xffff) + (counts >> 16)) * SEGMENT;
  engine.restCount--;
  return true;
}

/** The device header is read at once, and the frame left to the engine. */
function submit(port: Port, packet: EnginePacket, bytes: u32): bool {
  const slot = hostSlot(port.host);
  if (!walkRead(port, slot, port.headerBytes)) return false;
  packet.frame = slot + port.headerBytes;
  packet.bytes = bytes;
  if (packet.byCpu) {
    packet.cpuBytes = bytes;
    return walkRead(port, packet.frame, bytes);
  }
  for (let to = packet.frame; bytes; ) {
    const now = walkLeft(port);
    if (!addJobs(port, packet, walkAt(port), to, now, false)) return false;
    walkOn(port, now);
    to += now;
    bytes -= now;
  }
  return true;
}

// Receive

/** Begins a frame that goes into buffers of `jobs` pieces, and says whether there is room for it. */
export function engineBegins(port: Port, jobs: u32): bool {
  if (!hasRoom(engineOf(port), jobs)) return false;
  begin(port, jobs).header = port.headerBytes;
  return true;
}

/** The next `bytes` of the frame go from the host's buffer to `dma`; the device header of them at once. False after a fault. */
export function engineMoves(port: Port, dma: u32, from: u32, bytes: u32): bool {
  const packet = newest(engineOf(port));
  const header = packet.byCpu ? bytes : min(packet.header, bytes);
  if (header && !bufferWrite(port.device, dma, from, header)) return false;
  if (packet.byCpu) packet.cpuBytes += bytes - min(packet.header, bytes);
  packet.header -= min(packet.header, bytes);
  if (header == bytes) return true;
  return addJobs(port, packet, dma + header, from + header, bytes - header, true);
}

/** The frame has all its jobs, or met a fault. */
export function engineEnds(port: Port, whole: bool): void {
  const engine = engineOf(port);
  end(engine, newest(engine), whole);
}

/** Whether frames are under way, whose buffers the driver will have back. */
@inline
export function engineBusy(port: Port): bool {
  return engineOf(port).count != 0;
}
