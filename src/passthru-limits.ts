/** What is reserved for passthru interfaces, and what NIC and user of one agree on. */
import * as abi from "../assembly/abi.ts";
import { ConfigError, PassthruError } from "./errors.ts";

/** Most bytes of a frame that count as its headers, unless said otherwise. */
export const PASSTHRU_HEADER_BYTES = 128;
/** The most that may be said. */
export const PASSTHRU_MOST_HEADER_BYTES = 1024;

export interface PassthruLimits {
  /** Interfaces. Default 1. */
  interfaces: number;
  /** Reads and writes that one can have at a time, 1 to 65536. Default 512. */
  requests: number;
  /** Most elements of a request. Default 19. */
  segments: number;
  /** Most bytes of a frame that count as its headers, and are copied where they are apart from the payload. Default 128. */
  headerBytes: number;
}

export type PassthruOptions = Partial<PassthruLimits>;

/** @throws ConfigError */
export function resolvePassthru(options: PassthruOptions): PassthruLimits {
  const {
    interfaces = 1,
    requests = 512,
    segments = abi.MAX_THRESHOLD,
    headerBytes = PASSTHRU_HEADER_BYTES,
  } = options;
  whole("passthru.interfaces", interfaces, 1, 1024);
  whole("passthru.requests", requests, 1, 65536);
  whole("passthru.segments", segments, 1, 32768);
  whole("passthru.headerBytes", headerBytes, 14, PASSTHRU_MOST_HEADER_BYTES);
  return { interfaces, requests, segments, headerBytes };
}

/** Room round a buffer: bytes in front and behind in its page, and what the place of its first byte is a multiple of. */
export interface BufferRoom {
  headroom: number;
  tailroom: number;
  /** A power of two. */
  align: number;
}

/** What a NIC asks for, of buffers that it is to write frames into. */
export interface PassthruNic extends BufferRoom {
  /**
   * Whether it can write headers and payload to different places. Then headers go to the host and are copied, and it asks
   * nothing of the user's buffers.
   */
  packetSplit: boolean;
}

/** `direct`: whole frames into the user's buffers. `split`: headers by way of the host. */
export type PassthruMode = "direct" | "split";

/**
 * What a NIC and a user agree on. @throws PassthruError `headroom`, `tailroom` or `alignment` when the NIC can't split
 * packets and the user's buffers lack what it asks for; ConfigError for what can't be asked for.
 */
export function negotiateRoom(nic: PassthruNic, room: BufferRoom): PassthruMode {
  for (const [whose, { headroom, tailroom, align }] of [
    ["nic", nic],
    ["room", room],
  ] as const) {
    whole(`${whose}.headroom`, headroom, 0, abi.PAGE_SIZE - 1);
    whole(`${whose}.tailroom`, tailroom, 0, abi.PAGE_SIZE - 1);
    whole(`${whose}.align`, align, 1, abi.PAGE_SIZE);
    if ((align & (align - 1)) !== 0)
      throw new ConfigError(`${whose}.align is ${align}, but must be a power of two`);
  }
  if (nic.packetSplit) return "split";
  const lacks = (code: number, what: string, asked: number, given: number): PassthruError =>
    new PassthruError(code, `the NIC asks for ${what} of ${asked} and the buffers have ${given}`);
  if (room.headroom < nic.headroom) {
    throw lacks(abi.PASSTHRU_E_HEADROOM, "head room", nic.headroom, room.headroom);
  }
  if (room.tailroom < nic.tailroom) {
    throw lacks(abi.PASSTHRU_E_TAILROOM, "tail room", nic.tailroom, room.tailroom);
  }
  if (room.align < nic.align) throw lacks(abi.PASSTHRU_E_ALIGNMENT, "alignment", nic.align, room.align);
  return "direct";
}

function whole(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ConfigError(`${name} is ${value}, but must be a whole number from ${least} to ${most}`);
  }
}
