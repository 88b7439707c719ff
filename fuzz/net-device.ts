/** The device half of a network card, and a driver that means harm: headers, frames, buffers and commands of every kind. */
import { DeviceCore } from "../src/device/core.ts";
import { NetDevice } from "../src/device/net.ts";
import { DriverCore } from "../src/driver/core.ts";
import type { DriverHost, DriverKind, QueuePlan } from "../src/driver/kind.ts";
import { Engine } from "../src/engine.ts";
import { Features } from "../src/features.ts";
import { NetFeatures as F, NET_FEATURE_RULES } from "../src/net-features.ts";
import { NET_COUNTER_NAMES } from "../src/net-names.ts";
import { Bytes } from "./bytes.ts";
import { bucket, type Report, type Runner, type Target } from "./target.ts";
import { Failure } from "./world.ts";

const DROPS = [
  ...NET_COUNTER_NAMES.deviceTransmit,
  ...NET_COUNTER_NAMES.deviceReceive,
  ...NET_COUNTER_NAMES.device,
].filter((name) => name.includes("_drop_") && !name.endsWith("_address") && name !== "rx_drop_link_down");
/** What a driver can reach; a reset in the middle of a frame, and what only a host's own mistake leads to, are tested elsewhere. */
const REACHED = DROPS.filter(
  (name) =>
    ![
      "rx_drop_reset",
      "tx_drop_reset",
      "rx_drop_length",
      "rx_drop_header",
      "rx_drop_gso",
      "rx_drop_queue",
    ].includes(name),
);
const CSUM = F.CSUM | F.GUEST_CSUM;
const OFFLOADS =
  CSUM | F.HOST_TSO4 | F.HOST_TSO6 | F.HOST_ECN | F.HOST_UFO | F.HOST_USO | F.GUEST_TSO4 | F.GUEST_TSO6;
const CONTROL =
  F.CTRL_VQ |
  F.CTRL_RX |
  F.CTRL_RX_EXTRA |
  F.CTRL_VLAN |
  F.CTRL_MAC_ADDR |
  F.MQ |
  F.RSS |
  F.NOTF_COAL |
  F.VQ_NOTF_COAL |
  F.CTRL_GUEST_OFFLOADS;
const CHOICES = [
  0n,
  CSUM,
  OFFLOADS,
  OFFLOADS | F.MRG_RXBUF,
  OFFLOADS | F.MRG_RXBUF | CONTROL | F.MTU,
  CONTROL | F.MTU,
  OFFLOADS | F.MRG_RXBUF | CONTROL | F.OUT_NET_HEADER | F.HASH_REPORT,
];
const PAIRS = 2;

/** A driver that sets its queues up; what it puts there is the case's. */
class Hostile implements DriverKind {
  readonly deviceId = 1;
  features = 0n;
  readonly rules = NET_FEATURE_RULES;
  core: DriverHost | null = null;
  configBytes(): number {
    return 0;
  }
  queues(core: DriverHost): readonly QueuePlan[] {
    this.core = core;
    const multi = (core.features & (F.MQ | F.RSS)) !== 0n;
    const count = multi ? 2 * PAIRS : 2;
    const control = (core.features & F.CTRL_VQ) !== 0n ? [{ index: count }] : [];
    return [...Array.from({ length: count }, (_, index) => ({ index })), ...control];
  }
  usedBuffers(): void {}
  queueStopped(queue: number): void {
    this.core?.queue(queue).detach();
  }
}

