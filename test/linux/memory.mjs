// What a device may write in guest memory, found by walking the receive queue as a device would, with code of the
// test's own; and what it did write, found by comparing all of it.

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const AVAIL = 0x80;
const USED = 0x8000;
const DESCRIPTOR = 16;

export class Memory {
  constructor(cpu) {
    this.cpu = cpu;
  }

  get ram() {
    const { wasm_memory, mem8, memory_size } = this.cpu;
    return new DataView(wasm_memory.buffer, mem8.byteOffset, memory_size[0]);
  }

  /**
   * Runs `act`, in which the guest stands still: how many buffers there were, how many bytes changed, and which did
   * that may not. Where the device is in a packed ring nothing in the guest says; it has to.
   */
  async strayWrites(nic, act) {
    const { places, buffers } = this.#writable(nic.queue(0), nic.ring(0).used);
    const before = new Uint8Array(
      this.ram.buffer.slice(this.ram.byteOffset, this.ram.byteOffset + this.ram.byteLength),
    );
    act();
    // What is put off to the end of the turn is done before this goes on.
    await new Promise((resolve) => setImmediate(resolve));
    const after = new Uint8Array(this.ram.buffer, this.ram.byteOffset, this.ram.byteLength);
    let changed = 0;
    const stray = [];
    for (let page = 0; page < after.length; page += 4096) {
      if (Buffer.compare(before.subarray(page, page + 4096), after.subarray(page, page + 4096)) === 0)
        continue;
      for (let at = page; at < page + 4096; at++) {
        if (before[at] === after[at]) continue;
        changed++;
        if (!places.some(({ from, bytes }) => at >= from && at < from + bytes)) stray.push(at.toString(16));
      }
    }
    return { buffers, changed, stray: stray.slice(0, 20) };
  }

  /** Every descriptor of the queue points behind the end of RAM. */
  spoil({ size, addresses: { desc } }) {
    const { ram } = this;
    for (let slot = 0; slot < size; slot++)
      ram.setBigUint64(Number(desc) + slot * DESCRIPTOR, BigInt(ram.byteLength), true);
  }

  /** The device's part of the ring and every place that it may write into; and of how many buffers those are. */
  #writable({ format, size, addresses: { desc, driverArea, deviceArea } }, next) {
    const at = [desc, driverArea, deviceArea].map(Number);
    return format === "split" ? this.#split(size, ...at) : this.#packed(size, next, ...at);
  }

  #split(size, desc, avail, used) {
    const { ram } = this;
    const places = [{ from: used, bytes: 6 + 8 * size }];
    const end = ram.getUint16(avail + 2, true);
    let buffers = 0;
    for (let index = ram.getUint16(used + 2, true); index !== end; index = (index + 1) & 0xffff, buffers++)
      this.#chain(desc, ram.getUint16(avail + 4 + 2 * (index % size), true), places);
    return { places, buffers };
  }

  #chain(table, head, places) {
    for (let index = head; ; ) {
      const { from, bytes, flags, next } = this.#descriptor(table + index * DESCRIPTOR);
      if (flags & INDIRECT) return this.#chain(from, 0, places);
      if (flags & WRITE) places.push({ from, bytes });
      if (!(flags & NEXT)) return;
      index = next;
    }
  }

  #packed(size, next, desc, _driver, device) {
    const places = [
      { from: desc, bytes: size * DESCRIPTOR },
      { from: device, bytes: 4 },
    ];
    let buffers = 0;
    let lap = (this.#packedDescriptor(desc + next * DESCRIPTOR).flags & AVAIL) !== 0;
    for (let at = next; at < next + size; at++) {
      if (at === size) lap = !lap;
      const { from, bytes, flags } = this.#packedDescriptor(desc + (at % size) * DESCRIPTOR);
      // Used, or not available in this lap.
      if (((flags & AVAIL) !== 0) !== lap || ((flags & USED) !== 0) === lap) break;
      if (!(flags & NEXT)) buffers++;
      if (!(flags & INDIRECT)) {
        if (flags & WRITE) places.push({ from, bytes });
        continue;
      }
      for (let entry = 0; entry < bytes; entry += DESCRIPTOR) {
        const element = this.#packedDescriptor(from + entry);
        if (element.flags & WRITE) places.push(element);
      }
    }
    return { places, buffers };
  }

  #descriptor(at) {
    const { ram } = this;
    return {
      from: Number(ram.getBigUint64(at, true)),
      bytes: ram.getUint32(at + 8, true),
      flags: ram.getUint16(at + 12, true),
      next: ram.getUint16(at + 14, true),
    };
  }

  #packedDescriptor(at) {
    const { ram } = this;
    return {
      from: Number(ram.getBigUint64(at, true)),
      bytes: ram.getUint32(at + 8, true),
      flags: ram.getUint16(at + 14, true),
    };
  }
}
