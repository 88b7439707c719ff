/** The device half of a virtqueue as the specification tells it: what both formats share. */
import * as abi from "../../assembly/abi.ts";
import {
  BYTES_LIMIT,
  type Element,
  type Fault,
  type Image,
  must,
  type Ring,
  runs,
  type State,
  sum,
  type World,
} from "./common.ts";
import type { Coverage } from "./coverage.ts";

/** A buffer that was popped: zero-length elements are skipped (H-V-07). */
export interface Chain {
  id: number;
  /** Ring entries that it takes; 1 in the used ring of a split queue. */
  slots: number;
  elements: Element[];
  capacity: number;
}

export interface Marked {
  chain: Chain;
  len: number;
}

/** What the specification leaves to a device. */
export interface DeviceChoices {
  /** In order: how many of the marked buffers each used element stands for, the first of which goes to `at`. */
  batch(marked: readonly Marked[], at: number): number;
  /** Packed: the length of a used descriptor that says that nothing was written. */
  idleLength(): number;
}

export interface DeviceCounts {
  popped: number;
  used: number;
  publishes: number;
  interrupts: number;
}

export const NO_DEVICE_COUNTS: DeviceCounts = { popped: 0, used: 0, publishes: 0, interrupts: 0 };

/** A walk ends with a buffer or with the code of the rule that it broke. */
export type Walk = { chain: Chain } | { error: number };

/** A descriptor in either format: the last two fields are flags and next, or id and flags. */
export interface Descriptor {
  addr: bigint;
  len: number;
  twelve: number;
  fourteen: number;
}

export abstract class DeviceModel {
  readonly ring: Ring;
  readonly world: World;
  readonly image: Image;
  readonly counts: DeviceCounts;
  readonly choices: DeviceChoices;
  readonly cover: Coverage;
  readonly maxChain: number;
  state: State = "live";
  violation: Fault | null = null;
  refusal: Fault | null = null;
  /** Popped and not marked used, oldest first, by handle. */
  readonly inFlight = new Map<number, Chain>();
  /** Marked used and not published. */
  marked: Marked[] = [];
  #popped: Chain[] = [];

  constructor(
    ring: Ring,
    world: World,
    image: Image,
    counts: DeviceCounts,
    choices: DeviceChoices,
    cover: Coverage,
    maxChain: number,
  ) {
    this.ring = ring;
    this.world = world;
    this.image = image;
    this.counts = counts;
    this.choices = choices;
    this.cover = cover;
    this.maxChain = maxChain;
  }

