// A network card, both halves in one program: the driver half negotiates, sends and receives, the device half hands
// its frames to a wire and takes frames from it. In an emulator the guest's own driver takes the place of ours.
//
//   node examples/virtio-net.mjs
import { connectInProcess, Engine, NetDevice, NetDriver } from "vring";

const PAIRS = 2;
const engine = await Engine.create({
  queues: 2 * PAIRS + 1,
  net: { pairs: PAIRS },
  bufferBytes: 8 << 20,
});

// The device half: what it offers is everything that it can do, less what the options leave out.
const card = new NetDevice(engine, { mac: "52:54:00:12:34:56", mtu: 1500, coalesce: true });
// The driver half acks what it can make use of, and does the rest in software.
const nic = new NetDriver(engine, { receiveBuffers: 64 });
const { driver } = connectInProcess(engine, card, nic);
driver.start();
console.log(`up: ${nic.pairs} queue pairs, mtu ${nic.config.mtu}, a header of ${nic.headerBytes} bytes`);

// One packet of 9000 bytes, to be cut into segments of 1448: the driver only asks for it, the device does it.
const bytes = tcp(9000, 1);
nic.sendFrames([{ bytes, checksum: true, header: { gsoSize: 1448 } }]);
const segments = card.takeFrames();
console.log(
  `sent: ${bytes.length} bytes as ${segments.length} frames, ${segments.at(-1).bytes.length} in the last`,
);

// The wire gives them back: the device puts them together again, because the driver takes such frames.
nic.commands.setReceiveMode("promiscuous", true);
card.giveFrames(segments);
for (const frame of nic.receiveFrames()) {
  const { gsoSize, flags } = frame.header;
  console.log(
    `received: ${frame.bytes.length} bytes, segments of ${gsoSize}, flags ${flags}, on pair ${frame.pair}`,
  );
}

const { tx_gso_segments, rx_gso_packets_coalesced, rx_drops } = card.statistics();
console.log(
  `device: tx_gso_segments ${tx_gso_segments}, rx_gso_packets_coalesced ${rx_gso_packets_coalesced}, rx_drops ${rx_drops}`,
);

/** Ethernet, IPv4 and TCP with so much payload; the checksum of TCP is left to the card. */
function tcp(payload, sequence) {
  const frame = new Uint8Array(54 + payload);
  const view = new DataView(frame.buffer);
  frame.set([0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 0, 0x45]);
  view.setUint16(16, 40 + payload);
  view.setUint32(20, 0x40004006); // don't fragment, time to live, TCP
  view.setUint32(26, 0xc6120001); // 198.18.0.1
  view.setUint32(30, 0xc6130001); // 198.19.0.1
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
  view.setUint16(24, ~((sum & 0xffff) + (sum >>> 16)));
  view.setUint16(34, 40000);
  view.setUint16(36, 80);
  view.setUint32(38, sequence);
  view.setUint16(46, 0x5010); // a header of 5 words, ACK
  view.setUint16(48, 65535);
  return frame.fill(0x5a, 54);
}
