import * as abi from "../../assembly/abi.ts";
import * as spec from "../../assembly/spec.ts";
import { REFUSALS, VIOLATIONS } from "../../src/names.ts";
import { Random } from "../support/random.ts";
import { AVAIL, availBits, USED } from "../support/raw-packed.ts";
import { BYTES_LIMIT, must, runs, same, sum } from "./common.ts";
import { compare, compareTable, unseen } from "./compare.ts";
import type { Chain } from "./device.ts";
import type { DriverCounts, Given } from "./driver.ts";
import { breakDevice, breakDriver } from "./faults.ts";
import { given, stage } from "./given.ts";
import type { Operation, QueueChoice } from "./operations.ts";
import { PackedDeviceModel } from "./packed-device.ts";
import { PackedDriverModel } from "./packed-driver.ts";
import { Pair } from "./pair.ts";
import { refused, refusedCalls } from "./refusals.ts";

/** Operations, each done by the engine and by the model, and compared. */
export class Lockstep extends Pair {
  #handles = 0;
  /** Handles since the last reset, and from before it. */
  readonly #fresh = new Set<number>();
  readonly #stale = new Set<number>();
  #staleHandle: number | null = null;

  run(operation: Operation): void {
    const played = this.play;
    if (played !== null && "seed" in operation) played.random = new Random(operation.seed);
    switch (operation.do) {
      case "add":
        this.#add(operation.buffers.map((choice) => given(this, choice)));
        break;
      case "publish":
        // A broken queue is soon reset, because nothing happens in it.
        if (this.driver.state === "live" && this.device.state === "live") this.publish();
        else this.#reset(this.choice, 0);
        break;
      case "pop":
        this.pop(operation.max, operation.room);
        break;
      case "use":
        this.#use(operation);
        break;
      case "usePopped":
        this.#usePopped();
        break;
      case "publishUsed":
        this.publishUsed();
        break;
      case "reclaim":
        this.reclaim(operation.max);
        break;
      case "armDriver":
        this.#armDriver(operation.after);
        break;
      case "armDevice":
        this.#armDevice(operation.after);
        break;
      case "suppressDriver":
        this.driverEngine?.suppress();
        this.driver.suppress();
        this.afterDriver();
        break;
      case "suppressDevice":
        this.deviceEngine?.suppress();
        this.device.suppress();
        this.afterDevice();
        break;
      case "move":
        this.#move(operation.node % this.setup.nodes);
        break;
      case "junkEvents":
        this.#junkEvents(new Random(operation.seed));
        break;
      case "pause":
        this.#pause(operation.on);
        break;
      case "detachLive":
        this.#detachLive();
        break;
      case "reset":
        this.#reset(operation.queue, operation.refused);
        break;
      case "fault":
        this.#fault(operation.kind, new Random(operation.seed), operation.queue);
        break;
    }
    this.cover.hit(`do ${operation.do}`);
    compare(this);
  }

