/** Captures in (pcap, pcapng) and out (pcap). Everything that a reader of captures needs is exported here. */

import { type Capture, CaptureReader, type ReadOptions } from "./capture.ts";
import { PCAP_MAGIC_MICROSECONDS, PCAP_MAGIC_NANOSECONDS, readPcap } from "./pcap-classic.ts";
import { readPcapng, SECTION_HEADER_BLOCK } from "./pcapng.ts";

export type { Capture, CapturedPacket, CaptureErrorCode, ReadOptions } from "./capture.ts";
export { CaptureError, MAX_PACKET_BYTES } from "./capture.ts";
export type { WriteOptions } from "./pcap-classic.ts";
export { writePcap } from "./pcap-classic.ts";

const MAGIC_BYTES = 4;

/**
 * Reads a capture of Ethernet frames: classic pcap (microseconds or nanoseconds, either byte order) or
 * pcapng (either byte order, any number of sections and interfaces, enhanced, simple and old packet blocks;
 * other blocks are skipped). The packets are views of `bytes`, not copies, in the order of the file.
 *
 * Throws CaptureError and nothing else. A file that ends too early is an error that names the cut packet,
 * counted from 1, unless `lenient` is set: then the whole packets before it are returned and `cut` names it.
 */
export function readCapture(bytes: Uint8Array, options: ReadOptions = {}): Capture {
  const reader = new CaptureReader(bytes, options);
  if (bytes.length < MAGIC_BYTES) {
    throw reader.error(
      "not-a-capture",
      `${bytes.length} bytes are too few for a capture; a pcap or pcapng file is needed`,
    );
  }
  for (const littleEndian of [true, false]) {
    reader.littleEndian = littleEndian;
    const magic = reader.u32(0);
    if (magic === PCAP_MAGIC_MICROSECONDS || magic === PCAP_MAGIC_NANOSECONDS) {
      readPcap(reader, magic === PCAP_MAGIC_NANOSECONDS);
      return reader.finish();
    }
    if (magic === SECTION_HEADER_BLOCK) {
      readPcapng(reader);
      return reader.finish();
    }
  }
  const start = Array.from(bytes.subarray(0, MAGIC_BYTES), (byte) => byte.toString(16).padStart(2, "0"));
  const hint = start[0] === "1f" && start[1] === "8b" ? "; it is gzipped, unpack it first" : "";
  throw reader.error(
    "not-a-capture",
    `the file starts with ${start.join(" ")}, which is neither pcap nor pcapng${hint}`,
  );
}
