// A guest in a process of its own: v86 with Debian's kernel, a network card, and something on the wire. The
// process that forked it (machine.ts) calls its methods by name.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { V86 } from "v86";
import { attach } from "vring/v86";
import { Host } from "./ethernet.mjs";
import { Memory } from "./memory.mjs";
import { Serial } from "./serial.mjs";
import { Wire } from "./wire.mjs";

const v86Wasm = createRequire(import.meta.url)
  .resolve("v86")
  .replace("libv86.mjs", "v86.wasm");

class Machine {
  /** Makes the emulator and puts the card in; `run` starts it. */
  async create({ guest, nic, cmdline, memoryBytes, ip, peerIp, mtu, options = {} }) {
    this.emulator = new V86({
      wasm_path: v86Wasm,
      memory_size: memoryBytes,
      bios: file(guest.bios),
      vga_bios: file(guest.vgaBios),
      bzimage: file(guest.kernel),
      initrd: file(guest.initramfs),
      cmdline,
      autostart: false,
      disable_keyboard: true,
      disable_mouse: true,
      disable_speaker: true,
      net_device: { type: "virtio", mtu },
    });
    await new Promise((resolve) => this.emulator.add_listener("emulator-loaded", resolve));
    this.cpu = this.emulator.v86.cpu;
    this.serial = new Serial(this.emulator);
    this.own = this.cpu.devices.virtio_net;
    if (nic === "vring") this.nic = await attach(this.emulator, options);
    this.frames = { fromGuest: 0, toGuest: 0 };
    const toGuest = (frame) => {
      this.frames.toGuest++;
      this.emulator.bus.send("net0-receive", frame);
    };
    this.host = new Host(toGuest, { mac: [2, 0, 0, 0, 0, 1], ip: peerIp, guestIp: ip, mtu });
    this.wire = new Wire(toGuest);
    this.receive = (frame) => this.host.receive(frame);
    this.emulator.add_listener("net0-send", (frame) => {
      this.frames.fromGuest++;
      this.receive(frame);
    });
    this.memory = new Memory(this.cpu);
  }

  async run() {
    this.emulator.run();
    await this.serial.until("guest: ready\n");
  }

  shell({ command, timeout }) {
    return this.serial.shell(command, timeout);
  }

  ping({ count, bytes }) {
    return this.host.ping(count, bytes);
  }

  /** Puts the other end of the wire into another machine: one listens at a socket's path, the other connects. */
  async listen({ path }) {
    this.receive = (frame) => this.wire.send(frame);
    await this.wire.listen(path);
  }
  async connect({ path }) {
    this.receive = (frame) => this.wire.send(frame);
    await this.wire.connect(path);
  }

  /** Nobody is on the wire: what the guest sends is counted and dropped. */
  unplug() {
    this.receive = () => {};
  }

  counters() {
    return { frames: this.frames, ...this.nic?.counters() };
  }

  /** The guest stands still until `resume`. */
  async pause() {
    await this.#stop();
  }
  resume() {
    this.emulator.run();
  }

  /** What the methods of v86's own queues do now; none may work while ours are there. */
  ownQueues() {
    const methods = ["has_request", "count_requests", "pop_request", "push_reply", "flush_replies"];
    return this.own.virtio.queues.flatMap((queue) =>
      methods.map((method) => {
        try {
          queue[method]();
          return `${method} works`;
        } catch (error) {
          return error.message;
        }
      }),
    );
  }

  /** The guest stops for good: what it did after it was saved, its peer would know of and it would not. */
  async save({ path }) {
    await this.#stop();
    writeFileSync(path, new Uint8Array(await this.emulator.save_state()));
  }

  /** In place of `run`: goes on where the saved machine was. */
  async restore({ path }) {
    const state = readFileSync(path);
    const buffer = state.buffer.slice(state.byteOffset, state.byteOffset + state.length);
    await this.emulator.restore_state(buffer);
    this.emulator.run();
  }

  /** Sends frames, a burst of 32 a turn of the event loop, in which the guest runs a slice. */
  async pour({ count, bytes }) {
    const frame = this.host.frameOf(new Uint8Array(bytes - 14));
    for (let sent = 0; sent < count; sent += 32) {
      for (let k = 0; k < 32; k++) this.host.send(frame);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Sends bursts of frames that nobody asked for until `stopFlood`. */
  flood({ frames, bytes, milliseconds }) {
    const frame = this.host.frameOf(new Uint8Array(bytes));
    this.flooding = setInterval(() => {
      for (let k = 0; k < frames; k++) this.host.send(frame);
    }, milliseconds);
  }
  stopFlood() {
    clearInterval(this.flooding);
  }

  /** Puts what a hostile driver would into the receive queue: addresses that are no RAM. */
  spoilReceiveQueue() {
    this.memory.spoil(this.nic.queue(0));
  }

  /** Sends `count` frames of `bytes` while the guest stands still; what that wrote outside of rings and buffers. */
  async strayWrites({ count, bytes }) {
    await this.#stop();
    // v86 delivers an interrupt as it is raised, and that writes to the guest's stack: it has to wait.
    const { pci } = this.cpu.devices;
    const raise = pci.raise_irq;
    let raised;
    pci.raise_irq = (id) => {
      raised = id;
    };
    const stray = await this.memory.strayWrites(this.nic, () => {
      for (let k = 0; k < count; k++) this.host.send(this.host.frameOf(new Uint8Array(bytes).fill(k + 1)));
    });
    pci.raise_irq = raise;
    if (raised !== undefined) pci.raise_irq(raised);
    this.emulator.run();
    return stray;
  }

  async #stop() {
    const stopped = new Promise((resolve) => this.emulator.add_listener("emulator-stopped", resolve));
    this.emulator.stop();
    await stopped;
  }
}

function file(path) {
  const { buffer, byteOffset, length } = readFileSync(path);
  return { buffer: buffer.slice(byteOffset, byteOffset + length) };
}

const machine = new Machine();
process.on("message", async ({ id, method, argument }) => {
  try {
    process.send({ id, result: await machine[method](argument) });
  } catch (error) {
    process.send({ id, error: `${method}: ${error.message}\n${machine.serial?.tail ?? ""}` });
  }
});
// Whoever forked it is gone.
process.on("disconnect", () => process.exit());