  #add(wanted: Given[]): void {
    const queue = this.driverEngine;
    const fitting = queue === null ? wanted : stage(queue, wanted);
    if (this.shadow !== null) this.shadow.node = this.driver.node;
    const before = { ...this.driverCounts };
    const done = this.driver.add(fitting);
    this.heap.restore();
    if (queue !== null) {
      same("buffers added", queue.addBurst(fitting.length), done);
      this.#coverTables(before);
    }
    if (this.driver.refusal !== null) this.cover.hit(`refused ${REFUSALS[this.driver.refusal.code].code}`);
    this.afterDriver();
    if (queue !== null) this.#nothingToSee();
  }

  #coverTables(before: DriverCounts): void {
    const { cover } = this;
    const counts = this.driverCounts;
    const source = this.driver.ring.indirect ? this.choice.source : "direct";
    const takes = counts.tableTakes - before.tableTakes;
    cover.hit(`${this.driver.ring.format} tables from ${source}`, source === "direct" ? 1 : takes);
    cover.hit("table hits", counts.tableHits - before.tableHits);
    cover.hit("remote tables", counts.remoteTakes - before.remoteTakes);
    cover.hit(
      "local tables on a node above 0",
      this.driver.node === 0 ? 0 : counts.localTakes - before.localTakes,
    );
    cover.hit("falls to the heap", counts.heapFalls - before.heapFalls);
  }

  /** Before publish the device finds nothing (P-D-04); avail.idx of a split queue is compared with all bytes. */
  #nothingToSee(): void {
    const { driver, real } = this;
    if (!(driver instanceof PackedDriverModel) || driver.unpublished.length === 0) return;
    const { slot, wrap } = driver.published;
    const flags = real.u16(driver.ring.desc + 16 * slot + 14);
    must((flags & (AVAIL | USED)) !== availBits(wrap), `slot ${slot} is available before publish`);
  }

  publish(): void {
    const queue = this.driverEngine;
    const kick = queue?.publish();
    if (this.driver instanceof PackedDriverModel) this.driver.junkAnswer = queue ? () => kick === true : null;
    const fresh = [...this.driver.unpublished];
    const expected = this.driver.publish();
    if (queue !== null) {
      same("kick", kick, expected);
      for (const buffer of fresh) compareTable(this, buffer);
    }
    this.afterDriver();
  }

  pop(max: number, room: number): void {
    const { device, engine } = this;
    const queue = this.deviceEngine;
    const staging = engine.region("queue 0 staging popped");
    const longest = abi.POP_HEADER + device.maxChain * abi.SEGMENT;
    const bytes =
      room === 0 ? staging.bytes : Math.min(staging.bytes, longest * (room - 1) + 8 * (room - 1) + 8);
    const chains = device.pop(max, queue === null ? Number.MAX_SAFE_INTEGER : bytes);
    if (queue === null) {
      this.popped = chains.map(() => this.#handles++);
    } else {
      const pop = device.ring.format === "split" ? engine.wasm.splitDevicePop : engine.wasm.packedDevicePop;
      same("buffers popped", pop(queue.ptr, staging.ptr, bytes, max), chains.length);
      this.popped = this.#poppedHandles(queue.popped, chains);
    }
    device.name(this.popped);
    if (device.refusal !== null) this.cover.hit(`refused ${REFUSALS[device.refusal.code].code}`);
  }

  #poppedHandles(words: Uint32Array, chains: readonly Chain[]): number[] {
    let at = 0;
    return chains.map((chain, k) => {
      const handle = words[at];
      // V-V-01: what is marked used late must not meet a buffer of after the reset.
      must(!this.#stale.has(handle), `handle ${handle} was given before the reset already`);
      this.#fresh.add(handle);
      const readable = chain.elements.filter(({ write }) => !write).length;
      same(
        `element counts of popped buffer ${k}`,
        words[at + 1],
        readable | ((chain.elements.length - readable) << 16),
      );
      // Exactly 2^32 bytes are one more than fits the word.
      const readableBytes = Math.min(sum(chain.elements, false), BYTES_LIMIT - 1);
      same(`readable bytes of popped buffer ${k}`, words[at + 2], readableBytes);
      same(`writable bytes of popped buffer ${k}`, words[at + 3], chain.capacity);
      at += abi.POP_HEADER / 4;
      for (const { ptr, bytes } of chain.elements) {
        same(`ptr of an element of popped buffer ${k}`, words[at++], ptr);
        same(`bytes of an element of popped buffer ${k}`, words[at++], bytes);
      }
      return handle;
    });
  }

  #use({ uses, seed }: Extract<Operation, { do: "use" }>): void {
    const { device } = this;
    const random = new Random(seed);
    const inFlight = [...device.inFlight];
    const records: { handle: number; len: number }[] = [];
    for (const choice of uses) {
      const wrong = choice.wrong && this.enginesDevice;
      const rest = inFlight.filter(([handle]) => !records.some((record) => record.handle === handle));
      if (rest.length === 0 || (wrong && random.chance(50))) {
        if (!this.enginesDevice) break;
        records.push({ handle: this.#wrongHandle(random), len: 0 });
        continue;
      }
      const k = device.ring.inOrder ? (wrong ? rest.length - 1 : 0) : choice.pick % rest.length;
      const [handle, { capacity }] = rest[k];
      const some = capacity === 0 ? 0 : random.int(0, Math.min(capacity, 0x7fff_ffff));
      const over = capacity + random.pick([1, 1000]);
      const len = { all: capacity, none: 0, some, over }[choice.len];
      records.push({ handle, len: Math.min(len, 0xffff_ffff) });
    }
    this.#mark(records);
  }

  /** A handle of before, or one that never was. */
  #wrongHandle(random: Random): number {
    if (this.#staleHandle !== null && random.chance(70)) {
      if (!this.device.inFlight.has(this.#staleHandle)) this.cover.hit("stale handles");
      return this.#staleHandle;
    }
    return random.int(0, 0x7fff_ffff);
  }

  #mark(records: { handle: number; len: number }[]): void {
    const { device } = this;
    const queue = this.deviceEngine;
    const chains = records.map(({ handle }) => device.inFlight.get(handle));
    let done = 0;
    if (queue === null) {
      for (const { handle, len } of records) {
        const chain = device.inFlight.get(handle);
        if (chain === undefined || device.state !== "live") break;
        if (device.ring.inOrder && chain !== device.oldest) break;
        if (len > chain.capacity) this.cover.hit("lengths that were clamped");
        device.mark(handle, chain, len);
        done++;
      }
    } else {
      queue.completions.set(records.flatMap(({ handle, len }) => [handle, len]));
      done = device.markUsed(records);
      same("buffers marked used", queue.markUsedBurst(records.length), done);
    }
    this.#marked(chains.slice(0, done), records);
  }

  #marked(chains: (Chain | undefined)[], records: { handle: number; len: number }[]): void {
    chains.forEach((chain, k) => {
      this.#staleHandle = records[k].handle;
      const buffer = chain && this.driver.visible.get(chain.id);
      must(buffer !== undefined, `the driver does not know buffer ${chain?.id}, which was marked used`);
      buffer.written = Math.min(records[k].len, buffer.capacity);
    });
    if (this.device.refusal !== null) this.cover.hit(`refused ${REFUSALS[this.device.refusal.code].code}`);
    this.afterDevice();
  }

  /** Marks what was popped last used, with all its bytes. */
  #usePopped(): void {
    const { device } = this;
    const queue = this.deviceEngine;
    const records = this.popped.map((handle) => ({
      handle,
      len: device.inFlight.get(handle)?.capacity ?? 0,
    }));
    if (queue === null) {
      this.#mark(records.filter(({ handle }) => device.inFlight.has(handle)));
      return;
    }
    const chains = records.map(({ handle }) => device.inFlight.get(handle));
    const done = device.markUsed(records);
    same("popped buffers marked used", queue.markPoppedUsed(records.length), done);
    this.#marked(chains.slice(0, done), records);
  }

  publishUsed(): void {
    const queue = this.deviceEngine;
    const interrupt = queue?.publishUsed();
    if (this.device instanceof PackedDeviceModel)
      this.device.junkAnswer = queue ? () => interrupt === true : null;
    const expected = this.device.publishUsed();
    if (queue !== null) same("interrupt", interrupt, expected);
    this.afterDevice();
  }

  reclaim(max: number): void {
    const queue = this.driverEngine;
    const most = Math.min(max, this.engine.limits.batch);
    const count = queue?.reclaimBurst(max);
    const back = this.driver.reclaim(most);
    if (back.length === most) this.cover.hit("partial reclaims");
    this.afterDriver();
    if (queue === null) return;
    same("buffers reclaimed", count, back.length);
    back.forEach(({ token, len }, k) => {
      same(`token ${k} of a reclaimed burst`, queue.reclaimed[2 * k], token);
      same(`length ${k} of a reclaimed burst`, queue.reclaimed[2 * k + 1], len);
    });
  }

  #armDriver(after: number): void {
    const work = this.driver.arm(after);
    if (this.driverEngine !== null) same("work when the driver arms", this.driverEngine.arm(after), work);
    if (work) this.cover.hit("work when the driver arms");
    this.afterDriver();
  }

  #armDevice(after: number): void {
    const work = this.device.arm(after);
    if (this.deviceEngine !== null) same("work when the device arms", this.deviceEngine.arm(after), work);
    if (work) this.cover.hit("work when the device arms");
    this.afterDevice();
  }

  #move(node: number): void {
    if (this.driver.node !== node) this.cover.hit("moves to another node");
    this.driverEngine?.moveToNode(node);
    this.driver.node = node;
  }

  /** The model's half writes anything into what it may write to ask for notifications (H-V-09, H-B-02). */
  #junkEvents(random: Random): void {
    const { ring } = this.driver;
    const split = ring.format === "split";
    const word = (): number => random.pick([0, 1, 2, 3, 0xffff, random.int(0, 0xffff)]);
    if (this.mode === "device") {
      this.image.setU16(ring.driverArea, word());
      this.image.setU16(ring.driverArea + (split ? 4 + 2 * ring.size : 2), word());
      this.cover.hit("junk event words of a driver");
    } else if (this.mode === "driver") {
      this.image.setU16(ring.deviceArea, word());
      this.image.setU16(ring.deviceArea + (split ? 4 + 8 * ring.size : 2), word());
      this.cover.hit("junk event words of a device");
    }
    this.send();
  }

  /** Without DRIVER_OK nothing is notified, and the device does not look (G-D-14, G-V-01). */
  #pause(on: boolean): void {
    const [virtio] = this.engine.devices;
    virtio.status = on ? virtio.status & ~spec.STATUS_DRIVER_OK : virtio.status | spec.STATUS_DRIVER_OK;
    this.world.driverOk = !on;
  }

  #detachLive(): void {
    const queue = this.driverEngine;
    if (queue === null || this.driver.state !== "live") return;
    same("buffers detached from a live queue", queue.detachBurst(), 0);
    this.driver.refusal = { code: abi.R_QUEUE_LIVE, index: 0 };
    this.cover.hit("refused queue-live");
  }

  #fault(kind: number, random: Random, next: QueueChoice): void {
    if (this.setup.calm || this.driver.state !== "live" || this.device.state !== "live") return;
    if (!runs(this.world)) return;
    const tried =
      this.mode === "device"
        ? breakDevice(this, kind, random)
        : this.mode === "driver" && breakDriver(this, kind, random);
    if (!tried) return;
    const violation = this.driver.violation ?? this.device.violation;
    if (violation !== null) this.cover.hit(`${this.driver.ring.format} ${VIOLATIONS[violation.code].code}`);
    else this.cover.hit("faults that are none");
    compare(this);
    // A broken half does nothing more.
    for (const call of [
      () => this.#add([given(this, { kind: "plain", n: 0, readable: 0, bytes: 1 })]),
      () => this.publish(),
      () => this.pop(4, 0),
      () => this.#usePopped(),
      () => this.publishUsed(),
      () => this.reclaim(4),
      () => this.#armDevice(0),
      () => this.#armDriver(0),
    ]) {
      if (violation === null) break;
      call();
      compare(this);
    }
    this.#reset(next, 0);
  }

  #reset(next: QueueChoice, refusal: number): void {
    const { driver, engine, cover } = this;
    const { ring } = driver;
    for (const place of unseen(this)) this.image.bytes(place, 1).set(this.real.bytes(place, 1));
    this.driverEngine?.stop();
    this.deviceEngine?.stop();
    if (driver.outstanding.size > 0) {
      cover.hit("resets with buffers outstanding");
      if (this.enginesDriver) refused(this, "outstanding", () => engine.driverQueue(0, {}));
    }
    if (driver.unpublished.length > 0) cover.hit("resets with buffers unpublished");
    const tokens = driver.detach().sort((a, b) => a - b);
    if (this.driverEngine !== null) {
      const detached = this.driverEngine.detach().sort((a, b) => a - b);
      same("tokens detached", detached.join(), tokens.join());
      same("heap blocks after a reset", engine.heapLiveBlocks(), 0);
      same("the heap is sound", engine.heapIsSound(), true);
      same("outstanding after a reset", this.driverEngine.outstanding, 0);
      same("live tables after a reset", this.driverEngine.counters().liveTables, 0);
    }
    // What is refused must leave nothing behind that the next enable trips over.
    refusedCalls(this, refusal);
    for (const handle of this.#fresh) this.#stale.add(handle);
    this.#fresh.clear();
    const before = this.choice;
    this.enable(next);
    this.#move(0);
    const now = this.driver.ring;
    if (now.format !== ring.format) cover.hit("resets to another format");
    if (now.size !== ring.size) cover.hit("resets to another size");
    if (this.choice.source !== before.source) cover.hit("resets to another source");
  }
}
