/**
 * A long run of both halves against each other: frames of mixed sizes in many flows, both ways, through resets, queue
 * resets, suspends and snapshots. Every frame carries its flow and its number, at its front and at its end.
 */

import type { RingFormat } from "../../src/names.ts";
import { NET_FRAME_WORDS } from "../../src/net-records.ts";
import { Random } from "../support/random.ts";
import { packet } from "./packets.ts";
import { ALL_NET, F, type NetRig, type NetRigOptions, netRig } from "./rig.ts";

const FLOWS = 16;
const BURST = 32;
const SLOTS = 96;
const SLOT_BYTES = 1600;
/** Where flow and number stand: behind Ethernet, IPv4 and UDP. */
const FLOW_AT = 42;
const NUMBER_AT = 46;
const SIZES = [60, 61, 74, 128, 300, 577, 1000, 1513, 1514];

/** One direction: what was handed in of each flow, what has come out, and what a reset has taken. */
class Direction {
  next = new Uint32Array(FLOWS);
  expected = new Uint32Array(FLOWS);
  lost = 0;
  arrived = 0;

  copy(): Direction {
    const copy = new Direction();
    copy.next = this.next.slice();
    copy.expected = this.expected.slice();
    copy.lost = this.lost;
    copy.arrived = this.arrived;
    return copy;
  }

  /** Handed in, and neither arrived nor lost. */
  get inFlight(): number {
    return this.handedIn - this.arrived - this.lost;
  }

  get handedIn(): number {
    return this.next.reduce((sum, count) => sum + count, 0);
  }

  /** A reset has taken everything of these flows that was handed in and has not arrived. */
  reset(isHit: (flow: number) => boolean): void {
    for (let flow = 0; flow < FLOWS; flow++) {
      if (!isHit(flow)) continue;
      this.lost += this.next[flow] - this.expected[flow];
      this.expected[flow] = this.next[flow];
    }
  }

  arrive(memory: DataView, ptr: number, bytes: number): void {
    const flow = memory.getUint32(ptr + FLOW_AT);
    const number = memory.getUint32(ptr + NUMBER_AT);
    const wrong =
      flow >= FLOWS ||
      number !== this.expected[flow] ||
      bytes !== sizeOf(flow, number) ||
      memory.getUint32(ptr + bytes - 4) !== (number ^ 0x5a5a5a5a) >>> 0;
    if (wrong) throw new Error(`flow ${flow}: frame ${number} of ${bytes} bytes, not ${this.expected[flow]}`);
    this.expected[flow]++;
    this.arrived++;
  }
}

function sizeOf(flow: number, number: number): number {
  return SIZES[(number * 5 + flow) % SIZES.length];
}

export interface RunResult {
  frames: number;
  resets: number;
  queueResets: number;
  suspends: number;
  restores: number;
  lost: number;
}

export class TrafficRun {
  #rig: NetRig;
  readonly #options: NetRigOptions;
  readonly #random: Random;
  readonly #templates: Uint8Array[][];
  #sent = new Direction();
  #received = new Direction();
  #free: number[] = Array.from({ length: SLOTS }, (_, slot) => slot);
  readonly #counts = { resets: 0, queueResets: 0, suspends: 0, restores: 0 };
  #u8: Uint8Array;
  #view: DataView;

