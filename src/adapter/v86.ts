/**
 * A vring network card in the x86 emulator v86: the device half runs in the emulator's own memory, and the guest's
 * driver finds it on the PCI bus. Frames come and go as the emulator's network events, so every network backend that
 * the emulator has works with it.
 */
import { DeviceCore } from "../device/core.ts";
import { NetDevice } from "../device/net.ts";
import type { DeviceQueue } from "../device-queue.ts";
import { Engine } from "../engine.ts";
import { ConfigError } from "../errors.ts";
import { Features } from "../features.ts";
import type { RingFormat } from "../names.ts";
import { NetFeatures } from "../net-features.ts";
import type { NetDeviceStatistics } from "../net-names.ts";
import { PciTransport } from "../transport/pci.ts";
import { FramePort } from "./frame-port.ts";
import { type RingView, viewRing } from "./ring-view.ts";
import { Turn } from "./turn.ts";
import { type Cpu, type Emulator, internalsOf } from "./v86-internals.ts";
import { displaceOwnCard, installPci } from "./v86-pci.ts";
import { installState } from "./v86-state.ts";
import { WrittenPages } from "./written-pages.ts";

export type { RingView } from "./ring-view.ts";
export { type Emulator, EmulatorMismatchError } from "./v86-internals.ts";

export interface AttachOptions {
  /**
   * The rings' format, as far as the driver knows it. Default "split": with packed rings Linux runs some ten per cent more
   * instructions a packet, and in an emulator these are what counts.
   */
  format?: RingFormat;
  /** Features that are left out of the offer: bits of `Features` and `NetFeatures`. */
  without?: bigint;
  /** Six bytes; default: a random address that is locally administered. */
  mac?: ArrayLike<number>;
  /** The largest packet, without its Ethernet header. Default 1500. */
  mtu?: number;
  /** Most entries of a ring, a power of two. Default 256. */
  queueSize?: number;
  /** The engine's code, where it can't be loaded from beside this file. */
  module?: WebAssembly.Module | BufferSource;
}

const TRANSMIT = 1;
const QUEUES = 3;
/** PCI's class, subclass and interface of an Ethernet controller. */
const ETHERNET_CONTROLLER = 0x020000;

/**
 * Not offered here. There is no IOMMU and one processor, so nothing to spread over queues; and notifications that wait
 * by a clock are worse than the turns of the event loop, which this adapter goes by.
 */
const LEFT_OUT =
  Features.ACCESS_PLATFORM |
  Features.ORDER_PLATFORM |
  NetFeatures.RSS |
  NetFeatures.HASH_REPORT |
  NetFeatures.NOTF_COAL |
  NetFeatures.VQ_NOTF_COAL;
const ALL = (1n << 128n) - 1n;

/** Frames for which the guest has no buffers wait here, as many as a sender's burst may well have. */
const WAITING = { records: 512, frameBytes: 1 << 20 };

const taken = new WeakSet<Cpu>();

/**
 * Puts a network card into an emulator that is loaded and has not run yet. It takes the place of v86's own virtio-net
 * card, if the emulator was made with one.
 * @throws EmulatorMismatchError for an emulator of another inside than this adapter knows, ConfigError for a second
 * card and for a guest that runs already, MemoryTooSmallError when the emulator's memory can't be grown.
 */
export async function attach(emulator: Emulator, options: AttachOptions = {}): Promise<NetworkCard> {
  const cpu = internalsOf(emulator);
  if (taken.has(cpu))
    throw new ConfigError("the emulator has a vring network card already, but can have only one");
  if (cpu.instruction_counter[0] !== 0)
    throw new ConfigError(
      "the guest runs already and would not find the card, but attach() must come before run()",
    );
  taken.add(cpu);
  try {
    const engine = await Engine.create({
      memory: cpu.wasm_memory,
      region: "append",
      module: options.module,
      queues: QUEUES,
      queueSize: options.queueSize ?? 256,
      batch: 64,
      net: WAITING,
      configBytes: 128,
      pageLog: true,
      // Nothing of a driver half is used.
      threshold: 0,
      heapBytes: 64,
      bufferBytes: 0,
    });
    return new NetworkCard(cpu, engine, options);
  } catch (error) {
    taken.delete(cpu);
    throw error;
  }
}

export interface CardCounters extends NetDeviceStatistics {
  received: number;
  sent: number;
  /** For the guest, but with neither a buffer nor room to wait for one. */
  lost: number;
}

/** The card: what happens at the border between the device and the emulator. */
export class NetworkCard {
  readonly engine: Engine;
  readonly core: DeviceCore;
  readonly mac: Uint8Array;
  readonly #cpu: Cpu;
  readonly #net: NetDevice;
  readonly #frames: FramePort;
  readonly #transport: PciTransport;
  readonly #written: WrittenPages;
  /** v86's name of the event that carries a frame of the guest's. A name put together for each would cost more than the copy. */
  readonly #sendEvent: string;
  readonly #id: number;
  readonly #forgetPage: (ptr: number) => void;
  readonly #receiving = new Turn(() => this.#deliver());
  readonly #sending = new Turn(() => this.#send());
  /** Whether the guest is in the middle of a kick. */
  #inSlice = false;

