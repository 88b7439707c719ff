import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as abi from "../../assembly/abi.ts";
import { Passthru, type PassthruState } from "../../src/device/passthru.ts";
import { PassthruError } from "../../src/errors.ts";
import { negotiateRoom } from "../../src/passthru-limits.ts";
import { framesOf } from "../support/driver-bench.ts";
import { createEngine } from "../support/engine.ts";
import { failPin, PLAIN, pinsLive, programRig, SPLITTING } from "../support/passthru.ts";

const PAGE = abi.PAGE_SIZE;
const page = (ptr: number): number => Math.ceil(ptr / PAGE) * PAGE;

describe("a program sends", () => {
  test.each([64, 255, 256, 1518, 9000, 65_550])(
    "frames of %i bytes, whose headers are copied and whose payload is not",
    async (bytes) => {
      const { engine, face, nic, program } = await programRig();
      face.bind(PLAIN);
      const [frame] = framesOf(bytes, 1);
      const at = page(engine.buffers.ptr) + 100;
      engine.bytes(at, bytes).set(frame);
      expect(program.write(7, [at, bytes])).toBe(true);
      const pages = bytes > 128 ? Math.floor((at + bytes - 1) / PAGE) - Math.floor((at + 128) / PAGE) + 1 : 0;
      expect(pinsLive(engine)).toBe(pages);
      expect(program.completions()).toEqual([]);
      expect(nic.send()).toEqual([frame]);
      expect(program.completions()).toEqual([{ token: 7, written: 0, status: 0, more: 0 }]);
      expect(face.counters()).toMatchObject({
        ...{ writes: 1, cpuCopies: 0, headerCopyBytes: Math.min(128, bytes), pinnedPages: pages },
      });
      expect([pinsLive(engine), face.outstanding, face.lost()]).toEqual([0, 0, 0]);
    },
  );

  test("and can't change headers that were submitted, but payload until it completes", async () => {
    const { engine, face, nic, program } = await programRig();
    face.bind(PLAIN);
    const at = engine.buffers.ptr;
    engine.bytes(at, 1000).fill(1);
    program.write(1, [at, 10], [at + 10, 990]);
    engine.bytes(at, 1000).fill(2);
    const [sent] = nic.send();
    expect([...new Set(sent.subarray(0, 128))]).toEqual([1]);
    expect([...new Set(sent.subarray(128))]).toEqual([2]);
  });

  test("and hears of each in the order in which the NIC is done, with its errors", async () => {
    const { engine, face, nic, program } = await programRig();
    face.bind(PLAIN);
    for (let token = 0; token < 4; token++) program.write(token, [engine.buffers.ptr + token * PAGE, 500]);
    const taken = nic.take();
    nic.done([taken[2].handle, taken[0].handle]);
    nic.done([taken[3].handle], 1);
    expect(program.completions().map(({ token, status }) => [token, status])).toEqual([
      [2, 0],
      [0, 0],
      [3, abi.PASSTHRU_E_WIRE],
    ]);
    expect(nic.done([taken[2].handle, 0xffff_ffff])).toBe(0);
    expect(face.counters().staleSent).toBe(2);
    expect(pinsLive(engine)).toBeGreaterThan(0);
    nic.done([taken[1].handle]);
    expect(pinsLive(engine)).toBe(0);
  });
});

