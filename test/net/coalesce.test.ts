/** Receive coalescing: what is put together, what is not, and that segmentation gives back just what came. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import * as abi from "../../assembly/abi.ts";
import * as spec from "../../assembly/spec.ts";
import { readCapture } from "../../src/net/pcap.ts";
import { buildFrame } from "../support/frames.ts";
import { type NetHeader, Offloads, ROOM } from "../support/offloads.ts";
import { Random } from "../support/random.ts";

/** More than a 16-bit length can say: that is the limit, not the room. */
const BUFFER = 70_000;
const ALL_KINDS =
  (1 << spec.VIRTIO_NET_HDR_GSO_TCPV4) | (1 << spec.VIRTIO_NET_HDR_GSO_TCPV6) | spec.VIRTIO_NET_HDR_GSO_ECN;

const FIN = 1;
const SYN = 2;
const RST = 4;
const PSH = 8;
const ACK = 16;
const URG = 32;
const ECE = 64;
const CWR = 128;

type Given = Parameters<typeof buildFrame>[0];

/** A frame that comes out: with what its header would say, or as it went in. */
interface Out {
  frame: Uint8Array;
  header?: NetHeader & { hdrLen: number; segments: number };
}

let offloads: Offloads;
beforeAll(async () => {
  offloads = await Offloads.create(8 * BUFFER);
});

class Table {
  readonly ptr: number;
  readonly #out: Out[] = [];

  constructor(flows = 4, kinds = ALL_KINDS, bufferBytes = BUFFER) {
    const { wasm, engine } = offloads;
    this.ptr = offloads.out + ROOM - wasm.coalescerBytes(flows) - 64;
    this.ptr &= ~63;
    wasm.coalescerInit(this.ptr, flows, offloads.end - flows * bufferBytes, bufferBytes);
    engine.u32[(this.ptr + wasm.COALESCER_KINDS.value) >>> 2] = kinds;
  }

  limit(segments: number): this {
    const { wasm, engine } = offloads;
    engine.u32[(this.ptr + wasm.COALESCER_MAX_SEGMENTS.value) >>> 2] = segments;
    return this;
  }

  add(frame: Uint8Array): number {
    const code = offloads.wasm.coalesceAdd(this.ptr, offloads.put(frame), frame.length);
    this.#take();
    if (code === abi.COALESCE_PASS) this.#out.push({ frame });
    return code;
  }

  /** All that came out so far, and what is held. */
  finish(): Out[] {
    offloads.wasm.coalesceFlush(this.ptr);
    this.#take();
    return this.#out;
  }

  /** What came out so far. */
  get out(): readonly Out[] {
    return this.#out;
  }

  #take(): void {
    const { wasm } = offloads;
    for (;;) {
      const slot = wasm.coalesceReady(this.ptr);
      if (slot === 0) return;
      const field = ({ value }: { value: number }) => offloads.word(slot + value);
      this.#out.push({
        frame: offloads.bytes(field(wasm.COALESCED_FRAME), field(wasm.COALESCED_BYTES)).slice(),
        header: {
          gsoType: field(wasm.COALESCED_GSO_TYPE),
          gsoSize: field(wasm.COALESCED_GSO_SIZE),
          hdrLen: field(wasm.COALESCED_HDR_LEN),
          csumStart: field(wasm.COALESCED_CSUM_START),
          csumOffset: field(wasm.COALESCED_CSUM_OFFSET),
          segments: field(wasm.COALESCED_SEGMENTS),
          fixedId: field(wasm.COALESCED_FIXED_ID) !== 0,
        },
      });
      wasm.coalesceRelease(this.ptr);
    }
  }
}

/** What arrives when everything that came out is cut again. */
function cut(out: readonly Out[]): Uint8Array[] {
  return out.flatMap(({ frame, header }) =>
    header === undefined || header.gsoType === 0 ? [frame] : offloads.segment(frame, header),
  );
}

function hex(frames: readonly Uint8Array[]): string[] {
  return frames.map((frame) => Buffer.from(frame).toString("hex"));
}

