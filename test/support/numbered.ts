/** Frames that carry their numbers, and what the far side of a bench found when it looked at them (assembly/mem/numbers.ts). */
import { fixedTraffic } from "../../src/net/traffic.ts";
import type { DriverBench } from "../../src/system/driver-bench.ts";

/** Frames of these lengths, numbered from 0 on, or as `numbers` says. */
export function numberedFrames(lengths: readonly number[], numbers?: readonly number[]): Uint8Array[] {
  return lengths.map((length, k) => {
    const [{ data }] = fixedTraffic(length, { count: 1, seed: k + 1 }).packets;
    const number = numbers?.[k] ?? k;
    new DataView(data.buffer, data.byteOffset).setUint32(0, number, true);
    data[length - 1] = number & 0xff;
    return data;
  });
}

/** Has the far side of every queue look at the packets' numbers. */
export class Follower {
  readonly #bench: DriverBench;
  readonly #at: readonly number[];

  /** Begins anew with the first frame of every queue, whose numbers go round in `counts`. */
  constructor(bench: DriverBench, counts = bench.settings.queues.map(({ length }) => length)) {
    this.#bench = bench;
    const { engine, ports } = bench;
    this.#at = ports.map((_, queue) => engine.region(`port ${queue} numbers`).ptr);
    for (const [queue, at] of this.#at.entries()) {
      engine.wasm.numbersInit(at, counts[queue]);
      engine.wasm.portNumbers(ports[queue], at, 0);
    }
  }

  /** How far the numbers went on: one for each packet that was sent, however many of them were lost and counted. */
  steps(queue = 0): number {
    const { engine } = this.#bench;
    return engine.readU64(this.#at[queue] + engine.wasm.NUMBERS_STEPS.value);
  }

  /** Packets that have no number, and those that changed while they were held. */
  damaged(queue = 0): number {
    const { engine, ports, settings } = this.#bench;
    const { wasm, u32 } = engine;
    const consumer = u32[(ports[queue] + wasm.PORT_CONSUMER.value) >>> 2];
    const changed = settings.receives ? u32[(consumer + wasm.CONSUMER_CORRUPTED.value) >>> 2] : 0;
    return changed + u32[(this.#at[queue] + wasm.NUMBERS_DAMAGED.value) >>> 2];
  }
}