describe.each([
  { nic: PLAIN, mode: "direct" as const, room: undefined },
  { nic: SPLITTING, mode: "split" as const, room: undefined },
])("a program receives, $mode", ({ nic: asked, mode }) => {
  test.each([
    { bytes: 64, buffers: 1 },
    { bytes: 1500, buffers: 1 },
    { bytes: 9000, buffers: 5 },
    { bytes: 65_550, buffers: 33 },
  ])("a frame of $bytes bytes in $buffers buffers of 2 KiB", async ({ bytes, buffers }) => {
    const { engine, face, nic, program } = await programRig();
    expect(face.bind(asked)).toBe(mode);
    const at = page(engine.buffers.ptr);
    for (let token = 0; token < 40; token++)
      expect(program.read(token, [at + token * 2048, 2048])).toBe(true);
    expect(pinsLive(engine)).toBe(40);
    const [frame] = framesOf(bytes, 1);
    expect(nic.receive(frame)).toEqual([]);
    const done = Array.from({ length: Math.ceil(buffers / 32) }, () => program.completions()).flat();
    expect(done.map(({ token, more, status }) => [token, more, status])).toEqual(
      Array.from({ length: buffers }, (_, k) => [k, buffers - 1 - k, 0]),
    );
    expect(done.reduce((sum, { written }) => sum + written, 0)).toBe(bytes);
    expect(engine.bytes(at, bytes)).toEqual(frame);
    const headers = mode === "split" ? Math.min(128, bytes) : 0;
    expect(face.counters()).toMatchObject({ cpuCopies: 0, headerCopyBytes: headers, pinnedPages: buffers });
    expect(pinsLive(engine)).toBe(40 - buffers);
    // What a read was done into is dirty, and told once.
    const pages = Array.from({ length: Math.ceil(bytes / PAGE) }, (_, k) => at / PAGE + k);
    expect(face.takeDirtyPages()).toEqual(pages);
    expect(face.takeDirtyPages()).toEqual([]);
    face.cancel();
    const left = [...program.completions(), ...program.completions()];
    expect(left.map(({ status, written }) => [status, written])).toEqual(
      Array.from({ length: 40 - buffers }, () => [abi.PASSTHRU_E_CANCELED, 0]),
    );
    expect([pinsLive(engine), face.outstanding, face.lost()]).toEqual([0, 0, 0]);
  });

  test("nothing of a frame for which too few buffers are there, and the next one in them", async () => {
    const { engine, face, nic, program } = await programRig();
    face.bind(asked);
    const at = page(engine.buffers.ptr);
    for (let token = 0; token < 4; token++) program.read(token, [at + token * 2048, 2048]);
    engine.bytes(at, 8192).fill(0xee);
    nic.receive(framesOf(9000, 1)[0]);
    expect(face.counters().dropsNoBuffer).toBe(1);
    expect([...new Set(engine.bytes(at, 8192))]).toEqual([0xee]);
    const [frame] = framesOf(1500, 1, 5);
    nic.receive(frame);
    expect(engine.bytes(at, 1500)).toEqual(frame);
    expect(program.completions()).toEqual([{ token: 0, written: 1500, status: 0, more: 0 }]);
  });

  test("without merging, only what the next buffer holds", async () => {
    const { engine, face, nic, program } = await programRig({ mergeable: false });
    face.bind(asked);
    program.read(1, [engine.buffers.ptr, 200], [engine.buffers.ptr + 4000, 1300]);
    nic.receive(framesOf(1501, 1)[0]);
    expect(face.counters().dropsTooLong).toBe(1);
    const [frame] = framesOf(1500, 1);
    nic.receive(frame);
    expect(engine.bytes(engine.buffers.ptr, 200)).toEqual(frame.subarray(0, 200));
    expect(engine.bytes(engine.buffers.ptr + 4000, 1300)).toEqual(frame.subarray(200));
  });
});

