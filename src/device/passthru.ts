/** An interface whose packets pass the host by: its NIC reads and writes the pages of whoever uses it. */
import * as abi from "../../assembly/abi.ts";
import { Block } from "../block.ts";
import type { Engine } from "../engine.ts";
import { ConfigError, PassthruError } from "../errors.ts";
import { MAX_FRAME_BYTES } from "../net/frame.ts";
import { macBytes } from "../net-address.ts";
import { type BufferRoom, negotiateRoom, type PassthruMode, type PassthruNic } from "../passthru-limits.ts";

/** `stopping`: nothing new goes to the NIC, which is not done yet with what it has. */
export type PassthruState = "unbound" | "bound" | "stopping";

const NO_ROOM: BufferRoom = { headroom: 0, tailroom: 0, align: 1 };

export interface PassthruSettings {
  /** Which of the engine's interfaces. Default 0. */
  index?: number;
  /** What the user's receive buffers have in front, behind, and as alignment. Default: nothing. */
  room?: BufferRoom;
  /** The longest frame. Default 65550. */
  frameMost?: number;
  /** Whether a frame may take several reads. Default true. */
  mergeable?: boolean;
  /** Only frames to this address, and to groups, are the user's; default: all of a bound NIC. */
  mac?: string | Uint8Array;
  /** Most buffers that the NIC is given ahead of frames. Default: as many as there are requests. */
  ahead?: number;
  /** Called when the interface is bound, is being stopped, and is unbound. */
  onState?: (state: PassthruState) => void;
  /** Called when requests may have come to their end. */
  onComplete?: () => void;
  /** Called when there may be something to send. */
  onSend?: () => void;
}

export interface PassthruCounters {
  /** Requests that the NIC did: buffers filled, and packets sent. */
  reads: number;
  writes: number;
  /** Reads that were withdrawn, and buffers of a guest that can't be used. */
  canceled: number;
  refused: number;
  /** Times that pages could not be pinned. */
  pinWaits: number;
  /** Frames that the receive hook left to the host's stack. */
  stackPackets: number;
  stackBytes: number;
  /** Frames that were lost, by cause. */
  dropsNoBuffer: number;
  dropsTooLong: number;
  /** What the NIC said to have sent of queues that had been reset. */
  staleSent: number;
  cpuCopies: number;
  headerCopyBytes: number;
  pinnedPages: number;
}

/**
 * An interface after the mediate passthru device that was proposed for Linux in 2010. Its user, a program or a guest's device
 * (`PassthruNetDevice`), submits reads and writes, whose pages are pinned until they are done, and hears of that later.
 * The host's NIC driver binds a NIC to it, hands it what arrives, and takes what departs; the payload is not copied.
 *
 * Burst calls (`submit`, `complete`, `arrive`, `depart`, `departed`) allocate nothing: records are read and written in
 * staging areas of 32-bit words, a batch (`EngineOptions.batch`) at a time.
 */
export class Passthru {
  readonly engine: Engine;
  readonly index: number;
  /** The control block in the memory. */
  readonly ptr: number;
  /** What the user's buffers promise to have. */
  readonly room: BufferRoom;
  readonly #block: Block;
  readonly #pins: number;
  readonly #host: number;
  readonly #settings: PassthruSettings;
  readonly #areas = new Map<string, Uint32Array>();
  #state: PassthruState = "unbound";
  #mode: PassthruMode | null = null;

