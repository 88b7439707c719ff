// What is copied of packets on their way beside the driver half and the device half: by a host below (host-path.ts),
// by a kernel above (app.ts). All of it goes through the counted routines here, one for each kind of copy, so that
// the counts are of what was done. Bytes are a frame's, without the device header.

import { copyBytes } from "../mem/copy";

@unmanaged
export class Copies {
  /** Payloads that the CPU copied, once for each hop, and their bytes. */
  cpuCopies: u64;
  cpuBytes: u64;
  /** Bytes of headers that the CPU copied of packets whose payload it left where it was. */
  headerCopyBytes: u64;
  /** The same of a copy engine. */
  engineCopies: u64;
  engineBytes: u64;
}

/** A payload of `bytes` was copied whole by the CPU, in as many pieces as its buffers have. */
@inline
export function countCpuCopy(copies: Copies, bytes: u32): void {
  copies.cpuCopies++;
  copies.cpuBytes += bytes;
}

/** A payload of `bytes` was copied by a copy engine, in as many jobs as it has pieces. */
@inline
export function countEngineCopy(copies: Copies, bytes: u32): void {
  copies.engineCopies++;
  copies.engineBytes += bytes;
}

/** The CPU copies a payload from one place to another. */
@inline
export function cpuCopy(copies: Copies, to: u32, from: u32, bytes: u32): void {
  copyBytes(to, from, bytes);
  countCpuCopy(copies, bytes);
}