  private constructor(rig: NetRig, options: NetRigOptions, seed: number) {
    this.#rig = rig;
    this.#options = options;
    this.#random = new Random(seed);
    const template = (flow: number, from: number): Uint8Array =>
      packet({ protocol: "udp", payload: 18, sourcePort: from + flow, checksum: "none" }).slice(0, FLOW_AT);
    // What is received is of other flows than what is sent, so that no flow changes its queue on the way.
    this.#templates = [2000, 4000].map((from) =>
      Array.from({ length: FLOWS }, (_, flow) => template(flow, from)),
    );
    this.#u8 = new Uint8Array(rig.engine.memory.buffer);
    this.#view = new DataView(rig.engine.memory.buffer);
  }

  static async create(
    format: RingFormat,
    seed: number,
    more: Pick<NetRigOptions, "backend"> = {},
  ): Promise<TrafficRun> {
    const options: NetRigOptions = {
      format,
      pairs: 2,
      features: ALL_NET & ~F.CTRL_RX,
      engine: { bufferBytes: 1 << 20, queueSize: 64 },
      device: { hold: true },
      driver: { receiveBuffers: 48, receiveBytes: 1024 },
      ...more,
    };
    return new TrafficRun(await netRig(options), options, seed);
  }

  /**
   * Runs as `run` does, and moves to a fresh engine so many times on the way, with whatever is in flight then: each
   * time halves that know nothing go on from the snapshot. How many frames were in flight, all moves together.
   */
  async runMoving(frames: number, moves: number): Promise<RunResult & { inFlight: number }> {
    let inFlight = 0;
    for (let move = 0; move < moves; move++) {
      this.#runUntil((frames / moves) * (move + 1));
      const suspended = move % 3 === 2;
      if (suspended) this.#rig.driver.suspend();
      inFlight += this.#sent.inFlight + this.#received.inFlight;
      const snapshot = this.#rig.engine.snapshot();
      this.#rig = await netRig({ ...this.#options, start: false });
      this.#rig.engine.restore(snapshot);
      this.#look();
      if (suspended) this.#rig.driver.resume();
    }
    return { ...this.#finish(), inFlight };
  }

  /** Runs until so many frames have arrived, both ways together. @throws when one is lost, doubled, changed or out of order */
  run(frames: number): RunResult {
    this.#runUntil(frames);
    return this.#finish();
  }

  #runUntil(frames: number): void {
    const random = this.#random;
    while (this.#sent.arrived + this.#received.arrived < frames) {
      const step = random.int(0, 9999);
      if (step < 10) this.#reset();
      else if (step < 20) this.#resetQueue();
      else if (step < 40) this.#suspend();
      else if (step < 43) this.#snapshot();
      else this.#move(step % 5);
    }
  }

  #finish(): RunResult {
    this.#drain();
    return {
      frames: this.#sent.arrived + this.#received.arrived,
      ...this.#counts,
      lost: this.#sent.lost + this.#received.lost,
    };
  }

  #move(step: number): void {
    if (step === 0) this.#send();
    else if (step === 1) this.#deviceSends();
    else if (step === 2) this.#reclaim();
    else if (step === 3) this.#deviceReceives();
    else this.#receive();
  }

  #write(templates: readonly Uint8Array[], ptr: number, flow: number, number: number): number {
    const bytes = sizeOf(flow, number);
    this.#u8.set(templates[flow], ptr);
    const view = this.#view;
    // Lengths of IPv4 and UDP, so that the frame ends where they say.
    view.setUint16(ptr + 16, bytes - 14);
    view.setUint16(ptr + 38, bytes - 34);
    view.setUint32(ptr + FLOW_AT, flow);
    view.setUint32(ptr + NUMBER_AT, number);
    view.setUint32(ptr + bytes - 4, number ^ 0x5a5a5a5a);
    return bytes;
  }

  #send(): void {
    const { drv, engine } = this.#rig;
    const u32 = engine.u32;
    const area = drv.sendArea.ptr;
    const count = Math.min(this.#random.int(1, BURST), this.#free.length);
    const flows: number[] = [];
    for (let k = 0; k < count; k++) {
      const flow = this.#random.int(0, FLOWS - 1);
      flows.push(flow);
      const slot = this.#free[this.#free.length - 1 - k];
      const ptr = area + slot * SLOT_BYTES;
      const at = drv.outgoingAt + k * NET_FRAME_WORDS;
      u32.fill(0, at, at + NET_FRAME_WORDS);
      u32[at] = ptr;
      u32[at + 1] = this.#write(this.#templates[0], ptr, flow, this.#sent.next[flow]++);
      u32[at + 2] = flow & 1;
      u32[at + 3] = slot;
    }
    const done = drv.transmit(count);
    if (drv.refusal !== null) throw drv.refusal;
    for (const flow of flows.slice(done)) this.#sent.next[flow]--;
    this.#free.length -= done;
  }

  #deviceSends(): void {
    const { net, engine } = this.#rig;
    const count = net.transmit(this.#random.int(1, BURST));
    for (let k = 0; k < count; k++) {
      const at = net.sentAt + k * NET_FRAME_WORDS;
      this.#sent.arrive(this.#view, engine.u32[at], engine.u32[at + 1]);
    }
  }

  #reclaim(): void {
    const { drv, engine } = this.#rig;
    const count = drv.reclaim();
    for (let k = 0; k < count; k++) this.#free.push(engine.u32[drv.doneAt + k]);
  }

  #deviceReceives(): void {
    const { net, engine } = this.#rig;
    const u32 = engine.u32;
    const { ptr } = net.receiveArea;
    const count = this.#random.int(1, BURST);
    const flows: number[] = [];
    for (let k = 0; k < count; k++) {
      const flow = this.#random.int(0, FLOWS - 1);
      flows.push(flow);
      const at = net.receivedAt + k * NET_FRAME_WORDS;
      u32.fill(0, at, at + NET_FRAME_WORDS);
      u32[at] = ptr + k * SLOT_BYTES;
      u32[at + 1] = this.#write(this.#templates[1], ptr + k * SLOT_BYTES, flow, this.#received.next[flow]++);
    }
    const taken = net.receive(count);
    for (const flow of flows.slice(taken)) this.#received.next[flow]--;
  }

  #receive(): void {
    const { drv, engine } = this.#rig;
    const count = drv.receive(this.#random.int(1, BURST));
    for (let k = 0; k < count; k++) {
      const at = drv.incomingAt + k * NET_FRAME_WORDS;
      this.#received.arrive(this.#view, engine.u32[at], engine.u32[at + 1]);
    }
  }

  #takeLost(): void {
    this.#free.push(...this.#rig.drv.takeLost());
  }

  #reset(): void {
    this.#rig.driver.start();
    this.#takeLost();
    this.#sent.reset(() => true);
    this.#received.reset(() => true);
    this.#counts.resets++;
  }

  /** One transmit queue: its flows lose what is on the way, the others don't notice. */
  #resetQueue(): void {
    const pair = this.#random.int(0, 1);
    this.#rig.drv.resetQueue(2 * pair + 1);
    this.#takeLost();
    this.#sent.reset((flow) => (flow & 1) === pair);
    this.#rig.drv.restartQueue(2 * pair + 1);
    this.#counts.queueResets++;
  }

  #suspend(): void {
    const { driver, net, drv } = this.#rig;
    driver.suspend();
    const before = this.#sent.arrived + this.#received.arrived;
    for (let k = 0; k < 5; k++) this.#move(k);
    if (this.#sent.arrived + this.#received.arrived !== before)
      throw new Error("frames moved while suspended");
    if (net.transmit() !== 0 || drv.receive() !== 0) throw new Error("frames moved while suspended");
    driver.resume();
    this.#counts.suspends++;
  }

  /** Goes on for a while, and then back to where the snapshot was taken. */
  #snapshot(): void {
    const { engine } = this.#rig;
    const snapshot = engine.snapshot();
    const before = [this.#sent.copy(), this.#received.copy()];
    const free = [...this.#free];
    for (let k = 0; k < 20; k++) this.#move(this.#random.int(0, 4));
    engine.restore(snapshot);
    [this.#sent, this.#received] = before;
    this.#free = free;
    this.#look();
    this.#counts.restores++;
  }

  #look(): void {
    const { buffer } = this.#rig.engine.memory;
    this.#u8 = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
  }

  /** Everything that is on the way arrives, every token comes back, and the sums agree. */
  #drain(): void {
    const { net, drv } = this.#rig;
    for (let round = 0; round < 200; round++) {
      this.#deviceSends();
      this.#reclaim();
      this.#receive();
    }
    for (const direction of [this.#sent, this.#received]) {
      const { handedIn, arrived, lost } = direction;
      if (handedIn !== arrived + lost)
        throw new Error(`${handedIn} handed in, but ${arrived} + ${lost} accounted for`);
    }
    if (new Set(this.#free).size !== SLOTS || this.#free.length !== SLOTS)
      throw new Error(`${this.#free.length} tokens are back of ${SLOTS}`);
    const [device, driver] = [net.statistics(), drv.statistics()];
    const sums = [
      ["tx", device.tx_packets, this.#sent.arrived],
      ["rx", driver.rx_packets, this.#received.arrived],
      ["device drops", device.tx_drops + device.rx_drops, 0],
    ] as const;
    for (const [name, counted, seen] of sums)
      if (counted !== seen) throw new Error(`${name}: ${counted}, not ${seen}`);
  }
}