  /** @throws ConfigError for settings that can't be, or for which nothing is reserved. */
  constructor(engine: Engine, settings: PassthruSettings = {}) {
    const { passthru } = engine.limits;
    if (passthru === null) {
      throw new ConfigError("no memory is reserved for passthru interfaces: see EngineOptions.passthru");
    }
    const { index = 0, room = NO_ROOM, frameMost = MAX_FRAME_BYTES, mergeable = true, mac, ahead } = settings;
    whole("index", index, 0, passthru.interfaces - 1);
    whole("frameMost", frameMost, 64, abi.NET_FRAME_MAX);
    this.engine = engine;
    this.index = index;
    this.room = room;
    this.ptr = engine.region(`passthru ${index}`).ptr;
    this.#settings = settings;
    this.#block = new Block(engine, this.ptr);
    this.#pins = engine.region("pins").ptr;
    this.#host = engine.region(`passthru ${index} host path`).ptr;
    const { wasm } = engine;
    engine.u32[(this.#host + wasm.HOST_PINS.value) >>> 2] = this.#pins;
    wasm.passthruInit(this.ptr, this.#host, passthru.requests, passthru.segments, passthru.headerBytes);
    this.#block.set(wasm.PASSTHRU_FRAME_MOST.value, frameMost);
    this.#block.set(wasm.PASSTHRU_MERGEABLE.value, Number(mergeable));
    this.#block.set(
      wasm.PASSTHRU_AHEAD.value,
      whole("ahead", ahead ?? passthru.requests, 1, passthru.requests),
    );
    if (mac === undefined) return;
    const [a, b, c, d, e, f] = macBytes(mac);
    this.#block.set(wasm.PASSTHRU_FILTERS.value, 1);
    this.#block.set(wasm.PASSTHRU_MAC_LOW.value, (a | (b << 8) | (c << 16) | (d << 24)) >>> 0);
    this.#block.set(wasm.PASSTHRU_MAC_HIGH.value, e | (f << 8));
  }

  get state(): PassthruState {
    return this.#state;
  }

  /** How the bound NIC receives; null while there is none. */
  get mode(): PassthruMode | null {
    return this.#mode;
  }

  // The host binds and unbinds

  /**
   * Puts the interface onto a NIC. @throws PassthruError `headroom`, `tailroom` or `alignment` when the NIC and the
   * user's buffers don't fit, ConfigError unless it is unbound.
   */
  bind(nic: PassthruNic): PassthruMode {
    if (this.#state !== "unbound") throw new ConfigError(`the interface is ${this.#state}, not unbound`);
    const mode = negotiateRoom(nic, this.room);
    const { wasm } = this.engine;
    this.#block.set(wasm.PASSTHRU_PACKET_SPLIT.value, Number(mode === "split"));
    this.#block.set(wasm.PASSTHRU_HEADROOM.value, nic.headroom);
    this.#block.set(wasm.PASSTHRU_TAILROOM.value, nic.tailroom);
    this.#block.set(wasm.PASSTHRU_ALIGN_MASK.value, nic.align - 1);
    wasm.passthruBind(this.ptr);
    this.#mode = mode;
    this.#setState("bound");
    return mode;
  }

  /**
   * Stops the interface and takes it off its NIC. Reads come back at once; "busy" while the NIC still has packets to send
   * or to say `departed` for: with the last of them it is unbound.
   */
  unbind(): "done" | "busy" {
    if (this.#state === "bound") {
      this.#setState("stopping");
      this.engine.wasm.passthruStop(this.ptr);
      this.#completed();
    }
    this.#settle();
    return this.#state === "unbound" ? "done" : "busy";
  }

  // The user's side: a program

  /** Records for `submit`: token, readable | writable << 16, then {ptr, bytes} for each element. */
  get submissions(): Uint32Array {
    return this.#area("submissions");
  }

  /**
   * Submits `count` requests: one of readable elements sends a frame, one of writable elements is a buffer to receive
   * into. How many were taken: the first that can't be is refused (`refusal`), and it and all behind it stay the user's.
   */
  submit(count: number): number {
    const taken = this.engine.wasm.passthruSubmit(this.ptr, this.submissions.byteOffset, count);
    if (taken > 0) this.#settings.onSend?.();
    return taken;
  }

  /** Why the last `submit` took fewer than it was given, or null. Allocates. */
  get refusal(): PassthruError | null {
    const refusal = this.#block.get(this.engine.wasm.PASSTHRU_REFUSAL.value);
    return refusal === abi.OK ? null : new PassthruError(refusal);
  }

  /**
   * Records of `complete`: token, bytes written, 0 or why it came back undone (see `passthruFailure`), and how many
   * requests behind this one have the rest of its frame.
   */
  get completions(): Uint32Array {
    return this.#area("completions");
  }

  /** Collects up to `most` requests that have come to their end into `completions`; how many. */
  complete(most = this.engine.limits.batch): number {
    const room = Math.min(most, this.engine.limits.batch);
    return this.engine.wasm.passthruComplete(this.ptr, this.completions.byteOffset, room);
  }

  /** Withdraws all reads that no frame has come for; they complete as `canceled`. */
  cancel(): void {
    this.engine.wasm.passthruCancel(this.ptr);
    this.#completed();
  }

  /** The user is gone: all its requests are forgotten and nothing of them is pinned, whatever the NIC still has. */
  forget(): void {
    this.engine.wasm.passthruForget(this.ptr, true);
    this.engine.wasm.passthruForget(this.ptr, false);
    this.#settle();
  }

  /** Requests that are not free: submitted, or done and not collected. */
  get outstanding(): number {
    return this.engine.wasm.passthruOutstanding(this.ptr);
  }

  /** Most pages that may be pinned at a time, by all interfaces of the engine; 0: no limit. */
  get lockedPagesMost(): number {
    return this.engine.u32[(this.#pins + this.engine.wasm.PINS_LIMIT.value) >>> 2];
  }
  set lockedPagesMost(pages: number) {
    whole("lockedPagesMost", pages, 0, 2 ** 20);
    this.engine.u32[(this.#pins + this.engine.wasm.PINS_LIMIT.value) >>> 2] = pages;
  }

  /** Pages that are pinned now, by all of them. */
  get lockedPages(): number {
    return this.engine.u32[(this.#pins + this.engine.wasm.PINS_LIVE.value) >>> 2];
  }

  /** Pages of 4 KiB, by number, that reads have been done into since this was asked last. Allocates. */
  takeDirtyPages(): number[] {
    const { wasm, u32 } = this.engine;
    const word = (offset: { value: number }): number => u32[(this.#pins + offset.value) >>> 2];
    const first = word(wasm.PINS_BASE) >>> 12;
    const bits = word(wasm.PINS_DIRTY) >>> 2;
    const pages: number[] = [];
    for (let k = 0; k < word(wasm.PINS_PAGES); k++) {
      if ((u32[bits + (k >>> 5)] >>> (k & 31)) & 1) pages.push(first + k);
    }
    u32.fill(0, bits, bits + Math.ceil(word(wasm.PINS_PAGES) / 32));
    return pages;
  }

  // The NIC's side

  /** Records for `arrive`: {ptr, bytes} of each frame, which lies where the user can't reach it (`Engine.scratch`). */
  get arrivals(): Uint32Array {
    return this.#area("arrivals");
  }

  /**
   * The receive hook: the first `count` frames have arrived, and the host's own stack has not seen them. How many are its
   * and not the user's: their records stand first in `arrivals` then.
   */
  arrive(count: number): number {
    const left = this.engine.wasm.passthruArrive(this.ptr, this.arrivals.byteOffset, count);
    this.#completed();
    return left;
  }

  /** Records of `depart`: handle, elements, bytes, 0, then {ptr, bytes} for each element, the first of which are headers. */
  get departures(): Uint32Array {
    return this.#area("departures");
  }

  /** Takes up to `most` packets to be sent into `departures`; how many. Their pages stay as they are until `departed`. */
  depart(most = this.engine.limits.batch): number {
    const area = this.departures;
    return this.engine.wasm.passthruDepart(this.ptr, area.byteOffset, area.byteLength, most);
  }

  /** Records for `departed`: {handle, 0 or 1 when it could not be sent}. */
  get sent(): Uint32Array {
    return this.#area("sent");
  }

  /** The NIC is done with `count` packets of `sent`, in any order. How many of the handles were known. */
  departed(count: number): number {
    const known = this.engine.wasm.passthruSent(this.ptr, this.sent.byteOffset, count);
    this.#completed();
    this.#settle();
    return known;
  }

  /** Packets that the NIC has taken and is not done with. */
  get atNic(): number {
    return this.#block.get(this.engine.wasm.PASSTHRU_AT_NIC.value);
  }

  /** All counters. Allocates. */
  counters(): PassthruCounters {
    const { engine } = this;
    const { wasm } = engine;
    const own = (offset: { value: number }): number => engine.readU64(this.ptr + offset.value);
    const host = (offset: { value: number }): number => engine.readU64(this.#host + offset.value);
    return {
      reads: own(wasm.PASSTHRU_READS),
      writes: own(wasm.PASSTHRU_WRITES),
      canceled: own(wasm.PASSTHRU_CANCELED),
      refused: own(wasm.PASSTHRU_REFUSED),
      pinWaits: own(wasm.PASSTHRU_PIN_WAITS),
      stackPackets: own(wasm.PASSTHRU_STACK_PACKETS),
      stackBytes: own(wasm.PASSTHRU_STACK_BYTES),
      dropsNoBuffer: own(wasm.PASSTHRU_DROPS_NO_BUFFER),
      dropsTooLong: own(wasm.PASSTHRU_DROPS_TOO_LONG),
      staleSent: own(wasm.PASSTHRU_STALE_SENT),
      cpuCopies: host(wasm.HOST_CPU_COPIES),
      headerCopyBytes: host(wasm.HOST_HEADER_COPY_BYTES),
      pinnedPages: host(wasm.HOST_PINNED_PAGES),
    };
  }

  /** Requests that are neither free nor anywhere, which is 0. @internal */
  lost(): number {
    return this.engine.wasm.passthruLost(this.ptr);
  }

  #area(name: string): Uint32Array {
    let area = this.#areas.get(name);
    // A view of a memory that has grown has the length 0.
    if (area === undefined || area.length === 0) {
      area = this.engine.words(`passthru ${this.index} ${name}`);
      this.#areas.set(name, area);
    }
    return area;
  }

  #completed(): void {
    this.#settings.onComplete?.();
  }

  /** An interface that is being stopped is unbound with the last packet that the NIC is done with. */
  #settle(): void {
    if (this.#state !== "stopping" || this.engine.wasm.passthruStop(this.ptr) !== 0) return;
    this.#mode = null;
    this.#setState("unbound");
  }

  #setState(state: PassthruState): void {
    this.#state = state;
    this.#settings.onState?.(state);
  }
}

function whole(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new ConfigError(`${name} is ${value}, but must be a whole number from ${least} to ${most}`);
}
