/** Where the packets of a comparison come from: the capture in the package, another one, or a generator. */
import { readFile } from "node:fs/promises";
import { type Capture, CaptureError, readCapture } from "../net/pcap.ts";
import { captureTraffic, fixedTraffic, imixTraffic, type Traffic } from "../net/traffic.ts";
import { UsageError } from "./errors.ts";

/** The capture that is replayed when nothing else is asked for: its name, and where it is beside the bundle. */
const DEFAULT_CAPTURE = {
  name: "captures/web.pcapng",
  url: new URL("../captures/web.pcapng", import.meta.url),
};

/** Packets of generated traffic: a multiple of 12, which IMIX repeats after; and the bytes they may have in all. */
const PACKETS = 1020;
const MOST_BYTES = 4 * 2 ** 20;

export interface TrafficRequest {
  /** A capture to replay. */
  pcap?: string;
  /** Frames to generate: lengths in bytes, or `imix`. */
  frames?: readonly (number | "imix")[];
  seed: number;
  /** Uses what is whole of a capture that ends too early. */
  lenient: boolean;
}

export interface OpenTraffic {
  traffics: Traffic[];
  /** What the user should know: a capture that was cut. */
  warnings: string[];
}

/** @throws UsageError or CaptureError for what cannot be read. */
export async function openTraffic({ pcap, frames, seed, lenient }: TrafficRequest): Promise<OpenTraffic> {
  if (pcap !== undefined && frames !== undefined) {
    throw new UsageError("--pcap and --frames exclude each other; give one of them");
  }
  if (frames !== undefined) return { traffics: frames.map((frame) => generate(frame, seed)), warnings: [] };
  const name = pcap ?? DEFAULT_CAPTURE.name;
  const capture = parse(await read(name, pcap ?? DEFAULT_CAPTURE.url), name, lenient);
  const warnings =
    capture.cut === null
      ? []
      : [`${name}: packet ${capture.cut.packet} is cut; the ${capture.packets.length} before it are used`];
  return { traffics: [captureTraffic(capture, name)], warnings };
}

function generate(frame: number | "imix", seed: number): Traffic {
  if (frame === "imix") return imixTraffic({ count: PACKETS, seed });
  return fixedTraffic(frame, { count: Math.min(PACKETS, Math.floor(MOST_BYTES / frame)), seed });
}

async function read(name: string, place: string | URL): Promise<Uint8Array> {
  try {
    return await readFile(place);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const reasons: Record<string, string> = {
      ENOENT: "there is no such file; name a pcap or pcapng file",
      ENOTDIR: "there is no such file; name a pcap or pcapng file",
      EISDIR: "it is a folder; name a pcap or pcapng file in it",
      EACCES: "no permission to read it; name a file that you may read",
      ERR_FS_FILE_TOO_LARGE: "it is larger than 2 GiB; cut it into smaller ones",
    };
    throw new UsageError(`cannot read ${name}: ${reasons[code] ?? `the system says ${code}`}`);
  }
}

function parse(bytes: Uint8Array, name: string, lenient: boolean): Capture {
  try {
    return readCapture(bytes, { name, lenient });
  } catch (error) {
    if (!(error instanceof CaptureError) || error.code !== "truncated") throw error;
    throw new CaptureError("truncated", `${error.message} (--lenient)`);
  }
}
