/** One's complement sums and the checksums made of them, against a plain sum and against captured frames. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import * as abi from "../../assembly/abi.ts";
import { readCapture } from "../../src/net/pcap.ts";
import { buildFrame, plainSum } from "../support/frames.ts";
import { Offloads } from "../support/offloads.ts";
import { Random } from "../support/random.ts";

let offloads: Offloads;
beforeAll(async () => {
  offloads = await Offloads.create();
});

/** A folded sum of the engine's is of little-endian words. */
function swapped(sum: number): number {
  return ((sum & 0xff) << 8) | (sum >>> 8);
}

function sumOf(bytes: Uint8Array, offset: number): number {
  const { wasm } = offloads;
  return swapped(wasm.checksumFold(wasm.checksumAdd(0n, offloads.put(bytes, offset), bytes.length)));
}

const extremes = ["random", "ones", "zeros"] as const;

function bytesOf(kind: (typeof extremes)[number], length: number, random: Random): Uint8Array {
  const bytes = new Uint8Array(length);
  if (kind === "random") random.fill(bytes);
  if (kind === "ones") bytes.fill(0xff);
  return bytes;
}

describe("a sum", () => {
  it("is that of a plain loop for every length up to 700, at all alignments", () => {
    const random = new Random(1);
    const wrong: string[] = [];
    for (let length = 0; length <= 700; length++) {
      for (const kind of extremes) {
        const bytes = bytesOf(kind, length, random);
        const offset = random.int(0, 40);
        if (sumOf(bytes, offset) !== plainSum(bytes)) wrong.push(`${length} bytes, ${kind}, at ${offset}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("is that of a plain loop for long pieces, above the most that is summed at once", async () => {
    const large = await Offloads.create(1 << 20);
    const { wasm } = large;
    const ptr = large.end - (1 << 20);
    const random = new Random(2);
    for (const kind of extremes) {
      for (const length of [65_536, 65_537, 262_144, 262_145, 524_288, 800_001, 1 << 20]) {
        const bytes = bytesOf(kind, length, random);
        large.bytes(ptr, length).set(bytes);
        expect(swapped(wasm.checksumFold(wasm.checksumAdd(0n, ptr, length)))).toBe(plainSum(bytes));
      }
    }
  });

  it("reads no byte behind the last, at the end of the memory", () => {
    const { wasm, end } = offloads;
    for (let length = 0; length <= 300; length++) {
      offloads.bytes(end - length, length).fill(1);
      const sum = wasm.checksumFold(wasm.checksumAdd(0n, end - length, length));
      expect(swapped(sum)).toBe(plainSum(new Uint8Array(length).fill(1)));
    }
  });

  it("goes on over pieces, also behind an odd number of bytes", () => {
    const { wasm } = offloads;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(600), (bytes, place) => {
        const cut = Math.min(place, bytes.length);
        const ptr = offloads.put(bytes);
        const first = wasm.checksumAdd(0n, ptr, cut);
        const rest = bytes.length - cut;
        const whole =
          cut % 2 ? wasm.checksumAddOdd(first, ptr + cut, rest) : wasm.checksumAdd(first, ptr + cut, rest);
        expect(swapped(wasm.checksumFold(whole))).toBe(plainSum(bytes));
      }),
    );
  });

  it("of bytes on their way to another place is the same, and they arrive, and nothing beside them", () => {
    const { wasm, frame, out } = offloads;
    const random = new Random(3);
    for (let length = 0; length <= 600; length++) {
      const bytes = bytesOf("random", length, random);
      const [from, to] = [random.int(0, 31), 64 + random.int(0, 31)];
      const target = offloads.bytes(out, 1024).fill(0xa5);
      const sum = wasm.checksumCopy(0n, out + to, offloads.put(bytes, from), length);
      expect(swapped(wasm.checksumFold(sum))).toBe(plainSum(bytes));
      const expected = new Uint8Array(1024).fill(0xa5);
      expected.set(bytes, to);
      expect(Buffer.compare(target, expected)).toBe(0);
      expect(Buffer.compare(offloads.bytes(frame + from, length), bytes)).toBe(0);
    }
  });

  it("folds any 64 bits", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (sum) => {
        const folded = BigInt(offloads.wasm.checksumFold(sum));
        expect(folded % 65535n).toBe(sum % 65535n);
        expect(folded === 0n).toBe(sum === 0n);
        expect(folded).toBeLessThanOrEqual(65535n);
      }),
      { examples: [[0n], [0xffffn], [0xffff_ffffn], [(1n << 64n) - 1n], [0xffff_0001_0000_0001n]] },
    );
  });
});

describe("completing", () => {
  it.each([4, 6] as const)("a seeded checksum becomes the whole one (IPv%i)", (version) => {
    for (const protocol of ["tcp", "udp"] as const) {
      for (const length of [0, 1, 2, 99, 1460]) {
        const fields = { version, protocol, payload: new Uint8Array(length).fill(length), tags: [5] };
        const seeded = buildFrame({ ...fields, checksum: "seeded" });
        const done = offloads.complete(seeded.bytes, {
          gsoType: 0,
          gsoSize: 0,
          csumStart: seeded.transport,
          csumOffset: seeded.checksumOffset,
        });
        expect(done).toEqual(buildFrame(fields).bytes);
        expect(offloads.verify(done)).toBe(abi.CHECKSUM_VALID);
      }
    }
  });

  it("offsets outside of the frame are refused, whatever they are, and nothing is written", () => {
    const { wasm, frame } = offloads;
    const { bytes } = buildFrame({ payload: new Uint8Array(20) });
    const at = [0, 1, bytes.length - 3, bytes.length - 2, bytes.length - 1, bytes.length, 0xfffe, 0xffff];
    const odd = [...at, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
    for (const start of odd) {
      for (const offset of odd) {
        offloads.put(bytes);
        const code = wasm.checksumComplete(frame, bytes.length, start, offset);
        const fits = start + offset + 2 <= bytes.length;
        expect(code, `${start} + ${offset}`).toBe(fits ? abi.OK : abi.NET_E_CSUM_RANGE);
        if (!fits) expect(Buffer.compare(offloads.bytes(frame, bytes.length), bytes)).toBe(0);
      }
    }
    expect(wasm.checksumComplete(frame, 0, 0, 0)).toBe(abi.NET_E_CSUM_RANGE);
    expect(wasm.checksumComplete(frame, 1, 0, 0)).toBe(abi.NET_E_CSUM_RANGE);
  });

  it("never leaves the zero that says of a UDP packet that it has none", () => {
    // The sum is ffff, so its complement would be 0.
    const { bytes, transport } = buildFrame({ protocol: "udp", payload: Uint8Array.of(0, 0) });
    const zero = bytes.slice();
    zero.set([0, 0], transport + 6);
    const missing = ~plainSum(zero.subarray(transport)) & 0xffff;
    zero.set([missing >>> 8, missing & 0xff], transport + 8);
    const header = { gsoType: 0, gsoSize: 0, csumStart: transport, csumOffset: 6 };
    expect([...offloads.complete(zero, header).subarray(transport + 6, transport + 8)]).toEqual([0xff, 0xff]);
  });
});

describe("seeding", () => {
  it("leaves in the field the sum of the pseudo-header", () => {
    for (const version of [4, 6] as const) {
      for (const protocol of ["tcp", "udp"] as const) {
        const fields = { version, protocol, payload: new Uint8Array(33).fill(9), padding: 3 };
        const { bytes } = buildFrame(fields);
        offloads.parse(bytes);
        expect(Boolean(offloads.wasm.checksumSeed(offloads.frame, offloads.info))).toBe(true);
        const seeded = offloads.bytes(offloads.frame, bytes.length).slice();
        expect(seeded).toEqual(buildFrame({ ...fields, checksum: "seeded" }).bytes);
      }
    }
  });

  it("leaves alone what has no checksum of its own", () => {
    for (const frame of [buildFrame({ fragment: 0x2000 }).bytes, new Uint8Array(60)]) {
      offloads.parse(frame);
      expect(Boolean(offloads.wasm.checksumSeed(offloads.frame, offloads.info))).toBe(false);
      expect(offloads.bytes(offloads.frame, frame.length)).toEqual(frame);
    }
  });
});

describe("checking", () => {
  it("any bit that is turned in a packet is found", () => {
    for (const version of [4, 6] as const) {
      for (const protocol of ["tcp", "udp"] as const) {
        const payload = Uint8Array.of(1, 2, 3);
        const { bytes, transport, network } = buildFrame({ version, protocol, payload, padding: 2 });
        expect(offloads.verify(bytes)).toBe(abi.CHECKSUM_VALID);
        const inAddresses = network + (version === 4 ? 12 : 8);
        for (let at = inAddresses; at < bytes.length - 2; at++) {
          // A changed data offset cuts the header or not, but makes no packet valid.
          const turned = bytes.slice();
          turned[at] ^= 1 << (at % 8);
          const found = offloads.verify(turned);
          expect(found, `${version} ${protocol} ${at - transport}`).not.toBe(abi.CHECKSUM_VALID);
        }
        const padded = bytes.slice();
        padded[bytes.length - 1] ^= 1;
        expect(offloads.verify(padded)).toBe(abi.CHECKSUM_VALID);
      }
    }
  });

  it("takes a UDP checksum of zero as none over IPv4, and as wrong over IPv6", () => {
    for (const [version, expected] of [
      [4, abi.CHECKSUM_NONE],
      [6, abi.CHECKSUM_INVALID],
    ] as const) {
      const { bytes, transport } = buildFrame({ version, protocol: "udp", payload: Uint8Array.of(5) });
      bytes.set([0, 0], transport + 6);
      expect(offloads.verify(bytes)).toBe(expected);
    }
  });

  it("believes UDP's own length where it is shorter than the packet, and refuses one that can't be", () => {
    const { bytes, transport, network } = buildFrame({ protocol: "udp", payload: Uint8Array.of(5, 6, 7, 8) });
    const longer = Uint8Array.from([...bytes, 1, 2]);
    longer[network + 3] += 2;
    const header = longer.subarray(network, transport);
    header.set([0, 0], 10);
    const sum = ~plainSum(header) & 0xffff;
    header.set([sum >>> 8, sum & 0xff], 10);
    expect(offloads.verify(longer)).toBe(abi.CHECKSUM_VALID);
    for (const length of [0, 7, 15, 0xffff]) {
      longer.set([length >>> 8, length & 0xff], transport + 4);
      expect(offloads.verify(longer)).toBe(abi.CHECKSUM_INVALID);
    }
  });

  it("says nothing of fragments, of packets that are cut, and of other protocols", () => {
    const whole = buildFrame({ payload: new Uint8Array(50) });
    expect(offloads.verify(whole.bytes.subarray(0, whole.bytes.length - 1))).toBe(abi.CHECKSUM_NONE);
    expect(offloads.verify(buildFrame({ fragment: 0x2000 }).bytes)).toBe(abi.CHECKSUM_NONE);
    expect(offloads.verify(buildFrame({ fragment: 0x0001 }).bytes)).toBe(abi.CHECKSUM_NONE);
    const icmp = buildFrame({ version: 6, nextHeader: 58 });
    expect(offloads.verify(icmp.bytes)).toBe(abi.CHECKSUM_NONE);
    expect(offloads.verify(new Uint8Array(60))).toBe(abi.CHECKSUM_NONE);
  });

  it("finds a wrong IPv4 header", () => {
    const { bytes, network } = buildFrame({ protocol: "udp" });
    bytes[network + 8] ^= 1;
    expect(offloads.verify(bytes)).toBe(abi.CHECKSUM_INVALID);
  });

  it("takes the addresses that are meant, where mobility puts others into the header (RFC 6275)", () => {
    const home = [0x20, 1, 0x0d, 0xb8, ...new Array(11).fill(0), 2];
    const care = [0x20, 1, 0x0d, 0xb8, ...new Array(11).fill(9), 9];
    // The next header and the length, two bytes of padding, and the option.
    const destination = [6, 2, 1, 2, 0, 0, 0xc9, 16, ...home];
    const { bytes, network } = buildFrame({
      version: 6,
      extensions: destination,
      nextHeader: 60,
      payload: Uint8Array.of(1, 2, 3),
    });
    bytes.set(care, network + 8);
    expect(offloads.parse(bytes)).toMatchObject({ homeAddress: network + 40 + 8 });
    expect(offloads.verify(bytes)).toBe(abi.CHECKSUM_VALID);
  });

  it("agrees with a plain sum over every frame of the captures", () => {
    for (const name of ["web.pcapng", "offload-received.pcapng", "offload-tap-received.pcapng"]) {
      const file = readFileSync(new URL(`../../captures/${name}`, import.meta.url));
      const found = new Map<number, number>();
      for (const { data } of readCapture(file, { name }).packets) {
        const frame = offloads.parse(data);
        const code = offloads.wasm.checksumVerify(offloads.frame, offloads.info);
        found.set(code, (found.get(code) ?? 0) + 1);
        if (frame.transport === 0 || frame.flags & abi.FRAME_FRAGMENT) {
          expect(code).toBe(abi.CHECKSUM_NONE);
          continue;
        }
        const isIpv4 = (frame.flags & abi.FRAME_IPV4) !== 0;
        const addresses = data.subarray(
          frame.network + (isIpv4 ? 12 : 8),
          frame.network + (isIpv4 ? 20 : 40),
        );
        const body = data.subarray(frame.transport, frame.end);
        const seed = plainSum(addresses) + frame.protocol + body.length;
        const isValid = plainSum(body, seed) === 0xffff;
        const isNone =
          isIpv4 && frame.protocol === 17 && data[frame.transport + 6] + data[frame.transport + 7] === 0;
        const expected = isValid ? abi.CHECKSUM_VALID : abi.CHECKSUM_INVALID;
        expect(code).toBe(isNone ? abi.CHECKSUM_NONE : expected);
      }
      if (name === "web.pcapng") continue;
      // What the kernel's software finished is right.
      expect(found.get(abi.CHECKSUM_INVALID) ?? 0).toBe(0);
      expect(found.get(abi.CHECKSUM_VALID)).toBeGreaterThan(20);
    }
  });
});
