import { describe, expect, test } from "vitest";
import { ConfigError } from "../../src/errors.ts";
import { parseSystem } from "../../src/system/parse-record.ts";
import { SYSTEM_RECORDS } from "../../src/system/records.ts";

const vhost = SYSTEM_RECORDS["vhost-net"];

describe("a record from outside", () => {
  test("is any of the registry's under another name, written out", () => {
    for (const record of Object.values(SYSTEM_RECORDS)) {
      const copy = { ...JSON.parse(JSON.stringify(record)), name: "copy" };
      expect(parseSystem(copy)).toEqual({ ...record, name: "copy" });
    }
  });

  test("has the fields of the one that it extends, but for its own, however deep", () => {
    const record = parseSystem({
      extends: "vhost-net",
      name: "mine",
      rx: { refill: { at: 64 } },
      eventIdx: false,
    });
    expect(record).toEqual({
      ...vhost,
      ...{ name: "mine", eventIdx: false },
      rx: { ...vhost.rx, refill: { check: vhost.rx.refill.check, at: 64 } },
    });
  });

  test("has a host's part whole: fields of another kind don't stay", () => {
    const host = { tx: { kind: "wire" } };
    expect(parseSystem({ extends: "vhost-net", name: "mine", host }).host).toEqual({
      tx: { kind: "wire" },
      rx: vhost.host.rx,
    });
  });

  test("may extend another one from outside", () => {
    const first = parseSystem({ extends: "vhost-net", name: "first", about: "one" });
    const known = { ...SYSTEM_RECORDS, first };
    expect(parseSystem({ extends: "first", name: "second" }, known)).toEqual({ ...first, name: "second" });
  });
});

describe("one line says field, value and what would be right, for", () => {
  test.each<[string, unknown, string | RegExp]>([
    ["no object", [1], "[1] is no record; an object with its fields is"],
    [
      "an unknown field",
      { speed: 3 },
      /^speed: 3 is not possible; there is no such field; name, driver, about, .* are$/,
    ],
    [
      "an unknown field inside",
      { rx: { size: 1 } },
      /^rx\.size: 1 is not possible; there is no such field; kind, sgs/,
    ],
    [
      "a field of another kind",
      { host: { tx: { kind: "wire", hops: 1 } } },
      /^host\.tx\.hops: 1 is not .* no such field; kind is$/,
    ],
    ["a field that a kind needs", { host: { tx: { kind: "copy" } } }, "host.tx.hops: it is missing"],
    [
      "an unknown kind",
      { host: { rx: { kind: "magic" } } },
      /^host\.rx\.kind: "magic" is not possible; wire, copy.* are$/,
    ],
    ["no kind", { host: { rx: {} } }, /^host\.rx\.kind: it is missing; wire, copy.* are needed$/],
    [
      "a number out of range",
      { host: { tx: { kind: "copy", hops: 0 } } },
      /^host\.tx\.hops: 0 is not possible; a whole number from 1 to \d+ is$/,
    ],
    ["a number as text", { tx: { stopBelow: "19" } }, /^tx\.stopBelow: "19" is not possible; a whole number/],
    ["half a number", { tx: { flattenAbove: 1.5 } }, /^tx\.flattenAbove: 1\.5 is not possible/],
    ["a word that is none", { dma: "iommu" }, /^dma: "iommu" is not possible; direct, swiotlb, /],
    ["a truth as text", { indirect: "yes" }, 'indirect: "yes" is not possible; true and false are'],
    [
      "a refill at nothing",
      { rx: { refill: { at: 0 } } },
      /^rx\.refill\.at: 0 is not possible; half and a whole/,
    ],
    ["a policy that is none", { tx: 5 }, /^tx: 5 is not possible; an object with mapAt, /],
    ["no direction", { directions: [] }, "directions: [] is not possible; a list of tx, rx is"],
    ["an unknown direction", { directions: ["up"] }, /^directions\.0: "up" is not possible; tx, rx are$/],
    ["a header of another size", { headerBytes: 10 }, "headerBytes: 10 is not possible; 0, 12 are"],
    ["a name that no list can hold", { name: "a,b" }, /^name: "a,b" is not possible; letters/],
    ["a name that means all", { name: "all" }, /^name: "all" is not possible/],
    [
      "a name that is taken",
      { name: "vhost-net" },
      'name: "vhost-net" is a system already; another name is needed',
    ],
    ["lines", { about: "a\nb" }, 'about: "a\\nb" is not possible; a line of text is'],
    [
      "something unknown to extend",
      { extends: "vhost" },
      /^extends: "vhost" is not possible; virtio-net, .* are$/,
    ],
    ["a name that every object has", { extends: "toString" }, /^extends: "toString" is not possible/],
    [
      "merging without a header",
      { headerBytes: 0, rx: { mergeable: true } },
      /^rx\.mergeable: true goes with a device header/,
    ],
    [
      "an element for no header",
      { headerBytes: 0, rx: { sgs: 2, mergeable: false } },
      /^rx\.sgs: 2 gives .* headerBytes is 0/,
    ],
    [
      "references ahead to pages that are not reused",
      { rx: { references: "bias" } },
      /^rx\.references: "bias" .* rx\.kind is "alloc-per-packet"/,
    ],
    [
      "pages pinned behind a guest's mappings",
      { extends: "vhost-zerocopy", accessPlatform: true },
      /^host\.tx\.kind: "zerocopy" pins .* accessPlatform false is right$/,
    ],
    [
      "a backend under physical addresses",
      { dma: "swiotlb" },
      /^dma: "swiotlb" goes with accessPlatform true/,
    ],
  ])("%s", (_, fields, message) => {
    const value = Array.isArray(fields)
      ? fields
      : { extends: "vhost-net", name: "mine", ...(fields as object) };
    expect(() => parseSystem(value)).toThrow(ConfigError);
    expect(() => parseSystem(value)).toThrow(message);
    try {
      parseSystem(value);
    } catch (error) {
      expect((error as Error).message).not.toContain("\n");
    }
  });

  test("what is missing without anything to extend", () => {
    expect(() => parseSystem({ name: "mine" })).toThrow("about: it is missing");
    expect(() => parseSystem({ extends: "vhost-net" })).toThrow(/^name: it is missing/);
  });
});
