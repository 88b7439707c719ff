/** The device half of a packed virtqueue (virtio 1.4, 2.8). */
import * as abi from "../../assembly/abi.ts";
import { AVAIL, availBits, Position, USED, usedBits } from "../support/raw-packed.ts";
import { INDIRECT, NEXT, WRITE } from "../support/raw-split.ts";
import type { Element, Fault } from "./common.ts";
import { type Chain, DeviceModel, type Marked, type Walk } from "./device.ts";
import { packedEventMet, readEvent } from "./packed-driver.ts";

export class PackedDeviceModel extends DeviceModel {
  /** The next slot to pop. */
  readonly lastAvail = new Position(this.ring.size);
  /** The next slot for a used descriptor that the driver sees, and where the last decision was taken. */
  readonly published = new Position(this.ring.size);
  readonly #decided = new Position(this.ring.size);
  #covered = 0;
  /** Slots popped and not marked used. */
  #slotsInFlight = 0;
  /** The engine's answer, which counts where the peer named no slot of the ring (H-V-09). */
  junkAnswer: (() => boolean) | null = null;

  protected override refusesAvailable(): Fault | null {
    return null;
  }

  protected override sees(): boolean {
    const flags = this.image.u16(this.ring.desc + 16 * this.lastAvail.slot + 14);
    return (flags & (AVAIL | USED)) === availBits(this.lastAvail.wrap);
  }

  protected override get position(): number {
    return this.lastAvail.slot;
  }

  protected override refusesHead(): Fault | null {
    const full = this.#slotsInFlight >= this.ring.size;
    return full ? { code: abi.E_RING_OVERRUN, index: this.position } : null;
  }

  protected override walk(): Walk {
    const { ring } = this;
    const elements: Element[] = [];
    const at = this.lastAvail.copy();
    for (let slots = 1; ; slots++) {
      const desc = this.readDescriptor(ring.desc + 16 * at.slot);
      const { twelve: id, fourteen: flags } = desc;
      if (flags & INDIRECT) {
        if (slots > 1) return { error: abi.E_INDIRECT_IN_LIST };
        if (!ring.indirect) return { error: abi.E_INDIRECT_NOT_NEGOTIATED };
        if (flags & NEXT) return { error: abi.E_INDIRECT_IN_LIST };
        return this.#walkTable(desc.addr, desc.len, id);
      }
      const error = this.addElement(elements, desc, (flags & WRITE) !== 0);
      if (error !== 0) return { error };
      if (!(flags & NEXT)) return this.chain(id, slots, elements);
      if (slots === this.maxChain) return { error: abi.E_CHAIN_TOO_LONG };
      if (this.#slotsInFlight + slots >= ring.size) return { error: abi.E_RING_OVERRUN };
      at.advance(1);
    }
  }

  /** P-V-03: entries in memory order, in which only WRITE means anything. */
  #walkTable(addr: bigint, len: number, id: number): Walk {
    const elements: Element[] = [];
    const error = this.tableError({ addr, len, twelve: 0, fourteen: 0 });
    if (error === abi.E_TABLE_LENGTH) return { error };
    if (len / 16 > this.maxChain) return { error: abi.E_CHAIN_TOO_LONG };
    if (error !== 0) return { error };
    const table = this.image.place(addr);
    for (let k = 0; k < len / 16; k++) {
      const desc = this.readDescriptor(table + 16 * k);
      const wrong = this.addElement(elements, desc, (desc.fourteen & WRITE) !== 0);
      if (wrong !== 0) return { error: wrong };
    }
    return this.chain(id, 1, elements);
  }

  protected override taken(chain: Chain): void {
    this.#slotsInFlight += chain.slots;
    this.lastAvail.advance(chain.slots);
  }

  protected override counted(chain: Chain): void {
    this.#slotsInFlight -= chain.slots;
    this.#covered += chain.slots;
  }

  protected override get nextElement(): number {
    return this.ring.desc + 16 * this.published.slot;
  }

  protected override writeUsed(batch: readonly Marked[]): void {
    const { chain, len } = batch[batch.length - 1];
    const at = this.nextElement;
    this.image.setU32(at + 8, len > 0 ? len : this.choices.idleLength());
    this.image.setU16(at + 12, chain.id);
    this.image.setU16(at + 14, usedBits(this.published.wrap) | (len > 0 ? WRITE : 0));
    for (const { chain: skipped } of batch) this.published.advance(skipped.slots);
  }

  protected override exposeUsed(): void {
    // The flags of the first used descriptor show the whole batch; the model writes it in one go.
  }

  protected override wantsInterrupt(): boolean {
    const { ring, image, cover } = this;
    const covered = this.#covered;
    const from = this.#decided.copy();
    this.#decided.advance(covered);
    this.#covered = 0;
    const event = readEvent(image.u16(ring.driverArea), image.u16(ring.driverArea + 2));
    if (covered > 0) cover.hit(`packed interrupt, mode ${event.mode}`);
    if (event.mode === 1) return false;
    if (event.mode !== 2 || !ring.eventIdx) return covered > 0;
    if (event.slot >= ring.size && this.junkAnswer !== null) return this.junkAnswer();
    const interrupt = packedEventMet(event, from, covered);
    if (covered > 0) cover.hit(`packed interrupt ${interrupt ? "for" : "not for"} an event`);
    return interrupt;
  }

  override arm(after: number): boolean {
    if (this.state !== "live") return false;
    const { ring, image } = this;
    const position = this.lastAvail.copy();
    position.advance(Math.min(after, ring.size - 1));
    image.setU16(ring.deviceArea, ring.eventIdx ? position.slot | (position.wrap << 15) : 0);
    image.setU16(ring.deviceArea + 2, ring.eventIdx ? 2 : 0);
    return this.sees();
  }

  override suppress(): void {
    if (this.state !== "live") return;
    this.image.setU16(this.ring.deviceArea, 0);
    this.image.setU16(this.ring.deviceArea + 2, 1);
  }

  override skip(count: number): void {
    for (const position of [this.lastAvail, this.published, this.#decided]) {
      for (let k = 0; k < count; k++) position.advance(1);
    }
  }

  override unseenUsed(): { ptr: number; bytes: number }[] {
    const unseen: { ptr: number; bytes: number }[] = [];
    const at = this.published.copy();
    this.marked.forEach(({ chain }, k) => {
      // P-V-12: the first one shows the batch, so it is not written before the others are to be seen.
      if (k > 0) unseen.push({ ptr: this.ring.desc + 16 * at.slot + 8, bytes: 8 });
      at.advance(chain.slots);
    });
    return unseen;
  }
}
