/** The driver half of a network card, and a device that means harm: headers, lengths, counts and answers of every kind. */
import { DeviceCore } from "../src/device/core.ts";
import type { DeviceHost, DeviceKind } from "../src/device/kind.ts";
import { DriverCore } from "../src/driver/core.ts";
import { NET_DRIVER_FEATURES, NetDriver } from "../src/driver/net.ts";
import { Engine } from "../src/engine.ts";
import { Features } from "../src/features.ts";
import { NetFeatures as F, NET_FEATURE_RULES } from "../src/net-features.ts";
import type { NetHeader } from "../src/net-records.ts";
import { Bytes } from "./bytes.ts";
import { bucket, type Report, type Runner, type Target } from "./target.ts";
import { Failure } from "./world.ts";

const LARGE = F.GUEST_CSUM | F.GUEST_TSO4 | F.GUEST_TSO6 | F.GUEST_USO4;
const CHOICES = [
  0n,
  F.GUEST_CSUM,
  F.MRG_RXBUF,
  F.MRG_RXBUF | LARGE,
  F.MRG_RXBUF | LARGE | F.CTRL_VQ | F.HASH_REPORT,
  F.MRG_RXBUF | F.OUT_NET_HEADER | F.CSUM | F.CTRL_VQ | F.CTRL_RX,
];
const BUFFERS = 24;
const COUNTERS = [
  "rx_length_errors",
  "rx_frame_errors",
  "rx_hash_unknown",
  "rx_drop_num_buffers",
  "rx_csum_bad",
] as const;

/** A device that shows a config space; what it does with buffers is the case's. */
class Hostile implements DeviceKind {
  readonly deviceId = 1;
  readonly queueCount = 3;
  features = 0n;
  readonly rules = NET_FEATURE_RULES;
  readonly configBytes = 28;
  core!: DeviceHost;
  attach(core: DeviceHost): void {
    this.core = core;
  }
  reset(): void {
    const config = new Uint8Array(28).fill(0xff);
    config.set([1, 0, 1, 0, 0xdc, 5], 6);
    this.core.changeConfig(0, config);
  }
  driverOk(): void {}
  kicked(): void {}
}