  /** @internal Made by `attach`. */
  constructor(cpu: Cpu, engine: Engine, options: AttachOptions) {
    const { byteOffset, length } = cpu.mem8;
    this.#cpu = cpu;
    this.engine = engine;
    this.mac = Uint8Array.from(options.mac ?? randomMac());
    engine.device(0).setWindow({ base: 0n, length: BigInt(length), offset: byteOffset });
    engine.device(0).logsPages = true;
    this.#written = new WrittenPages(engine, byteOffset, length);
    this.#forgetPage = (ptr) => cpu.jit_dirty_cache(ptr - byteOffset, ptr - byteOffset + 4096);
    this.#net = new NetDevice(engine, {
      mac: this.mac,
      mtu: options.mtu,
      features: ALL & ~leftOut(options),
      hold: true,
      coalesce: true,
      onTransmit: () => this.#frames.take((frame) => this.#frameSent(frame)),
      onBuffers: () => this.#deliver(),
    });
    this.#frames = new FramePort(engine, this.#net);
    this.core = new DeviceCore(engine, this.#net, { transport: "pci" });
    this.#transport = new PciTransport(
      this.core,
      (asserted) => this.#setLine(asserted),
      (value) => this.#kicked(value),
    );
    this.core.connect(this.#transport);

    // net0, or net1 beside v86's ne2k.
    const events = `net${cpu.devices.net ? 1 : 0}`;
    this.#sendEvent = `${events}-send`;
    displaceOwnCard(cpu, `${events}-receive`);
    this.#id = installPci(cpu, this.#transport, { kind: this.core.deviceId, classCode: ETHERNET_CONTROLLER });
    installState(cpu, {
      engine,
      transport: this.#transport,
      reset: () => this.#transport.reset(),
      settle: () => this.settle(),
    });
    cpu.bus.register(`${events}-receive`, (frame: Uint8Array) => this.#frameReceived(frame), this);
    cpu.bus.send(`${events}-mac`, macText(this.mac));
  }

  /** Packets that the driver got and has sent, as it counts them; and everything else by the names of ethtool -S. Allocates. */
  counters(): CardCounters {
    const statistics = this.#net.statistics();
    return {
      received: statistics.rx_packets,
      sent: statistics.tx_packets - statistics.tx_gso_segments + statistics.tx_gso_packets,
      lost: this.#frames.lost,
      ...statistics,
    };
  }

  /** Whether the cable is in. */
  get link(): boolean {
    return this.#net.link;
  }
  set link(up: boolean) {
    this.#net.link = up;
  }

  /** The device half of a queue: 0 receives, 1 transmits, 2 takes commands; null until the driver has enabled it. */
  queue(index: number): DeviceQueue | null {
    return this.core.queue(index);
  }

  /** The ring of a queue as it lies in guest memory now, to look at; null until the driver has enabled it. Allocates. */
  ring(index: number): RingView | null {
    const queue = this.queue(index);
    return queue === null ? null : viewRing(queue);
  }

  /** What was put off to the end of the turn is done now. */
  settle(): void {
    this.#sending.end();
    this.#receiving.end();
  }

  #setLine(asserted: boolean): void {
    const { pci } = this.#cpu.devices;
    if (asserted) pci.raise_irq(this.#id);
    else pci.lower_irq(this.#id);
  }

  /**
   * A guest that sends packet by packet kicks for each, and every kick leaves the guest's code. So the first kick of a
   * turn is served at once, and what comes behind it together; unless the guest got an answer, whose own answer may be it.
   */
  #kicked(value: number): void {
    if ((value & 0xffff) === TRANSMIT) {
      this.#inSlice = true;
      this.#receiving.renew();
      if (!this.#sending.ask()) this.#gather();
      this.#inSlice = false;
      return;
    }
    this.core.notify(value);
    this.#forgetCode();
  }

  /**
   * Puts off the next kick until a quarter of the ring waits; with EVENT_IDX only, because else a driver can be told no
   * more than not to kick until the turn's end. A ring that is full would be worse: the guest spins in front of it.
   */
  #gather(): void {
    const queue = this.queue(TRANSMIT);
    if (queue === null) return;
    if (!(this.core.features & Features.EVENT_IDX)) {
      queue.suppress();
      return;
    }
    const more = queue.size >>> 2;
    if (!queue.arm(more)) return;
    this.#send();
    queue.arm(more);
  }

  #send(): void {
    if (this.core.running && this.queue(TRANSMIT) !== null) this.core.notify(TRANSMIT);
  }

  #frameSent(frame: Uint8Array): void {
    const { bus } = this.#cpu;
    bus.send(this.#sendEvent, frame);
    bus.send("eth-transmit-end", [frame.length]);
  }

  #frameReceived(frame: Uint8Array): void {
    this.#cpu.bus.send("eth-receive-end", [frame.length]);
    if (!this.#frames.stage(frame)) {
      this.#deliver();
      if (!this.#frames.stage(frame)) this.#frames.lose();
    }
    // What answers a frame of the guest's is there before its code goes on; else that has to wait for the turn's end anyway.
    if (!this.#inSlice) this.#receiving.wait();
    else if (this.#receiving.ask()) this.#sending.renew();
  }

  #deliver(): void {
    this.#frames.deliver(this.core.running);
    this.#forgetCode();
  }

  /** v86 keeps code that it has translated, and has not seen what we wrote. */
  #forgetCode(): void {
    this.#written.take(this.#forgetPage);
  }
}

/** The features that are not offered. */
function leftOut({ format = "split", without = 0n }: AttachOptions): bigint {
  return LEFT_OUT | (format === "split" ? Features.RING_PACKED : 0n) | without;
}

function randomMac(): Uint8Array {
  const mac = crypto.getRandomValues(new Uint8Array(6));
  // Neither multicast nor of a manufacturer.
  mac[0] = (mac[0] & 0xfc) | 2;
  return mac;
}

function macText(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
