/**
 * A driver and a device as threads of the machine in tso.ts, in either format and with either suppression.
 * Their steps are the engine's accesses to shared memory in the engine's order, which order.test.ts
 * compares with a recording of the engine.
 *
 * The driver adds bursts of every size that fits and takes back what was used; the device uses what it
 * finds, in bursts of every size. Each sleeps whenever arming told it that there is nothing. A buffer is its
 * number, which stands for descriptor, payload and used element: who reads another number than the next
 * one has seen memory that was not published yet.
 */
import type { RingFormat } from "../../src/names.ts";
import { explore, type Locals, type Outcome, Program, type Thread } from "./tso.ts";

export type Suppression = "flags" | "EVENT_IDX";
export type Half = "driver" | "device";

export interface Mistakes {
  /** No fence between publishing and loading the peer's wish. */
  noBarrierAtPublish?: Half;
  /** No fence between re-arming and looking at the ring again. */
  noBarrierAtArm?: Half;
  /** Sleeps after re-arming without looking at the ring again. */
  noRecheck?: Half;
  /** Compares the event with the newest entry only. */
  equality?: Half;
  /** Loads the peer's wish before it publishes. */
  decidesFirst?: Half;
  /** Shows an entry before it is written. */
  showsFirst?: Half;
  /** Loads an entry before it has seen that there is one: what a load without acquire may do. */
  looksAhead?: Half;
}

export interface Scene extends Mistakes {
  format: RingFormat;
  suppression: Suppression;
  size: number;
  buffers: number;
  /** What a half that is awake leaves in its event word: nothing new, "not now", or any value that makes a difference. */
  awake?: "keep" | "suppress" | "junk";
  /** Notifications that nobody sent for a reason, at any time. */
  spurious?: number;
}

/** One side of a ring as the other sees it: how it shows entries, and how it says when to be told. */
interface Side {
  half: Half;
  /** Cells: the peer's wish, its own wish, and the notifications that it sends and receives. */
  wishes: { mine: number; peers: number };
  notify: number;
  wait: number;
}

// Cells that both formats have; the ring follows.
const DRIVER_WISH = 0;
const DEVICE_WISH = 1;
const KICK = 2;
const INTERRUPT = 3;
const RING = 4;

/** The first index of a split ring, so that runs of a few buffers cross the end of 16 bits. */
const FIRST = 0xffff;
const u16 = (index: number): number => index & 0xffff;

const SIDES: Record<Half, Side> = {
  driver: {
    half: "driver",
    wishes: { mine: DRIVER_WISH, peers: DEVICE_WISH },
    notify: KICK,
    wait: INTERRUPT,
  },
  device: {
    half: "device",
    wishes: { mine: DEVICE_WISH, peers: DRIVER_WISH },
    notify: INTERRUPT,
    wait: KICK,
  },
};

export function exploreScene(scene: Scene): Outcome {
  const { memory, threads } = build(scene);
  return explore(memory, threads);
}

export function build(scene: Scene): { memory: number[]; threads: Thread[] } {
  const { size, format, spurious = 0 } = scene;
  const cells = format === "split" ? 2 + 2 * size : size;
  const memory = Array.from({ length: RING + cells }, () => 0);
  if (format === "split") {
    memory.fill(FIRST, RING, RING + 2);
    // An entry that was never written is no buffer's number.
    memory.fill(0xfffe, RING + 2);
    if (scene.suppression === "EVENT_IDX") memory.fill(FIRST, 0, 2);
  }
  const make = format === "split" ? splitHalf : packedHalf;
  const threads = [make(scene, SIDES.driver), make(scene, SIDES.device)];
  if (spurious > 0) threads.push(nuisance(spurious));
  return { memory, threads };
}

/** Sends notifications for no reason. */
function nuisance(count: number): Thread {
  const program = new Program();
  for (let k = 0; k < count; k++) {
    program
      .pick("cell", () => [KICK, INTERRUPT])
      .store(
        "notification",
        ({ cell }) => cell,
        () => 1,
      );
  }
  return { name: "nuisance", program, locals: { cell: 0 } };
}

/**
 * What the loop of a half is made of. `taken` counts what it took from the peer, `shown` what it showed; the
 * driver shows buffers and takes them back, the device takes them and shows them used.
 */
interface Parts {
  suppress(program: Program): void;
  /** Goes to `empty` when there is nothing to take. */
  take(program: Program, empty: string): void;
  /** Writes `count` entries and shows them. */
  give(program: Program): void;
  /** Loads the peer's wish and notifies. */
  decide(program: Program): void;
  arm(program: Program): void;
  /** Goes to `work` when there is something to take. */
  recheck(program: Program, work: string): void;
}