/** A run of segments of one flow, as a sender cuts them. */
function run(sizes: number[], given: Given = {}, change: (i: number) => Given = () => ({})): Uint8Array[] {
  let sequence = given?.tcp?.sequence ?? 1000;
  const id = given?.id ?? 0xfffe;
  return sizes.map((size, i) => {
    const changed = change(i);
    const tcp = { ...given?.tcp, sequence: sequence >>> 0, ...changed?.tcp };
    const payload = Uint8Array.from({ length: size }, (_, k) => (sequence + k * 3) & 0xff);
    sequence += size;
    return buildFrame({ ...given, id: (id + i) & 0xffff, payload, ...changed, tcp }).bytes;
  });
}

function coalesce(frames: readonly Uint8Array[], table = new Table()): Out[] {
  for (const frame of frames) table.add(frame);
  return table.finish();
}

const versions = [4, 6] as const;

describe.each(versions)("frames of one flow over IPv%i", (version) => {
  const kind = version === 4 ? spec.VIRTIO_NET_HDR_GSO_TCPV4 : spec.VIRTIO_NET_HDR_GSO_TCPV6;

  it("become one, with a seeded checksum and a gso_size", () => {
    const frames = run([1000, 1000, 1000, 10], { version });
    const [{ frame, header }, ...rest] = coalesce(frames);
    expect(rest).toEqual([]);
    const { bytes, transport, payload } = buildFrame({
      version,
      checksum: "seeded",
      payload: Uint8Array.from(frames.flatMap((one) => [...one.subarray(version === 4 ? 54 : 74)])),
    });
    expect(frame).toEqual(bytes);
    expect(header).toEqual({
      ...{ gsoType: kind, gsoSize: 1000, hdrLen: payload, csumStart: transport, csumOffset: 16 },
      ...{ segments: 4, fixedId: false },
    });
    expect(hex(cut([{ frame, header }]))).toEqual(hex(frames));
  });

  it("end with a shorter one, with FIN or PSH, which are kept, and at 64 KiB", () => {
    const shorter = coalesce(run([500, 499, 500], { version }));
    expect(shorter.map(({ header }) => header?.segments)).toEqual([2, 1]);
    for (const flag of [FIN, PSH, FIN | PSH]) {
      const frames = run([500, 500, 500], { version }, (i) => ({
        tcp: { flags: ACK | (i === 1 ? flag : 0) },
      }));
      const out = coalesce(frames);
      expect(out.map(({ header }) => header?.segments)).toEqual([2, 1]);
      expect(out[0].frame[14 + (version === 4 ? 20 : 40) + 13]).toBe(ACK | flag);
      expect(hex(cut(out))).toEqual(hex(frames));
    }
    const many = run(new Array(50).fill(1448), { version });
    const out = coalesce(many);
    // 45 segments of 1448 bytes are the most that a 16-bit length can say, with the headers that it counts.
    expect(out.map(({ header }) => header?.segments)).toEqual([45, 5]);
    expect(hex(cut(out))).toEqual(hex(many));
  });

  it("are passed on alone when there is one, as it came", () => {
    const frames = run([100], { version });
    const [{ frame, header }] = coalesce(frames);
    expect(frame).toEqual(frames[0]);
    expect(header).toMatchObject({ gsoType: 0, segments: 1 });
  });

  it("keep their order when one can't be joined, whatever it is", () => {
    const different: Record<string, Given> = {
      "an acknowledgement of more": { tcp: { acknowledgement: 8 } },
      "another window": { tcp: { window: 501 } },
      "an urgent pointer": { tcp: { urgent: 1 } },
      "a time to live": { timeToLive: 63 },
      "a service": { service: 4 },
      options: { tcp: { options: [1, 1, 1, 0] } },
      "a sequence number that is not next": { tcp: { sequence: 1001 } },
      "no payload": { payload: new Uint8Array(0) },
      "a longer payload": { payload: new Uint8Array(101) },
      SYN: { tcp: { flags: ACK | SYN } },
      RST: { tcp: { flags: ACK | RST } },
      URG: { tcp: { flags: ACK | URG } },
      ECE: { tcp: { flags: ACK | ECE } },
      CWR: { tcp: { flags: ACK | CWR } },
      "no ACK": { tcp: { flags: 0 } },
      padding: { padding: 1 },
      ...(version === 4
        ? {
            "an identification that is not next": { id: 9 },
            "may be fragmented": { fragment: 0 },
            "a fragment": { fragment: 0x2000 },
            "IP options": { ipOptions: [1, 1, 1, 0] },
          }
        : {
            "another flow label": { label: 1 },
            "an extension header": { extensions: [6, 0, 1, 4, 0, 0, 0, 0], nextHeader: 0 },
          }),
    };
    for (const [what, change] of Object.entries(different)) {
      const frames = run([100, 100, 100, 100], { version }, (i) => (i === 1 ? change : {}));
      const out = coalesce(frames);
      // A frame with CWR is the first of another.
      expect(out.length, what).toBeGreaterThan(what === "CWR" ? 1 : 2);
      expect(out[0].header?.segments, what).toBe(1);
      expect(hex(cut(out)), what).toEqual(hex(frames));
    }
  });

  it("of other flows stand between them without harm", () => {
    const others: Given[] = [
      { source: 3 },
      { destination: 3 },
      { sourcePort: 1 },
      { destinationPort: 1 },
      { tags: [7] },
      { version: version === 4 ? 6 : 4 },
    ];
    for (const other of others) {
      const [a, b] = [run([100, 100, 100], { version }), run([50, 50, 50], { version, ...other })];
      const out = coalesce([a[0], b[0], a[1], b[1], a[2], b[2]]);
      expect(out.map(({ header }) => header?.segments)).toEqual([3, 3]);
      expect(hex(cut(out))).toEqual(hex([...a, ...b]));
    }
  });

  it("are taken only when their checksum is right, and a wrong one stays in its place", () => {
    for (const which of [0, 1, 2]) {
      const frames = run([100, 100, 100], { version });
      frames[which][frames[which].length - 1] ^= 1;
      const out = coalesce(frames);
      expect(hex(cut(out))).toEqual(hex(frames));
      expect(out.find(({ frame }) => Buffer.compare(frame, frames[which]) === 0)?.header).toBeUndefined();
    }
  });

  it("CWR may be in the first, and is told as ECN, where that is negotiated", () => {
    const frames = run([100, 100, 100], { version }, (i) => ({ tcp: { flags: ACK | (i === 0 ? CWR : 0) } }));
    const [{ frame, header }] = coalesce(frames);
    expect(header?.gsoType).toBe(kind | spec.VIRTIO_NET_HDR_GSO_ECN);
    expect(hex(cut([{ frame, header }]))).toEqual(hex(frames));
    const without = coalesce(frames, new Table(4, 1 << kind));
    expect(without.map((one) => one.header?.segments)).toEqual([undefined, 2]);
    expect(hex(cut(without))).toEqual(hex(frames));
  });

  it("are passed on when their kind is not negotiated", () => {
    const frames = run([100, 100], { version });
    expect(coalesce(frames, new Table(4, ALL_KINDS & ~(1 << kind))).map(({ header }) => header)).toEqual([
      undefined,
      undefined,
    ]);
  });

  it("are no more than the limit", () => {
    const out = coalesce(run([10, 10, 10, 10, 10], { version }), new Table().limit(2));
    expect(out.map(({ header }) => header?.segments)).toEqual([2, 2, 1]);
  });
});