class NetDriverRunner implements Runner {
  readonly #engine: Engine;
  readonly #nic: NetDriver;
  readonly #device: DeviceCore;
  readonly #driver: DriverCore;
  readonly #kind = new Hostile();
  /** Frames that were received in this case. */
  #moved = 0;
  readonly #untouched = new Uint8Array(1 << 21).fill(0xa5);

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#nic = new NetDriver(engine, {
      receiveBuffers: BUFFERS,
      receiveBytes: 256,
      verify: true,
      pollLimit: 2,
    });
    this.#device = new DeviceCore(engine, this.#kind);
    this.#driver = new DriverCore(engine, this.#device, this.#nic);
    this.#device.connect(this.#driver);
    for (const name of ["scratch", "device 0 net device"]) this.#bytesOf(name).fill(0xa5);
  }

  reset(): void {
    this.#driver.reset();
    this.#nic.takeLost();
  }

  run(bytes: Uint8Array, report: Report): void {
    const input = new Bytes(bytes);
    const packed = input.below(2) === 1 ? Features.RING_PACKED : 0n;
    const features = input.pick(CHOICES) & NET_DRIVER_FEATURES;
    report.say(() => `device: ${packed ? "packed" : "split"} rings, features ${features.toString(16)}`);
    this.#begin(features | packed | Features.EVENT_IDX | Features.INDIRECT_DESC);
    const before = this.#nic.statistics();
    this.#moved = 0;
    const canaries = this.#engine.bytes(this.#nic.sendArea.ptr + 512, 1 << 15);
    canaries.fill(0xa5);
    while (input.left > 0) {
      const step = input.below(5);
      this.#step(step, input, report);
      if (!this.#isUntouched(canaries)) throw new Failure("shared memory that is nobody's has changed");
      for (const name of ["scratch", "device 0 net device"])
        if (!this.#isUntouched(this.#bytesOf(name))) throw new Failure(`${name} has changed`);
      report.signal(step, bucket(this.#moved), this.#driver.queue(0).violation === null ? 0 : 1);
    }
    const after = this.#nic.statistics();
    for (const name of COUNTERS) if (after[name] > before[name]) report.reached(name);
    const { violation } = this.#driver.queue(0);
    if (violation) report.reached(violation.code);
    if (this.#driver.status & 64) throw new Failure("a driver must not raise DEVICE_NEEDS_RESET");
    this.#recovers();
  }

  #begin(features: bigint): void {
    this.#kind.features = features;
    // The offer is decided at a reset.
    this.#device.writeStatus(0);
    this.#driver.start();
    this.#nic.takeLost();
  }

  #step(step: number, input: Bytes, report: Report): void {
    if (step <= 1) this.#give(input, report);
    else if (step === 2) this.#receive(report);
    else if (step === 3) this.#send(input, report);
    else this.#scribble(input, report);
  }

  /** Uses a few receive buffers, with lengths and a header that are nearly right. */
  #give(input: Bytes, report: Report): void {
    const half = this.#device.queue(0);
    if (half === null) return;
    const chains = half.pop(1 + input.below(3));
    for (const [k, chain] of chains.entries()) {
      const [{ ptr, bytes }] = chain.writable;
      const length = Math.min(bytes, input.pick([0, 5, 11, 12, 20, 25, 26, 32, 46, 80, 200, 256]));
      const view = new DataView(this.#engine.memory.buffer, ptr);
      this.#engine.bytes(ptr, Math.min(bytes, 64)).fill(0);
      if (k === 0) {
        view.setUint8(0, input.pick([0, 0, 1, 2, 4, 5, 8, 9, 0x80]));
        view.setUint8(1, input.pick([0, 0, 0, 1, 4, 5, 0x21, 0x81, 0x1f]));
        view.setUint16(4, input.pick([0, 1, 100, 0xffff]), true);
        view.setUint16(6, input.pick([14, 34, 0, 0xffff]), true);
        view.setUint16(8, input.pick([6, 16, 0, 0xffff]), true);
        view.setUint16(10, input.pick([chains.length, chains.length, 1, 0, 4, 0xffff]), true);
        view.setUint16(16, input.pick([0, 1, 9, 10, 0xffff]), true);
        this.#engine
          .bytes(ptr + this.#nic.headerBytes, 36)
          .set([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 8, 0, 0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6]);
      }
      report.say(
        () =>
          `device: uses a buffer with ${length} bytes: ${Buffer.from(this.#engine.bytes(ptr, 20)).toString("hex")}`,
      );
      half.markUsed(chain.handle, length);
    }
    this.#device.publishUsed(0);
  }

  #receive(report: Report): void {
    const frames = this.#nic.receiveFrames();
    report.say(() => `driver: receives ${frames.map(({ bytes }) => bytes.length)}`);
    this.#moved += frames.length;
    for (const { bytes, header } of frames) {
      if (header === undefined || bytes.length < 14)
        throw new Failure(`a frame of ${bytes.length} bytes was received`);
      const { flags, gsoType, gsoSize, csumStart, csumOffset, hashReport } = header as NetHeader;
      if (flags & ~11 || (flags & 3) === 3) throw new Failure(`flags ${flags}`);
      if (flags & 1 && csumStart + csumOffset + 2 > bytes.length)
        throw new Failure("a checksum past the end");
      if (gsoType !== 0 && (!(flags & 1) || gsoSize === 0))
        throw new Failure(`gso_type ${gsoType} without the rest`);
      if (hashReport > 9) throw new Failure(`hash_report ${hashReport}`);
    }
    const queue = this.#driver.queue(0);
    const out = queue.outstanding;
    if (queue.state === "live" && out !== BUFFERS)
      throw new Failure(`${out} receive buffers are out, not ${BUFFERS}`);
  }

  #send(input: Bytes, report: Report): void {
    const bytes = new Uint8Array(14 + input.below(200)).fill(3);
    report.say(() => `driver: sends ${bytes.length} bytes`);
    this.#nic.sendFrames([{ bytes }]);
    const half = this.#device.queue(1);
    for (const chain of half?.pop(4) ?? []) {
      const sent = chain.readable.reduce((sum, { bytes: count }) => sum + count, 0);
      if (sent < this.#nic.headerBytes + 14) throw new Failure("a buffer that holds no frame was sent");
      if (input.below(3) > 0) half?.markUsed(chain.handle, 0);
    }
    this.#device.publishUsed(1);
  }

  /** Writes over receive buffers, whoever has them. */
  #scribble(input: Bytes, report: Report): void {
    const at = this.#engine.buffers.ptr + 4160 + input.below(BUFFERS) * 256;
    const value = input.u8();
    report.say(() => `device: writes ${value} over a receive buffer`);
    this.#engine.bytes(at, 64).fill(value);
  }

  /** After a reset every token is back, and an honest packet comes through. */
  #recovers(): void {
    this.#begin(F.MRG_RXBUF);
    const half = this.#device.queue(0);
    const [chain] = half?.pop(1) ?? [];
    if (half === null || chain === undefined) throw new Failure("no receive buffer after a reset");
    const packet = new Uint8Array(12 + 60).fill(7);
    packet.fill(0, 0, 12);
    packet[10] = 1;
    this.#engine.bytes(chain.writable[0].ptr, packet.length).set(packet);
    half.markUsed(chain.handle, packet.length);
    this.#device.publishUsed(0);
    const [frame] = this.#nic.receiveFrames();
    if (frame === undefined || Buffer.compare(frame.bytes, packet.subarray(12)) !== 0)
      throw new Failure("nothing comes in after a reset");
    if (this.#nic.outstanding !== 0) throw new Failure("frames are out after a reset");
  }

  #isUntouched(bytes: Uint8Array): boolean {
    return Buffer.compare(bytes, this.#untouched.subarray(0, bytes.length)) === 0;
  }

  #bytesOf(name: string): Uint8Array {
    const { ptr, bytes } = this.#engine.region(name);
    return this.#engine.bytes(ptr, Math.min(bytes, 1 << 16));
  }
}

export const netDriverTarget: Target = {
  name: "net-driver",
  outcomes: [...COUNTERS, "net-num-buffers"],
  start: async (module) => {
    const engine = await Engine.create({
      module,
      queues: 3,
      queueSize: 32,
      batch: 16,
      net: { pairs: 1, records: 16, frameBytes: 66000 },
      bufferBytes: 1800 * 1024,
      scratchBytes: 4096,
    });
    return new NetDriverRunner(engine);
  },
};