  /** Pops up to `max` buffers whose records fit `bytes`; `name` gives them handles afterwards. */
  pop(max: number, bytes: number): Chain[] {
    this.refusal = null;
    this.#popped = [];
    if (this.state !== "live" || !runs(this.world)) return [];
    let left = bytes;
    let fault = this.refusesAvailable();
    // A buffer is started only where the longest would fit.
    const longest = abi.POP_HEADER + this.maxChain * abi.SEGMENT;
    if (fault === null && bytes < longest) {
      this.refusal = { code: abi.R_STAGING_SIZE, index: 0 };
      return [];
    }
    while (fault === null && this.#popped.length < max && this.sees()) {
      fault = this.refusesHead();
      if (fault !== null) break;
      if (left < longest) {
        this.cover.hit("a burst ends where the staging area does");
        break;
      }
      const walk = this.walk();
      if ("error" in walk) {
        fault = { code: walk.error, index: this.position };
        break;
      }
      this.#popped.push(walk.chain);
      this.taken(walk.chain);
      left -= abi.POP_HEADER + walk.chain.elements.length * abi.SEGMENT;
    }
    if (this.#popped.length === max && max > 0 && this.sees()) this.cover.hit("partial pops");
    if (fault !== null) this.#break(fault);
    this.counts.popped += this.#popped.length;
    return this.#popped;
  }

  /** Gives the buffers that were popped last the names by which they are marked used. */
  name(handles: readonly number[]): void {
    this.#popped.forEach((chain, k) => {
      must(!this.inFlight.has(handles[k]), `handle ${handles[k]} names two buffers in flight`);
      this.inFlight.set(handles[k], chain);
    });
    this.#popped = [];
  }

  #break(fault: Fault): void {
    this.state = "broken";
    this.violation = fault;
    // G-V-02.
    this.world.needsReset = true;
    this.world.configNotifications++;
  }

  protected abstract refusesAvailable(): Fault | null;
  /** Whether a buffer is available. */
  protected abstract sees(): boolean;
  protected abstract refusesHead(): Fault | null;
  /** What a fault of the next buffer is reported at. */
  protected abstract get position(): number;
  protected abstract walk(): Walk;
  protected abstract taken(chain: Chain): void;

  protected readDescriptor(ptr: number): Descriptor {
    const { image } = this;
    return {
      addr: image.u64(ptr),
      len: image.u32(ptr + 8),
      twelve: image.u16(ptr + 12),
      fourteen: image.u16(ptr + 14),
    };
  }

  /** Whether the bytes lie in the address space (H-V-05). */
  protected reaches(addr: bigint, bytes: number): boolean {
    const { base, length } = this.world;
    return addr >= base && addr + BigInt(bytes) <= base + length;
  }

  /** Adds an element to a list; the code of the rule that it breaks, or 0. */
  protected addElement(elements: Element[], { addr, len }: Descriptor, write: boolean): number {
    if (len === 0) {
      this.cover.hit("elements without bytes");
      return 0;
    }
    if (!this.reaches(addr, len)) return abi.E_BUFFER_ADDRESS;
    if (!write && elements.some((element) => element.write)) return abi.E_READABLE_AFTER_WRITABLE;
    elements.push({ ptr: this.image.place(addr), bytes: len, write });
    return 0;
  }

  protected tableError({ addr, len }: Descriptor): number {
    if (len === 0 || len % 16 !== 0 || len / 16 > this.ring.size) return abi.E_TABLE_LENGTH;
    return this.reaches(addr, len) ? 0 : abi.E_TABLE_ADDRESS;
  }

  protected chain(id: number, slots: number, elements: Element[]): Walk {
    if (sum(elements) > BYTES_LIMIT) return { error: abi.E_CHAIN_BYTES };
    return { chain: { id, slots, elements, capacity: Math.min(sum(elements, true), BYTES_LIMIT - 1) } };
  }

  /** Marks buffers used, up to the first record that breaks a rule. */
  markUsed(records: readonly { handle: number; len: number }[]): number {
    this.refusal = null;
    if (this.state !== "live") return 0;
    let done = 0;
    for (const { handle, len } of records) {
      const chain = this.inFlight.get(handle);
      let code = 0;
      if (chain === undefined) code = abi.R_NOT_IN_FLIGHT;
      else if (len > chain.capacity) code = abi.R_LEN_OVER_CAPACITY;
      else if (this.ring.inOrder && chain !== this.oldest) code = abi.R_NOT_IN_ORDER;
      if (code !== 0 || chain === undefined) {
        this.refusal = { code, index: done };
        break;
      }
      this.mark(handle, chain, len);
      done++;
    }
    return done;
  }

  get oldest(): Chain | undefined {
    return this.inFlight.values().next().value;
  }

  /** A device of our own may also say that it wrote more than it could (H-D-03). */
  mark(handle: number, chain: Chain, len: number): void {
    if (chain !== this.oldest) this.cover.hit("used out of order");
    this.inFlight.delete(handle);
    this.marked.push({ chain, len });
    this.counts.used++;
    this.counted(chain);
  }

  protected abstract counted(chain: Chain): void;

  /** Shows the driver what was used; whether it is to be interrupted. */
  publishUsed(): boolean {
    if (this.state !== "live" || !runs(this.world)) return false;
    if (this.marked.length > 0) this.counts.publishes++;
    for (let left = this.marked; left.length > 0; ) {
      const count = this.ring.inOrder ? this.choices.batch(left, this.nextElement) : 1;
      must(count >= 1 && count <= left.length, `a used element names a buffer that was not marked used`);
      const batch = left.slice(0, count);
      for (const { chain, len } of batch.slice(0, -1)) {
        must(len === chain.capacity, `buffer ${chain.id} is skipped, but was not used completely`);
      }
      this.writeUsed(batch);
      left = left.slice(count);
    }
    this.marked = [];
    this.exposeUsed();
    const interrupt = this.wantsInterrupt();
    if (interrupt) this.counts.interrupts++;
    return interrupt;
  }

  /** Where the next used element goes. */
  protected abstract get nextElement(): number;
  protected abstract writeUsed(batch: readonly Marked[]): void;
  protected abstract exposeUsed(): void;
  protected abstract wantsInterrupt(): boolean;

  /** Asks for a kick; whether there is work already. */
  abstract arm(after: number): boolean;
  abstract suppress(): void;
  /** Continues an idle queue after `count` buffers of one element. */
  abstract skip(count: number): void;
  /** Places of used elements that may have been written, but that the driver does not look at yet. */
  abstract unseenUsed(): { ptr: number; bytes: number }[];
}
