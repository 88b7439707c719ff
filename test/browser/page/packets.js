// Moves packets through a split and a packed ring and compares the bytes, in a page or in a worker.
import { Engine, RING_FORMATS } from "/package/dist/index.js";

const PACKETS = 500;
const BURST = 16;

/** How many packets of each format arrived as they were sent. Throws when one did not. */
export async function movePackets(options) {
  const arrived = {};
  for (const format of RING_FORMATS) {
    const engine = await Engine.create({ queueSize: 64, batch: BURST, ...options });
    const { driver, device } = engine.connect(0, { format, tables: "freelist" });
    arrived[format] = 0;
    for (let packet = 0; packet < PACKETS; ) {
      const sent = [];
      for (let i = 0; i < BURST && packet < PACKETS; i++, packet++) {
        const ptr = engine.buffers.ptr + i * 2112;
        const bytes = Uint8Array.from({ length: 60 + ((packet * 37) % 1455) }, (_, k) => packet * 31 + k * 7);
        engine.bytes(ptr, bytes.length).set(bytes);
        const readable = [
          { ptr, bytes: 20 },
          { ptr: ptr + 20, bytes: bytes.length - 20 },
        ];
        if (!driver.add({ readable, token: packet }))
          throw new Error(`${format}: packet ${packet} does not fit`);
        sent.push(bytes);
      }
      driver.publish();
      for (const { handle, readable } of device.pop()) {
        const got = readable.flatMap(({ ptr, bytes }) => [...engine.bytes(ptr, bytes)]);
        const want = sent.shift();
        if (got.length !== want.length || got.some((byte, k) => byte !== want[k])) {
          throw new Error(`${format}: packet ${arrived[format]} is not what was sent`);
        }
        device.markUsed(handle, 0);
        arrived[format]++;
      }
      device.publishUsed();
      driver.reclaim();
    }
  }
  return arrived;
}
