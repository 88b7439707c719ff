// Sends packets through both ring formats and checks what arrives. The driver half and the device half of
// a queue share one memory here; in an emulator the guest's driver takes the place of ours.
//
//   node examples/loopback.mjs
import { Engine, RING_FORMATS } from "vring";

const PACKETS = 1000;
const BURST = 32;
/** A virtio-net header, then the frame in two pieces: three elements, so each packet takes an indirect table. */
const HEADER_BYTES = 12;
/** A place of its own for each packet on its way, not at the same offset of every page. */
const STRIDE = 2112;

for (const format of RING_FORMATS) {
  const engine = await Engine.create({ queueSize: 128, batch: BURST, maxSgs: 3, bufferBytes: 128 * STRIDE });
  const { driver, device } = engine.connect(0, { format, tables: "freelist" });
  const memory = new Uint8Array(engine.memory.buffer);
  let sent = 0;
  let returned = 0;
  let received = 0;

  while (returned < PACKETS) {
    // The driver half: one record for each packet, then one call, one doorbell at most.
    const count = Math.min(BURST, PACKETS - sent);
    const records = driver.staged;
    let at = 0;
    for (let i = 0; i < count; i++) {
      const place = engine.buffers.ptr + ((sent + i) % 128) * STRIDE;
      const bytes = frameBytes(sent + i);
      memory.fill(0, place, place + HEADER_BYTES);
      memory.fill((sent + i) & 0xff, place + HEADER_BYTES, place + HEADER_BYTES + bytes);
      const half = bytes >> 1;
      records[at++] = sent + i; // the token that comes back at reclaim
      records[at++] = 3; // readable elements; writable ones would be in the upper 16 bits
      records[at++] = place;
      records[at++] = HEADER_BYTES;
      records[at++] = place + HEADER_BYTES;
      records[at++] = half;
      records[at++] = place + HEADER_BYTES + half;
      records[at++] = bytes - half;
    }
    const added = driver.addBurst(count);
    if (added < count && driver.refusal) throw driver.refusal;
    sent += added;
    driver.publish();

    // The device half: everything it pops has been checked, so it can be read as it stands.
    const popped = device.popBurst(BURST);
    if (device.violation) throw device.violation;
    const chains = device.popped;
    at = 0;
    for (let i = 0; i < popped; i++) {
      const elements = (chains[at + 1] & 0xffff) + (chains[at + 1] >>> 16);
      const bytes = chains[at + 2] - HEADER_BYTES;
      if (bytes !== frameBytes(received)) throw new Error(`packet ${received} has ${bytes} bytes`);
      const last = memory[chains[at + 4 + 2 * (elements - 1)]];
      if (last !== (received & 0xff)) throw new Error(`packet ${received} holds ${last}`);
      received++;
      at += 4 + 2 * elements;
    }
    device.markPoppedUsed(popped);
    device.publishUsed();
    device.arm(); // asks for a doorbell when the next packet comes; true would mean that it is there already

    // The driver half again: tokens and lengths, in the order in which the device was done.
    const back = driver.reclaimBurst(BURST);
    for (let i = 0; i < back; i++) {
      if (driver.reclaimed[2 * i] !== returned + i) throw new Error(`token ${driver.reclaimed[2 * i]}`);
    }
    returned += back;
  }

  const { tableTakes, tableHits, doorbells } = driver.counters();
  console.log(`${format}: ${received} packets arrived and came back, ${doorbells} doorbells`);
  console.log(`${format}: ${tableTakes} indirect tables taken, ${tableHits} of them from the free list`);
}

function frameBytes(packet) {
  return 60 + ((packet * 37) % 1455);
}