it("identifications may all be one where nothing is fragmented, and nowhere else", () => {
  const fixed = run([100, 100, 100], {}, () => ({ id: 7 }));
  const [{ frame, header }, ...rest] = coalesce(fixed);
  expect(rest).toEqual([]);
  expect(header).toMatchObject({ segments: 3, fixedId: true });
  expect(hex(cut([{ frame, header }]))).toEqual(hex(fixed));
  const mixed = run([100, 100, 100], {}, (i) => ({ id: 7 + (i >> 1) }));
  expect(coalesce(mixed).map((out) => out.header?.segments)).toEqual([2, 1]);
  const apart = run([100, 100, 100], { fragment: 0 }, () => ({ id: 7 }));
  expect(coalesce(apart).map((out) => out.header?.segments)).toEqual([1, 1, 1]);
});

it("a full table gives up its oldest, and goes on", () => {
  const table = new Table(2);
  const flows = [1, 2, 3].map((port) => run([100, 100], { sourcePort: port }));
  expect(table.add(flows[0][0])).toBe(abi.COALESCE_HELD);
  expect(table.add(flows[1][0])).toBe(abi.COALESCE_HELD);
  expect(table.add(flows[2][0])).toBe(abi.COALESCE_PASS);
  expect(hex(cut(table.out))).toEqual(hex([flows[0][0], flows[2][0]]));
  expect(table.add(flows[2][1])).toBe(abi.COALESCE_HELD);
  expect(table.add(flows[1][1])).toBe(abi.COALESCE_HELD);
  expect(hex(cut(table.finish()).slice(2))).toEqual(hex([flows[1][0], flows[1][1], flows[2][1]]));
});