describe("the receive hook", () => {
  test("leaves what isn't the user's to the host's stack, in order, and counts it", async () => {
    const { engine, face, nic, program } = await programRig({ mac: "52:54:00:12:34:56" });
    face.bind(SPLITTING);
    for (let token = 0; token < 4; token++) program.read(token, [engine.buffers.ptr + token * 2048, 2048]);
    const [own, other, group, another] = framesOf(300, 4);
    own.set([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    other.set([0x52, 0x54, 0, 0x12, 0x34, 0x57]);
    group.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    another.set([0x52, 0x54, 0, 0x13, 0x34, 0x56]);
    const [left, leftToo] = nic.receive(other, own, another, group);
    expect([left, leftToo]).toEqual([other, another]);
    expect(program.completions().map(({ token }) => token)).toEqual([0, 1]);
    expect(engine.bytes(engine.buffers.ptr, 300)).toEqual(own);
    expect(face.counters()).toMatchObject({ stackPackets: 2, stackBytes: 600 });
  });

  test("takes nothing while no NIC is bound", async () => {
    const { face, nic } = await programRig();
    const frames = framesOf(100, 3);
    expect(nic.receive(...frames)).toEqual(frames);
    expect(face.counters().stackPackets).toBe(3);
  });
});

describe("a request is refused by name, and nothing of it is kept", () => {
  const codes = (over: Partial<Record<string, unknown>> = {}) => ({ name: "PassthruError", ...over });

  test("the limit of locked pages: what was submitted goes on, and the rest fits once there is room", async () => {
    const { engine, face, nic, program } = await programRig();
    face.lockedPagesMost = 5;
    face.bind(SPLITTING);
    const at = page(engine.buffers.ptr);
    for (let token = 0; token < 4; token++) expect(program.read(token, [at + token * PAGE, PAGE])).toBe(true);
    expect(program.write(9, [at + 8 * PAGE, 2 * PAGE])).toBe(false);
    expect(face.refusal).toMatchObject(codes({ code: "locked-pages" }));
    expect([face.lockedPages, pinsLive(engine), face.outstanding]).toEqual([4, 4, 4]);
    expect(face.counters().headerCopyBytes).toBe(0);
    nic.receive(framesOf(1000, 1)[0]);
    expect(program.write(9, [at + 8 * PAGE, 2 * PAGE])).toBe(true);
    expect(face.refusal).toBeNull();
    expect(nic.send()).toHaveLength(1);
    expect(program.completions().map(({ token }) => token)).toEqual([0, 9]);
    // More than the limit alone is never possible.
    expect(program.write(10, [at + 8 * PAGE, 6 * PAGE])).toBe(false);
    expect(face.lost()).toBe(0);
  });

  test("a burst ends at the first that is refused", async () => {
    const { engine, face } = await programRig();
    face.bind(SPLITTING);
    const at = engine.buffers.ptr;
    face.submissions.set([1, 1 << 16, at, 2048, 2, 1, engine.base, 100, 3, 1 << 16, at + 4096, 2048]);
    expect(face.submit(3)).toBe(1);
    expect(face.refusal).toMatchObject(codes({ code: "range" }));
    expect(face.outstanding).toBe(1);
  });

  test.each([
    ["unbound", "no NIC", (at: number) => [1, 1, at, 100], false],
    ["elements", "both directions", (at: number) => [1, 1 | (1 << 16), at, 100, at, 100], true],
    ["elements", "no element", () => [1, 0], true],
    ["elements", "too many elements", (at: number) => [1, 20, ...Array(20).fill([at, 100]).flat()], true],
    ["too-short", "13 bytes", (at: number) => [1, 1, at, 13], true],
    ["too-short", "a buffer of nothing", (at: number) => [1, 1 << 16, at, 0], true],
    ["too-long", "65551 bytes", (at: number) => [1, 1, at, 65_551], true],
    ["range", "private memory", (_: number, base: number) => [1, 1 << 16, base, 2048], true],
    ["range", "beyond the memory", () => [1, 1, 0xffff_f000, 0x2000], true],
  ] as const)("%s: %s", async (code, _, record, bound) => {
    const { engine, face } = await programRig();
    if (bound) face.bind(SPLITTING);
    face.submissions.set(record(engine.buffers.ptr, engine.base));
    expect(face.submit(1)).toBe(0);
    expect(face.refusal).toBeInstanceOf(PassthruError);
    expect(face.refusal).toMatchObject({ code });
    expect([pinsLive(engine), face.outstanding, face.counters().headerCopyBytes]).toEqual([0, 0, 0]);
  });

  test("full: more requests than are reserved", async () => {
    const { engine, face, program } = await programRig({}, { passthru: { requests: 2 } });
    face.bind(SPLITTING);
    const at = engine.buffers.ptr;
    expect([program.read(1, [at, 100]), program.read(2, [at, 100]), program.read(3, [at, 100])]).toEqual([
      true,
      true,
      false,
    ]);
    expect(face.refusal).toMatchObject(codes({ code: "full" }));
  });

  test("an injected failure of any pin of a request, whose other pages are not pinned then", async () => {
    const { engine, face, program } = await programRig();
    face.bind(SPLITTING);
    const at = page(engine.buffers.ptr);
    for (let nth = 1; nth <= 3; nth++) {
      failPin(engine, nth);
      expect(program.read(nth, [at, 100], [at + PAGE, 100], [at + 2 * PAGE, 100])).toBe(false);
      expect(face.refusal).toMatchObject({ code: "pin-failed" });
      expect(pinsLive(engine)).toBe(0);
    }
    expect(program.read(4, [at, 100], [at + PAGE, 100], [at + 2 * PAGE, 100])).toBe(true);
    expect(pinsLive(engine)).toBe(3);
  });
});

describe("room round buffers", () => {
  const nic = { packetSplit: false, headroom: 64, tailroom: 128, align: 64 };

  test.each([
    ["headroom", { headroom: 63, tailroom: 128, align: 64 }],
    ["tailroom", { headroom: 64, tailroom: 127, align: 64 }],
    ["alignment", { headroom: 64, tailroom: 128, align: 32 }],
  ])("a NIC and a user that don't fit are refused by name: %s", async (code, room) => {
    const { face } = await programRig({ room });
    expect(() => face.bind(nic)).toThrow(expect.objectContaining({ name: "PassthruError", code }));
    expect(face.state).toBe("unbound");
    expect(negotiateRoom({ ...nic, packetSplit: true }, room)).toBe("split");
  });

  test.each([
    ["headroom", 48, 1024],
    ["tailroom", 64, PAGE - 64 - 127],
    ["alignment", 100, 1024],
  ])("a buffer that breaks its user's promise is refused: %s", async (code, offset, bytes) => {
    const room = { headroom: 64, tailroom: 128, align: 64 };
    // Of what is aligned, only what starts at 0 has too little in front.
    const { engine, face, program } = await programRig({ room });
    face.bind(code === "headroom" ? { ...nic, align: 16 } : nic);
    const at = page(engine.buffers.ptr);
    expect(program.read(1, [at + offset, bytes])).toBe(false);
    expect(face.refusal).toMatchObject({ code });
    expect(program.read(1, [at + 64, PAGE - 64 - 128])).toBe(true);
  });
});

describe("bind and unbind", () => {
  test("every outstanding request is finished first, and each change of state is told", async () => {
    const states: PassthruState[] = [];
    const { engine, face, nic, program } = await programRig({ onState: (state) => states.push(state) });
    face.bind(SPLITTING);
    const at = page(engine.buffers.ptr);
    for (let token = 0; token < 3; token++) program.read(token, [at + token * PAGE, PAGE]);
    for (let token = 10; token < 14; token++) program.write(token, [at + token * PAGE, 2000]);
    const [first, second] = nic.take(2);
    expect(face.unbind()).toBe("busy");
    expect([face.state, states]).toEqual(["stopping", ["bound", "stopping"]]);
    expect(program.write(20, [at, 100])).toBe(false);
    const stray = framesOf(100, 1);
    expect(nic.receive(...stray)).toEqual(stray);
    expect(() => face.bind(PLAIN)).toThrow("the interface is stopping, not unbound");
    expect(program.completions().map(({ token, status }) => [token, status])).toEqual(
      [0, 1, 2].map((token) => [token, abi.PASSTHRU_E_CANCELED]),
    );
    // What was submitted is sent, whether or not the NIC had taken it.
    nic.done([second.handle, first.handle]);
    expect(face.unbind()).toBe("busy");
    expect(nic.send()).toHaveLength(2);
    expect([face.state, face.mode, face.unbind()]).toEqual(["unbound", null, "done"]);
    expect(program.completions().map(({ token, status }) => [token, status])).toEqual(
      [11, 10, 12, 13].map((token) => [token, 0]),
    );
    expect([pinsLive(engine), face.outstanding, face.lost()]).toEqual([0, 0, 0]);
    expect(face.bind(PLAIN)).toBe("direct");
    expect(states).toEqual(["bound", "stopping", "unbound", "bound"]);
  });

  test("a user that is gone leaves nothing pinned, and the NIC's late words mean nothing", async () => {
    const { engine, face, nic, program } = await programRig();
    face.bind(SPLITTING);
    program.read(1, [engine.buffers.ptr, 2048]);
    program.write(2, [engine.buffers.ptr + 8192, 2048]);
    program.write(3, [engine.buffers.ptr + 16384, 2048]);
    const [taken] = nic.take(1);
    face.forget();
    expect([pinsLive(engine), face.outstanding, face.lost(), face.atNic]).toEqual([0, 0, 0, 0]);
    program.write(4, [engine.buffers.ptr, 2048]);
    expect(nic.done([taken.handle])).toBe(0);
    expect(nic.send()).toHaveLength(1);
    expect(program.completions().map(({ token }) => token)).toEqual([4]);
  });
});

test("a handle of a packet that is forgotten is nobody's, even once its request is another's", async () => {
  const { engine, face, nic, program } = await programRig({}, { passthru: { requests: 1 } });
  face.bind(SPLITTING);
  program.write(1, [engine.buffers.ptr, 2048]);
  const [before] = nic.take();
  face.forget();
  program.write(2, [engine.buffers.ptr, 2048]);
  const [now] = nic.take();
  expect(nic.done([before.handle])).toBe(0);
  expect([program.completions(), pinsLive(engine)]).toEqual([[], 1]);
  expect(nic.done([now.handle])).toBe(1);
  expect(program.completions().map(({ token }) => token)).toEqual([2]);
});

test("a refusal of the NIC's name has a text that says what is lacking", () => {
  expect(() =>
    negotiateRoom(
      { packetSplit: false, headroom: 64, tailroom: 0, align: 1 },
      { headroom: 0, tailroom: 0, align: 1 },
    ),
  ).toThrow("a buffer lacks room in front: the NIC asks for head room of 64 and the buffers have 0");
});

test("the example of docs/passthru.md does what it says", async () => {
  const page = readFileSync(new URL("../../docs/passthru.md", import.meta.url), "utf8");
  const code = /```js\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
  const states: string[] = [];
  const run = new Function(
    "Engine",
    "Passthru",
    "console",
    `return (async () => {${code}; return { left, face }; })();`,
  );
  const { left, face } = await run({ create: createEngine }, Passthru, {
    log: (s: string) => states.push(s),
  });
  expect(states).toEqual(["bound", "stopping", "unbound"]);
  expect(left).toBe(0);
  expect(face.counters()).toMatchObject({ reads: 1, writes: 1, cpuCopies: 0, headerCopyBytes: 256 });
});