function halfOf(scene: Scene, side: Side, locals: Locals, parts: Parts): Thread {
  const { size, buffers, awake = "suppress" } = scene;
  const { half } = side;
  const program = new Program();
  const room = ({ shown, taken }: Locals): number =>
    half === "driver" ? Math.min(size - (shown - taken), buffers - shown) : taken - shown;

  program.label("work");
  if (awake !== "keep") parts.suppress(program.section("suppress"));
  program.section("take").label("take");
  parts.take(program, "none left");
  program.goto("take").label("none left").section("");
  program.run((now) => (room(now) === 0 ? "arm" : undefined));
  program.pick("count", (now) => Array.from({ length: room(now) }, (_, k) => k + 1));
  program.section("give");
  if (scene.decidesFirst === half) {
    parts.decide(program);
    parts.give(program);
  } else {
    parts.give(program);
    if (scene.noBarrierAtPublish !== half) program.fence();
    parts.decide(program);
  }
  program.run((now) => {
    now.at = 0;
    now.count = 0;
    return now.yes ? undefined : "told";
  });
  program
    .section("")
    .store(
      half === "driver" ? "kick" : "interrupt",
      () => side.notify,
      () => 1,
    )
    .label("told");
  // A device that popped more than it used goes on; a driver with room has something to add later.
  if (half === "device") program.run((now) => (room(now) > 0 ? "none left" : "take"));

  program.label("arm").run(({ shown, taken }) => {
    if (shown === buffers && taken === buffers) return "end";
    return undefined;
  });
  parts.arm(program.section("arm"));
  if (scene.noBarrierAtArm !== half) program.fence();
  if (scene.noRecheck !== half) parts.recheck(program, "work");
  program.section("").sleep(side.wait).goto("work").label("end");
  return { name: half, program, locals };
}

function expectNumber(seen: number, expected: number, half: Half): void {
  if (seen !== expected)
    throw new Error(`stale element: the ${half} takes ${seen} where buffer ${expected} is`);
}

function splitHalf(scene: Scene, side: Side): Thread {
  const { size, suppression, awake } = scene;
  const { half, wishes } = side;
  const mine = half === "driver" ? "avail" : "used";
  const peers = half === "driver" ? "used" : "avail";
  const index = { avail: RING, used: RING + 1 };
  const entries = { avail: RING + 2, used: RING + 2 + size };
  const events = suppression === "EVENT_IDX";
  const wish = (ring: "avail" | "used"): string => {
    if (!events) return `${ring}.flags`;
    return ring === "avail" ? "used_event" : "avail_event";
  };
  const locals: Locals = {
    taken: 0,
    shown: 0,
    count: 0,
    at: 0,
    seen: 0,
    entry: 0,
    wish: 0,
    old: FIRST,
    yes: 0,
  };
  const shownIdx = ({ shown }: Locals): number => u16(FIRST + shown);
  const takenIdx = ({ taken }: Locals): number => u16(FIRST + taken);
  const slotOf = (idx: number): number => idx % size;

  const loadEntry = (program: Program): Program =>
    program.load(`${peers}.ring`, (now) => entries[peers] + slotOf(takenIdx(now)), "entry");
  const loadIndex = (program: Program): Program => program.load(`${peers}.idx`, () => index[peers], "seen");

  return halfOf(scene, side, locals, {
    suppress(program) {
      if (awake === "junk") {
        program.pick("wish", (now) => (events ? [-1, 0, 1, 2].map((k) => u16(takenIdx(now) + k)) : [0, 1]));
        program.store(
          wish(mine),
          () => wishes.mine,
          (now) => now.wish,
        );
      } else {
        program.store(
          wish(mine),
          () => wishes.mine,
          (now) => (events ? u16(takenIdx(now) - 1) : 1),
        );
      }
    },
    take(program, empty) {
      if (scene.looksAhead === half) loadEntry(program);
      loadIndex(program).run((now) => (now.seen === takenIdx(now) ? empty : undefined));
      if (scene.looksAhead !== half) loadEntry(program.label("entry"));
      program.run((now) => {
        expectNumber(now.entry, now.taken, half);
        now.taken++;
        now.entry = 0;
        if (now.seen !== takenIdx(now) && scene.looksAhead !== half) return "entry";
        now.seen = 0;
        return undefined;
      });
    },
    give(program) {
      const show = (): unknown =>
        program.store(
          `${mine}.idx`,
          () => index[mine],
          (now) => u16(shownIdx(now) + now.count - now.at),
        );
      if (scene.showsFirst === half) show();
      program.label("write").store(
        `${mine}.ring`,
        (now) => entries[mine] + slotOf(shownIdx(now)),
        (now) => now.shown,
      );
      program.run((now) => {
        now.shown++;
        return ++now.at < now.count ? "write" : undefined;
      });
      if (scene.showsFirst !== half) show();
    },
    decide(program) {
      program
        .load(wish(peers), () => wishes.peers, "wish")
        .run((now) => {
          // Before it publishes, a half that decides first has not counted what it is about to show.
          const end = FIRST + now.shown + (scene.decidesFirst === half ? now.count : 0);
          const event = now.wish;
          now.yes = 0;
          for (let idx = end - 1; u16(idx + 1) !== now.old; idx--) {
            if (u16(idx) === event) now.yes = 1;
            if (scene.equality === half) break;
          }
          if (!events) now.yes = event === 0 ? 1 : 0;
          now.old = u16(end);
          now.wish = 0;
          return undefined;
        });
    },
    arm(program) {
      program.store(
        wish(mine),
        () => wishes.mine,
        (now) => (events ? takenIdx(now) : 0),
      );
    },
    recheck(program, work) {
      loadIndex(program).run((now) => {
        const more = now.seen !== takenIdx(now);
        now.seen = 0;
        return more ? work : undefined;
      });
    },
  });
}

