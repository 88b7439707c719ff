/** Frames by hand, and what they mean, as plainly as it can be said: the models that the engine is held against. */

/** The one's complement sum of big-endian words, folded (RFC 1071). */
export function plainSum(bytes: Uint8Array, seed = 0): number {
  let sum = seed;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
  return sum;
}

export interface TcpFields {
  sequence: number;
  acknowledgement: number;
  flags: number;
  window: number;
  urgent: number;
  options: number[];
}

export interface FrameFields {
  version: 4 | 6;
  protocol: "tcp" | "udp";
  tags: number[];
  source: number;
  destination: number;
  sourcePort: number;
  destinationPort: number;
  id: number;
  /** The word of flags and offset (IPv4). */
  fragment: number;
  /** Type of service, traffic class. */
  service: number;
  label: number;
  timeToLive: number;
  ipOptions: number[];
  extensions: number[];
  nextHeader: number;
  tcp: TcpFields;
  payload: Uint8Array;
  /** Complete the transport checksum, or leave the pseudo-header's sum there. */
  checksum: "complete" | "seeded";
  /** Bytes behind the packet. */
  padding: number;
}

export const TCP: TcpFields = {
  sequence: 1000,
  acknowledgement: 7,
  flags: 0x10,
  window: 500,
  urgent: 0,
  options: [],
};

const FRAME: FrameFields = {
  version: 4,
  protocol: "tcp",
  tags: [],
  source: 2,
  destination: 1,
  sourcePort: 4000,
  destinationPort: 5000,
  id: 0xfffe,
  fragment: 0x4000,
  service: 0,
  label: 0x12345,
  timeToLive: 64,
  ipOptions: [],
  extensions: [],
  nextHeader: -1,
  tcp: TCP,
  payload: new Uint8Array(0),
  checksum: "complete",
  padding: 0,
};

export interface BuiltFrame {
  bytes: Uint8Array;
  network: number;
  transport: number;
  payload: number;
  checksumOffset: number;
}

/** Builds a frame: what isn't said is an ordinary TCP segment over IPv4. */
export function buildFrame(
  given: Partial<Omit<FrameFields, "tcp">> & { tcp?: Partial<TcpFields> } = {},
): BuiltFrame {
  const fields: FrameFields = { ...FRAME, ...given, tcp: { ...TCP, ...given.tcp } };
  const ethernet = [2, 0, 0, 0, 0, fields.destination, 2, 0, 0, 0, 0, fields.source];
  for (const tag of fields.tags) ethernet.push(0x81, 0x00, ...word(tag));
  ethernet.push(...word(fields.version === 4 ? 0x0800 : 0x86dd));
  const number = fields.protocol === "tcp" ? 6 : 17;
  const transport = fields.protocol === "tcp" ? tcpHeader(fields) : udpHeader(fields);
  const addresses = [...address(fields, fields.source), ...address(fields, fields.destination)];
  const body = Uint8Array.from([...transport, ...fields.payload]);
  const checksumOffset = fields.protocol === "tcp" ? 16 : 6;
  const pseudo = plainSum(Uint8Array.from([...addresses, 0, number, ...word(body.length)]));
  const sum = fields.checksum === "seeded" ? pseudo : ~plainSum(body, pseudo) & 0xffff;
  body.set(word(fields.protocol === "udp" && sum === 0 ? 0xffff : sum), checksumOffset);
  const header =
    fields.version === 4
      ? ipv4Header(fields, number, addresses, body.length)
      : ipv6Header(fields, number, addresses, body.length);
  const network = ethernet.length;
  const start = network + header.length;
  return {
    bytes: Uint8Array.from([...ethernet, ...header, ...body, ...new Uint8Array(fields.padding)]),
    network,
    transport: start,
    payload: start + transport.length,
    checksumOffset,
  };
}

function word(value: number): [number, number] {
  return [(value >>> 8) & 0xff, value & 0xff];
}

function long(value: number): number[] {
  return [...word(value >>> 16), ...word(value)];
}

function address({ version }: FrameFields, host: number): number[] {
  return version === 4 ? [192, 0, 2, host] : [0x20, 1, 0x0d, 0xb8, ...new Array(11).fill(0), host];
}

function tcpHeader({ sourcePort, destinationPort, tcp }: FrameFields): number[] {
  const lengthAndFlags = ((5 + tcp.options.length / 4) << 12) | tcp.flags;
  return [
    ...[...word(sourcePort), ...word(destinationPort), ...long(tcp.sequence), ...long(tcp.acknowledgement)],
    ...[...word(lengthAndFlags), ...word(tcp.window), 0, 0, ...word(tcp.urgent), ...tcp.options],
  ];
}

function udpHeader({ sourcePort, destinationPort, payload }: FrameFields): number[] {
  return [...word(sourcePort), ...word(destinationPort), ...word(8 + payload.length), 0, 0];
}

function ipv4Header(fields: FrameFields, protocol: number, addresses: number[], body: number): number[] {
  const { ipOptions, service, id, fragment, timeToLive } = fields;
  const bytes = 20 + ipOptions.length;
  const header = [0x40 | (bytes / 4), service, ...word(bytes + body), ...word(id), ...word(fragment)];
  header.push(timeToLive, protocol, 0, 0, ...addresses, ...ipOptions);
  const checksum = word(~plainSum(Uint8Array.from(header)) & 0xffff);
  header.splice(10, 2, ...checksum);
  return header;
}

function ipv6Header(fields: FrameFields, protocol: number, addresses: number[], body: number): number[] {
  const { extensions, service, label, timeToLive, nextHeader } = fields;
  const first = ((6 << 28) | (service << 20) | label) >>> 0;
  const next = nextHeader < 0 ? protocol : nextHeader;
  return [...long(first), ...word(extensions.length + body), next, timeToLive, ...addresses, ...extensions];
}
