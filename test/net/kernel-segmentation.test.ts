/**
 * What Linux's own segmentation made of frames, against ours: the captures of scripts/record-offload.sh. Its virtio
 * headers are the kernel's, too, but for the tunnels' fields, which a packet socket does not tell.
 */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import * as abi from "../../assembly/abi.ts";
import * as spec from "../../assembly/spec.ts";
import { readCapture } from "../../src/net/pcap.ts";
import { type NetHeader, Offloads } from "../support/offloads.ts";

interface Sent {
  frame: Uint8Array;
  header: NetHeader & { flags: number; hdrLen: number };
}

const folder = new URL("../../captures/", import.meta.url);

function frames(name: string): Uint8Array[] {
  return readCapture(readFileSync(new URL(name, folder)), { name }).packets.map(({ data }) => data);
}

function sentBy(name: string): Sent[] {
  const headers = JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8")) as Sent["header"][];
  return frames(`${name}.pcapng`).map((frame, i) => ({ frame, header: headers[i] }));
}

const cases = [
  { what: "sockets", sent: sentBy("offload-sent"), received: frames("offload-received.pcapng") },
  { what: "a tap", sent: sentBy("offload-tap-sent"), received: frames("offload-tap-received.pcapng") },
];

let offloads: Offloads;
beforeAll(async () => {
  offloads = await Offloads.create();
});

/** Fills in where a tunnel's headers are, when the frame is one. */
function withTunnel({ frame, header }: Sent): NetHeader & { flags: number } {
  const outer = offloads.parse(frame);
  if (offloads.wasm.parseTunnel(offloads.frame, offloads.info, offloads.inner) === abi.TUNNEL_NONE) {
    return header;
  }
  const inner = offloads.parsed(true, offloads.inner);
  const isIpv6 = (inner.flags & abi.FRAME_IPV6) !== 0;
  const bit = isIpv6 ? spec.VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV6 : spec.VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4;
  return {
    ...header,
    gsoType: header.gsoType && header.gsoType | bit,
    outerTransport: outer.transport,
    innerNetwork: inner.network,
    outerCsum: frame[outer.transport + 6] !== 0 || frame[outer.transport + 7] !== 0,
  };
}

/** The kernel takes the identification of IPv6 fragments from a hash with a secret: ours is told. */
function fragmentIdOf(frame: Uint8Array): number {
  const next = frame[12] === 0x86 ? frame[20] : 0;
  return next === 44 ? new DataView(frame.buffer, frame.byteOffset).getUint32(58) : 0;
}

describe.each(cases)("what $what sent", ({ sent, received }) => {
  it("comes out byte for byte as the kernel's own software sends it", () => {
    let at = 0;
    for (const [i, one] of sent.entries()) {
      const header = { ...withTunnel(one), fragmentId: fragmentIdOf(received[at]) };
      for (const [k, segment] of offloads.send(one.frame, header).entries()) {
        expect(Buffer.from(segment).toString("hex"), `frame ${i}, segment ${k}`).toBe(
          Buffer.from(received[at++]).toString("hex"),
        );
      }
    }
    expect(at).toBe(received.length);
  });
});

it("the captures have every kind of segmentation, over both protocols and in tunnels", () => {
  const kinds = new Set(cases.flatMap(({ sent }) => sent.map((one) => withTunnel(one).gsoType)));
  const tcp = [spec.VIRTIO_NET_HDR_GSO_TCPV4, spec.VIRTIO_NET_HDR_GSO_TCPV6];
  const tunnels = [
    spec.VIRTIO_NET_HDR_GSO_TCPV4 | spec.VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4,
    spec.VIRTIO_NET_HDR_GSO_UDP_L4 | spec.VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4,
    spec.VIRTIO_NET_HDR_GSO_TCPV6 | spec.VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV6,
    spec.VIRTIO_NET_HDR_GSO_UDP_L4 | spec.VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV6,
  ];
  const others = [
    spec.VIRTIO_NET_HDR_GSO_NONE,
    spec.VIRTIO_NET_HDR_GSO_UDP,
    spec.VIRTIO_NET_HDR_GSO_UDP_L4,
    spec.VIRTIO_NET_HDR_GSO_TCPV4 | spec.VIRTIO_NET_HDR_GSO_ECN,
  ];
  expect(kinds).toEqual(new Set([...tcp, ...tunnels, ...others]));
});

it("the note about the captures has their numbers", () => {
  const note = readFileSync(new URL("README.md", folder), "utf8");
  for (const name of ["offload-sent", "offload-received", "offload-tap-sent", "offload-tap-received"]) {
    const bytes = readFileSync(new URL(`${name}.pcapng`, folder)).length;
    const row = note.split("\n").find((line) => line.startsWith(`| ${name}.pcapng`));
    const [, , count, size] = (row ?? "").split("|").map((cell) => cell.trim());
    expect(count, name).toBe(frames(`${name}.pcapng`).length.toLocaleString("en-US"));
    expect(size, name).toBe(bytes.toLocaleString("en-US"));
  }
});
