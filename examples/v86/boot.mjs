// Boots Linux in v86 with a vring network card, pings v86's own "fetch" network from it, and says what the card saw.
// The guest is made of Debian's packages by test/guest/build.mjs.
//
//   node examples/v86/boot.mjs
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { V86 } from "v86";
import { attach } from "vring/v86";
import { buildGuest } from "../../test/guest/build.mjs";

const guest = buildGuest();
const file = (path) => ({ buffer: new Uint8Array(readFileSync(path)).buffer });
const emulator = new V86({
  wasm_path: createRequire(import.meta.url)
    .resolve("v86")
    .replace("libv86.mjs", "v86.wasm"),
  memory_size: 128 << 20,
  bios: file(guest.bios),
  vga_bios: file(guest.vgaBios),
  bzimage: file(guest.kernel),
  initrd: file(guest.initramfs),
  cmdline: guest.cmdline,
  // Any of v86's network backends will do; this one answers pings by itself.
  net_device: { type: "virtio", relay_url: "fetch" },
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
  autostart: false,
});
await new Promise((resolve) => emulator.add_listener("emulator-loaded", resolve));
const card = await attach(emulator);

let said = "";
const commands = [
  [
    "guest: ready\n",
    "ip addr add 192.168.86.100/24 dev eth0 && ip link set eth0 up && ping -c 3 192.168.86.1; echo END",
  ],
  ["END\n", undefined],
];
emulator.add_listener("serial0-output-byte", (byte) => {
  said += String.fromCharCode(byte);
  if (said.endsWith("\n") && !said.includes("built-in")) process.stdout.write(said);
  if (said.endsWith("\n")) next(said);
});
emulator.run();

function next(line) {
  said = "";
  if (line !== commands[0]?.[0]) return;
  const [, command] = commands.shift();
  if (command !== undefined) emulator.serial0_send(`${command}\n`);
  else finish();
}

function finish() {
  const { format, size } = card.ring(1);
  const { sent, received } = card.counters();
  console.log(`card: ${format} rings of ${size}, ${sent} frames sent and ${received} received`);
  process.exit();
}