it("what is ready waits for its release, and nothing is taken over it", () => {
  const { wasm } = offloads;
  const table = new Table(1);
  const [first, second] = run([100, 50], {});
  const add = (frame: Uint8Array) => wasm.coalesceAdd(table.ptr, offloads.put(frame), frame.length);
  expect(add(first)).toBe(abi.COALESCE_HELD);
  expect(add(second)).toBe(abi.COALESCE_HELD);
  const slot = wasm.coalesceReady(table.ptr);
  expect(slot).not.toBe(0);
  expect(add(run([100], { sourcePort: 9 })[0])).toBe(abi.COALESCE_PASS);
  expect(wasm.coalesceReady(table.ptr)).toBe(slot);
  wasm.coalesceRelease(table.ptr);
  expect(wasm.coalesceReady(table.ptr)).toBe(0);
  wasm.coalesceRelease(table.ptr);
  expect(add(first)).toBe(abi.COALESCE_HELD);
  wasm.coalesceReset(table.ptr);
  wasm.coalesceFlush(table.ptr);
  expect(wasm.coalesceReady(table.ptr)).toBe(0);
});

it("coalescing and then cutting gives back the frames that the kernel cut", () => {
  for (const name of ["offload-received.pcapng", "offload-tap-received.pcapng", "web.pcapng"]) {
    const file = readFileSync(new URL(`../../captures/${name}`, import.meta.url));
    const frames = readCapture(file, { name }).packets.map(({ data }) => data);
    const out = coalesce(frames, new Table(8));
    // Frames of different flows may change places.
    expect(hex(cut(out)).sort()).toEqual(hex(frames).sort());
    if (name !== "offload-received.pcapng") continue;
    expect(Math.max(...out.map(({ header }) => header?.segments ?? 0))).toBeGreaterThan(5);
    expect(out.length).toBeLessThan(frames.length);
  }
});

it("any mixture of flows comes out whole, in order, whatever happens to it on the way", () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 4 }), (seed, tableSize) => {
      const random = new Random(seed);
      const flows = Array.from({ length: 3 }, (_, flow) => {
        const sizes = Array.from({ length: 12 }, () => (random.chance(70) ? 200 : random.int(0, 250)));
        const version = random.pick(versions);
        return run(sizes, { version, sourcePort: 1 + flow, tcp: { sequence: 0xffffff00 } }, () => ({
          ...(random.chance(5) ? { timeToLive: 9 } : {}),
          ...(random.chance(5) ? { padding: 3 } : {}),
          tcp: { flags: random.chance(15) ? random.int(0, 255) : ACK },
        }));
      });
      const table = new Table(tableSize);
      const waiting = flows.map((frames) => [...frames]);
      for (;;) {
        const left = waiting.filter((frames) => frames.length > 0);
        if (left.length === 0) break;
        table.add(random.pick(left).shift() as Uint8Array);
      }
      const all = hex(cut(table.finish()));
      expect(all).toHaveLength(36);
      for (const frames of flows) {
        const wanted = new Set(hex(frames));
        expect(all.filter((frame) => wanted.has(frame))).toEqual(hex(frames));
      }
    }),
    { numRuns: 60 },
  );
});

it("frames that are cut at any byte or damaged come out as they were", () => {
  const random = new Random(17);
  for (const version of versions) {
    const [first, second, third] = run([100, 100, 100], { version, tags: [3] });
    for (let bytes = 0; bytes <= second.length; bytes++) {
      const cutShort = second.subarray(0, bytes);
      // What doesn't tell its flow any more overtakes what is held of it.
      expect(hex(cut(coalesce([first, cutShort, third]))).sort()).toEqual(
        hex([first, cutShort, third]).sort(),
      );
    }
    for (let round = 0; round < 500; round++) {
      const damaged = [first, second, third].map((frame) => {
        const copy = frame.slice();
        for (let i = random.int(0, 2); i > 0; i--) copy[random.int(0, 80)] = random.int(0, 255);
        return copy;
      });
      expect(hex(cut(coalesce(damaged))).sort()).toEqual(hex(damaged).sort());
    }
  }
});