// A slot: owner bits avail 1 and used 2, then the number of its buffer.
const available = (wrap: number): number => (wrap ? 1 : 2);
const used = (wrap: number): number => (wrap ? 3 : 0);
// An event structure: mode, then offset and wrap. The modes are those of 2.8.14.
const ENABLE = 0;
const DISABLE = 1;
const DESC = 2;
const RESERVED = 3;

function packedHalf(scene: Scene, side: Side): Thread {
  const { size, suppression, awake } = scene;
  const { half, wishes } = side;
  const events = suppression === "EVENT_IDX";
  const wish = (area: Half): string => `${area} area`;
  const peer: Half = half === "driver" ? "device" : "driver";
  const locals: Locals = { taken: 0, shown: 0, count: 0, at: 0, entry: 0, ahead: 0, wish: 0, yes: 0 };
  const wrapOf = (position: number): number => (Math.floor(position / size) + 1) & 1;
  const named = (position: number): number => DESC | ((position % size) << 2) | (wrapOf(position) << 6);
  // What a used slot says of a buffer (its len) is not what stood there before.
  const content: Record<Half, number> = { driver: 0, device: 64 };
  const mineBits = half === "driver" ? available : used;
  const peersBits = half === "driver" ? used : available;
  const isThere = ({ entry, taken }: Locals): boolean => (entry & 3) === peersBits(wrapOf(taken));
  const write = (program: Program, name: string, offset: (now: Locals) => number): Program =>
    program.store(
      name,
      (now) => RING + ((now.shown + offset(now)) % size),
      (now) => {
        const position = now.shown + offset(now);
        return mineBits(wrapOf(position)) | ((position + content[half]) << 2);
      },
    );
  const loadSlot = (program: Program, name: string, to = "entry"): Program =>
    program.load(name, ({ taken }) => RING + (taken % size), to);

  return halfOf(scene, side, locals, {
    suppress(program) {
      if (awake === "junk") {
        const all = Array.from({ length: 2 * size }, (_, position) => named(position));
        program.pick("wish", () => [ENABLE, DISABLE, RESERVED, ...(events ? all : [named(0)])]);
        program.store(
          wish(half),
          () => wishes.mine,
          (now) => now.wish,
        );
      } else {
        program.store(
          wish(half),
          () => wishes.mine,
          () => DISABLE,
        );
      }
    },
    take(program, empty) {
      // The id is of the same load as the flags, unless this half is to look ahead.
      if (scene.looksAhead === half) loadSlot(program, "slot", "ahead");
      loadSlot(program, "slot").run((now) => (isThere(now) ? undefined : empty));
      program.run((now) => {
        expectNumber(
          ((scene.looksAhead === half ? now.ahead : now.entry) >> 2) - content[peer],
          now.taken,
          half,
        );
        now.taken++;
        now.entry = 0;
        now.ahead = 0;
        return undefined;
      });
    },
    give(program) {
      // The first of a burst is held back: the peer looks at one slot only, so it shows all of them.
      if (scene.showsFirst === half) write(program, "first slot", () => 0);
      program.run((now) => {
        now.at = 1;
        return now.count > 1 ? undefined : "rest";
      });
      write(program.label("write"), "later slot", ({ at }) => at).run((now) =>
        ++now.at < now.count ? "write" : undefined,
      );
      program.label("rest");
      if (scene.showsFirst !== half) write(program, "first slot", () => 0);
      program.run((now) => {
        now.shown += now.count;
        return undefined;
      });
    },
    decide(program) {
      program
        .load(wish(peer), () => wishes.peers, "wish")
        .run((now) => {
          const end = now.shown + (scene.decidesFirst === half ? now.count : 0);
          const mode = now.wish & 3;
          now.yes = mode === DISABLE ? 0 : 1;
          if (mode === DESC && events) {
            now.yes = 0;
            for (let back = 1; back <= now.count; back++) {
              if (named(end - back) === now.wish) now.yes = 1;
              if (scene.equality === half) break;
            }
          }
          now.wish = 0;
          return undefined;
        });
    },
    arm(program) {
      program.store(
        wish(half),
        () => wishes.mine,
        ({ taken }) => (events ? named(taken) : ENABLE),
      );
    },
    recheck(program, work) {
      loadSlot(program, "next slot").run((now) => {
        const more = isThere(now);
        now.entry = 0;
        return more ? work : undefined;
      });
    },
  });
}
