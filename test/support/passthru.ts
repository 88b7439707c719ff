/** A passthru interface for tests: a program that uses it, and a NIC that is played by hand. */
import * as abi from "../../assembly/abi.ts";
import { Passthru, type PassthruSettings } from "../../src/device/passthru.ts";
import type { Engine, EngineOptions } from "../../src/engine.ts";
import type { PassthruNic } from "../../src/passthru-limits.ts";
import { createEngine } from "./engine.ts";

/** What splits packets asks for nothing; what doesn't, here, neither. */
export const SPLITTING: PassthruNic = { packetSplit: true, headroom: 64, tailroom: 128, align: 64 };
export const PLAIN: PassthruNic = { packetSplit: false, headroom: 0, tailroom: 0, align: 1 };

export type Piece = readonly [ptr: number, bytes: number];
export interface Completion {
  token: number;
  written: number;
  status: number;
  more: number;
}

export class Nic {
  readonly interface: Passthru;
  readonly #engine: Engine;
  constructor(engine: Engine, face: Passthru) {
    this.#engine = engine;
    this.interface = face;
  }

  /** Frames arrive; those that the hook left to the host's stack. */
  receive(...frames: Uint8Array[]): Uint8Array[] {
    const { scratch, u32 } = this.#engine;
    const { arrivals } = this.interface;
    let at = scratch.ptr;
    for (const [k, frame] of frames.entries()) {
      this.#engine.bytes(at, frame.length).set(frame);
      arrivals[2 * k] = at;
      arrivals[2 * k + 1] = frame.length;
      at += Math.ceil(frame.length / 64) * 64;
    }
    if (at > scratch.ptr + scratch.bytes) throw new Error("too many bytes for the NIC of the test");
    const left = this.interface.arrive(frames.length);
    const base = arrivals.byteOffset >>> 2;
    return Array.from({ length: left }, (_, k) =>
      this.#engine.bytes(u32[base + 2 * k], u32[base + 2 * k + 1]).slice(),
    );
  }

  /** Takes packets that are to be sent, without reading them yet. */
  take(most?: number): { handle: number; pieces: Piece[] }[] {
    const count = this.interface.depart(most);
    const words = this.interface.departures;
    let at = 0;
    return Array.from({ length: count }, () => {
      const [handle, elements, bytes] = words.subarray(at, at + 3);
      at += abi.POP_HEADER / 4;
      const pieces: Piece[] = [];
      for (let k = 0; k < elements; k++, at += 2) pieces.push([words[at], words[at + 1]]);
      if (pieces.reduce((sum, [, length]) => sum + length, 0) !== bytes)
        throw new Error("bytes don't add up");
      return { handle, pieces };
    });
  }

  read(pieces: readonly Piece[]): Uint8Array {
    const parts = pieces.map(([ptr, bytes]) => this.#engine.bytes(ptr, bytes).slice());
    return Uint8Array.from(parts.flatMap((part) => [...part]));
  }

  done(handles: readonly number[], error = 0): number {
    const { sent } = this.interface;
    for (const [k, handle] of handles.entries()) {
      sent[2 * k] = handle;
      sent[2 * k + 1] = error;
    }
    return this.interface.departed(handles.length);
  }

  /** Sends everything, in order: the packets, device header in front. */
  send(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let taken = this.take(); taken.length > 0; taken = this.take()) {
      frames.push(...taken.map(({ pieces }) => this.read(pieces)));
      this.done(taken.map(({ handle }) => handle));
    }
    return frames;
  }
}

export class Program {
  readonly interface: Passthru;
  constructor(face: Passthru) {
    this.interface = face;
  }

  read(token: number, ...pieces: Piece[]): boolean {
    return this.#submit(token, pieces, pieces.length << 16);
  }
  write(token: number, ...pieces: Piece[]): boolean {
    return this.#submit(token, pieces, pieces.length);
  }
  #submit(token: number, pieces: readonly Piece[], counts: number): boolean {
    this.interface.submissions.set([token, counts, ...pieces.flat()]);
    return this.interface.submit(1) === 1;
  }

  completions(): Completion[] {
    const count = this.interface.complete();
    const words = this.interface.completions;
    return Array.from({ length: count }, (_, k) => {
      const [token, written, status, more] = words.subarray(4 * k, 4 * k + 4);
      return { token, written, status, more };
    });
  }
}

export interface ProgramRig {
  engine: Engine;
  face: Passthru;
  nic: Nic;
  program: Program;
}

export async function programRig(
  settings: PassthruSettings = {},
  options: EngineOptions = {},
): Promise<ProgramRig> {
  const engine = await createEngine({
    passthru: { requests: 64 },
    bufferBytes: 1 << 20,
    scratchBytes: 1 << 18,
    pageLog: true,
    ...options,
  });
  const face = new Passthru(engine, settings);
  return { engine, face, nic: new Nic(engine, face), program: new Program(face) };
}

/** Pins of pages that are alive, counted by walking. */
export function pinsLive(engine: Engine): number {
  const { wasm, u32 } = engine;
  const pins = engine.region("pins").ptr;
  const live = u32[(pins + wasm.PINS_LIVE.value) >>> 2];
  if (live !== wasm.pinsSum(pins) || u32[(pins + wasm.PINS_UNDERFLOWS.value) >>> 2] !== 0) return -1;
  return live;
}

/** The `count`th pin from now fails. */
export function failPin(engine: Engine, count: number): void {
  engine.u32[(engine.region("pins").ptr + engine.wasm.PINS_FAIL_IN.value) >>> 2] = count;
}