class NetDeviceRunner implements Runner {
  readonly #engine: Engine;
  readonly #net: NetDevice;
  readonly #device: DeviceCore;
  readonly #driver: DriverCore;
  readonly #kind = new Hostile();
  readonly #lent: { ptr: number; bytes: number }[] = [];
  readonly #untouched = new Uint8Array(1 << 19).fill(0xa5);
  #at = 0;
  /** Frames that came out in this case. */
  #moved = 0;
  #image = new Uint8Array(0);

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#net = new NetDevice(engine, { pairs: PAIRS, mac: "52:54:00:12:34:56", mtu: 300, coalesce: true });
    this.#device = new DeviceCore(engine, this.#net);
    this.#driver = new DriverCore(engine, this.#device, this.#kind);
    this.#device.connect(this.#driver);
    for (const name of ["scratch", "device 0 net driver"]) this.#bytesOf(name).fill(0xa5);
  }

  reset(): void {
    this.#device.writeStatus(0);
  }

  run(bytes: Uint8Array, report: Report): void {
    const input = new Bytes(bytes);
    const packed = input.below(2) === 1 ? Features.RING_PACKED : 0n;
    const features = input.pick(CHOICES);
    this.#kind.features = features | packed | Features.INDIRECT_DESC | Features.EVENT_IDX;
    report.say(() => `driver: ${packed ? "packed" : "split"} rings, features ${features.toString(16)}`);
    this.#begin();
    const before = this.#net.statistics();
    while (input.left > 0) {
      const step = input.below(6);
      this.#step(step, input, report);
      this.#check();
      report.signal(step, bucket(this.#moved), this.#device.readStatus() >> 6);
    }
    const after = this.#net.statistics();
    for (const name of DROPS)
      if (after[name as keyof typeof after] > before[name as keyof typeof before]) report.reached(name);
    for (let queue = 0; queue < this.#device.queueCount; queue++) {
      const violation = this.#device.queue(queue)?.violation;
      if (violation) report.reached(violation.code);
    }
    this.#recovers();
  }

  #begin(): void {
    const { ptr, bytes } = this.#engine.buffers;
    this.#lent.length = 0;
    this.#moved = 0;
    this.#at = ptr;
    this.#engine.bytes(ptr, bytes).fill(0x5a);
    this.#driver.start();
    this.#image = this.#engine.bytes(ptr, bytes).slice();
  }

  #step(step: number, input: Bytes, report: Report): void {
    const multi = (this.#driver.features & (F.MQ | F.RSS)) !== 0n;
    const pair = multi ? input.below(PAIRS) : 0;
    if (step <= 1) {
      const data = this.#packet(input);
      report.say(
        () =>
          `driver: sends ${data.length} bytes on pair ${pair}: ${Buffer.from(data.subarray(0, 20)).toString("hex")}`,
      );
      this.#lend(2 * pair + 1, data, input.below(4), 0);
    } else if (step === 2) {
      const bytes = input.pick([4, 12, 40, 70, 200, 700, 2000]);
      report.say(() => `driver: posts ${bytes} bytes on pair ${pair}`);
      this.#lend(2 * pair, new Uint8Array(0), 0, bytes);
    } else if (step === 3 && this.#driver.features & F.CTRL_VQ) {
      const data = Uint8Array.from({ length: input.below(70) }, () => input.u8());
      if (data.length > 1) data[0] %= 8;
      if (data.length > 1) data[1] %= 7;
      report.say(() => `driver: command ${Buffer.from(data).toString("hex")}`);
      this.#lend(
        multi ? 2 * PAIRS : 2,
        data.length ? data : Uint8Array.of(0),
        input.below(3),
        input.pick([0, 1, 9]),
      );
    } else if (step === 4) {
      report.say(() => "host: takes what was sent");
      const frames = this.#net.takeFrames();
      this.#moved += frames.length;
      for (const { bytes } of frames)
        if (bytes.length < 14 || bytes.length > 65589)
          throw new Failure(`a frame of ${bytes.length} bytes came out`);
    } else {
      const frame = this.#packet(input).subarray(12);
      if (frame.length < 14) return;
      report.say(() => `host: hands in ${frame.length} bytes`);
      const runs = this.#device.running;
      if (this.#net.giveFrames([{ bytes: frame }]) !== Number(runs))
        throw new Failure("a frame was neither taken nor left");
    }
  }

  /** A header and a frame that are nearly right: an Ethernet frame of IPv4 and TCP, with bytes changed. */
  #packet(input: Bytes): Uint8Array {
    const headerBytes = this.#driver.features & F.OUT_NET_HEADER ? 32 : 12;
    const payload = input.pick([0, 1, 60, 246, 247, 600, 1400]);
    const data = new Uint8Array(headerBytes + 54 + payload);
    const view = new DataView(data.buffer);
    const frame = headerBytes;
    const own = input.below(2) === 0;
    const tagged = input.below(4) === 0;
    data.set([0x52, 0x54, 0, 0x12, 0x34, own ? 0x56 : 0x57, 2, 0, 0, 0, 0, 1, 8, 0, 0x45], frame);
    view.setUint16(frame + 16, 40 + payload);
    if (tagged) data.set([0x81, 0], frame + 12);
    data.set([64, 6], frame + 22);
    view.setUint16(frame + 46, 0x5010);
    view.setUint8(0, input.pick([0, 1, 1, 1, 2, 9, 0x81]));
    view.setUint8(1, input.pick([0, 0, 1, 1, 4, 5, 3, 0x81, 0x21, 0x61, 2]));
    view.setUint16(4, input.pick([0, 1, 100, 1448, 0xffff]), true);
    view.setUint16(6, input.pick([34, 34, 0, 33, 0xffff]), true);
    view.setUint16(8, input.pick([16, 16, 6, 0, 0xffff]), true);
    for (let changes = input.below(4); changes > 0; changes--)
      data[(input.u8() * 3) % data.length] = input.u8();
    return input.below(8) === 0 ? data.subarray(0, 1 + input.below(headerBytes + 20)) : data;
  }

  /** Adds a buffer: data cut into `cuts` + 1 pieces, then room to write. */
  #lend(queue: number, data: Uint8Array, cuts: number, room: number): void {
    const { ptr, bytes } = this.#engine.buffers;
    if (this.#at + data.length + room + 64 > ptr + bytes) return;
    const pieces = Math.min(cuts + 1, Math.max(1, data.length));
    const readable = [];
    for (let k = 0, at = 0; k < pieces && data.length > 0; k++) {
      const end = k === pieces - 1 ? data.length : Math.floor(((k + 1) * data.length) / pieces);
      if (end === at) continue;
      this.#engine.bytes(this.#at, end - at).set(data.subarray(at, end));
      this.#image.set(data.subarray(at, end), this.#at - ptr);
      readable.push({ ptr: this.#at, bytes: end - at });
      this.#at += end - at + 3;
      at = end;
    }
    const writable = room > 0 ? [{ ptr: this.#at, bytes: room }] : [];
    this.#lent.push(...writable);
    this.#at += room + 5;
    if (readable.length + writable.length === 0 || this.#driver.queue(queue).state !== "live") return;
    if (this.#driver.queue(queue).add({ readable, writable, token: 1 })) this.#driver.publish(queue);
    this.#driver.queue(queue).reclaim();
  }

  /** Nothing but what was lent for writing has changed, nor what is nobody's. */
  #check(): void {
    const { ptr, bytes } = this.#engine.buffers;
    const now = this.#engine.bytes(ptr, bytes);
    for (const span of this.#lent)
      this.#image.set(now.subarray(span.ptr - ptr, span.ptr - ptr + span.bytes), span.ptr - ptr);
    if (Buffer.compare(now, this.#image) !== 0)
      throw new Failure("shared memory that was not lent for writing has changed");
    for (const name of ["scratch", "device 0 net driver"])
      if (!this.#isUntouched(name)) throw new Failure(`${name} has changed`);
    for (let queue = 0; queue < this.#device.queueCount; queue++) {
      const half = this.#device.queue(queue);
      if (half?.state === "broken" && !(this.#device.readStatus() & 64))
        throw new Failure("broken without DEVICE_NEEDS_RESET");
      if (half?.refusal) throw new Failure(`the device half was refused: ${half.refusal.code}`);
    }
  }

  /** After a reset an honest frame goes each way. */
  #recovers(): void {
    this.#kind.features = Features.VERSION_1;
    this.#begin();
    const frame = Uint8Array.from({ length: 60 }, (_, k) => k);
    this.#lend(1, Uint8Array.of(...new Uint8Array(12), ...frame), 2, 0);
    const [out] = this.#net.takeFrames();
    if (out === undefined || Buffer.compare(out.bytes, frame) !== 0)
      throw new Failure("nothing goes out after a reset");
    this.#lend(0, new Uint8Array(0), 0, 100);
    this.#net.giveFrames([{ bytes: frame }]);
    const [used] = this.#driver.queue(0).reclaim();
    if (used?.len !== 72) throw new Failure("nothing comes in after a reset");
    this.#check();
  }

  #isUntouched(name: string): boolean {
    const bytes = this.#bytesOf(name);
    return Buffer.compare(bytes, this.#untouched.subarray(0, bytes.length)) === 0;
  }

  #bytesOf(name: string): Uint8Array {
    const { ptr, bytes } = this.#engine.region(name);
    return this.#engine.bytes(ptr, Math.min(bytes, 1 << 16));
  }
}

export const netDeviceTarget: Target = {
  name: "net-device",
  outcomes: [...REACHED, "net-buffer"],
  start: async (module) => {
    const engine = await Engine.create({
      module,
      queues: 2 * PAIRS + 1,
      queueSize: 32,
      batch: 16,
      net: { pairs: PAIRS, records: 16, frameBytes: 66000 },
      bufferBytes: 1 << 17,
      scratchBytes: 4096,
    });
    return new NetDeviceRunner(engine);
  },
};
