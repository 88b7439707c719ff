/** A program at an AF_XDP socket: its chunks, and its end of the four rings, with the calls of libxdp. */
import * as abi from "../../assembly/abi.ts";
import type { Engine } from "../engine.ts";
import { ConfigError } from "../errors.ts";
import type { DriverBench } from "./driver-bench.ts";

/**
 * One ring, of which the program is the producer (fill, tx) or the consumer (completion, rx). Bursts allocate nothing:
 * reserve or peek, write or read the entries, submit or release.
 */
export class XskRing {
  readonly entries: number;
  readonly #engine: Engine;
  /** The ring's place, in words, and words of an entry. */
  readonly #at: number;
  readonly #words: number;
  #producer = 0;
  #consumer = 0;

  /** @internal */
  constructor(engine: Engine, ptr: number, entries: number, entryBytes: number) {
    this.entries = entries;
    this.#engine = engine;
    this.#at = ptr >>> 2;
    this.#words = entryBytes >>> 2;
  }

  /** Whether the kernel sleeps, so that the socket has to wake it (XDP_RING_NEED_WAKEUP). */
  get needsWakeup(): boolean {
    return (this.#load(abi.XDP_RING_FLAGS) & abi.XDP_RING_NEED_WAKEUP) !== 0;
  }

  /** Entries that can be written now, at most `most`; each has a number from 0 on until `submit`. */
  reserve(most: number): number {
    const used = (this.#producer - this.#load(abi.XDP_RING_CONSUMER)) >>> 0;
    return Math.min(most, this.entries - used);
  }

  /** Writes entry `k` behind the last that was submitted: `addr` of the chunks, and for a tx ring the packet's bytes. */
  write(k: number, addr: number, bytes = 0): void {
    const at = this.#entry(this.#producer + k);
    this.#engine.u32[at] = addr;
    this.#engine.u32[at + 1] = 0;
    if (this.#words === 2) return;
    this.#engine.u32[at + 2] = bytes;
    this.#engine.u32[at + 3] = 0;
  }

  /** Shows the kernel `count` more entries. */
  submit(count: number): void {
    this.#producer = (this.#producer + count) >>> 0;
    this.#store(abi.XDP_RING_PRODUCER, this.#producer);
  }

  /** Entries that can be read now, at most `most`; each has a number from 0 on until `release`. */
  peek(most: number): number {
    return Math.min(most, (this.#load(abi.XDP_RING_PRODUCER) - this.#consumer) >>> 0);
  }

  /** The address in entry `k`. */
  address(k: number): number {
    return this.#engine.u32[this.#entry(this.#consumer + k)];
  }

  /** The bytes of the packet in entry `k` of an rx ring. */
  bytes(k: number): number {
    return this.#engine.u32[this.#entry(this.#consumer + k) + 2];
  }

  /** Is done with `count` entries. */
  release(count: number): void {
    this.#consumer = (this.#consumer + count) >>> 0;
    this.#store(abi.XDP_RING_CONSUMER, this.#consumer);
  }

  #entry(index: number): number {
    return this.#at + (abi.XDP_RING_ENTRIES >>> 2) + (index & (this.entries - 1)) * this.#words;
  }
  // Indices are published and observed, also where another thread works the driver.
  #load(offset: number): number {
    return Atomics.load(this.#engine.u32, this.#at + (offset >>> 2));
  }
  #store(offset: number, value: number): void {
    Atomics.store(this.#engine.u32, this.#at + (offset >>> 2), value);
  }
}

/**
 * The socket of one queue of a bench that was made with `program: "caller"`.
 *
 * To send: write packets into chunks, `tx.reserve`, `tx.write`, `tx.submit`; `wake()` if `tx.needsWakeup`;
 * `bench.moveSome(packets)` is the kernel's and the wire's turn; then the addresses of chunks that were sent are in
 * `completion`. To receive: give chunks to `fill`, and after `bench.runSome(packets)` the packets are in `rx`. An address
 * outside of the chunks, a wrong length or a chunk that the kernel has already is dropped and counted (`invalidAddresses`
 * and the others of `PathCounters`).
 */
export class XskSocket {
  readonly chunkBytes: number;
  readonly chunks: number;
  /** Where a received packet starts in its chunk; one that is sent may start anywhere. */
  readonly headroom: number;
  readonly fill: XskRing;
  readonly completion: XskRing;
  readonly rx: XskRing;
  readonly tx: XskRing;
  readonly #bench: DriverBench;
  readonly #port: number;
  readonly #frames: number;

  /** @throws ConfigError for a bench whose application is no AF_XDP socket, or whose program the engine plays */
  constructor(bench: DriverBench, queue = 0) {
    const { engine, settings, ports } = bench;
    const { application, program } = settings;
    if ((application.kind !== "xsk" && application.kind !== "xsk-copy") || program !== "caller") {
      throw new ConfigError(
        "an XskSocket needs a record with an xsk application, and the program to be the caller",
      );
    }
    const { wasm } = engine;
    const at = (ptr: number, offset: { value: number }): number => engine.u32[(ptr + offset.value) >>> 2];
    this.#bench = bench;
    this.#port = ports[queue];
    const app = at(this.#port, wasm.PORT_APP);
    const entries = at(app, wasm.XSK_ENTRIES);
    const ring = (offset: { value: number }, entry: number): XskRing =>
      new XskRing(engine, at(app, offset), entries, entry);
    this.fill = ring(wasm.XSK_FILL, abi.XDP_ADDRESS);
    this.completion = ring(wasm.XSK_COMPLETION, abi.XDP_ADDRESS);
    this.rx = ring(wasm.XSK_RX, abi.XDP_DESC);
    this.tx = ring(wasm.XSK_TX, abi.XDP_DESC);
    this.#frames = at(app, wasm.APP_FRAMES);
    this.chunkBytes = at(app, wasm.APP_FRAME_STRIDE);
    this.chunks = at(app, wasm.APP_FRAME_COUNT);
    this.headroom = at(app, wasm.APP_FRAME_AT);
  }

  /** A view of `bytes` at `addr` of the chunks. Allocates the view. */
  data(addr: number, bytes: number): Uint8Array {
    return this.#bench.engine.bytes(this.#frames + addr, bytes);
  }

  /** Wakes the kernel, which a ring's `needsWakeup` asks for (sendto, poll). */
  wake(): void {
    this.#bench.engine.wasm.portWakes(this.#port);
  }
}
