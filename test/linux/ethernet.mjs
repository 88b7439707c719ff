// A host on the other end of the guest's wire: as much of ARP (RFC 826), IPv4 (RFC 791) with fragments, and ICMP
// echo (RFC 792) as pings both ways need. Frames are plain Ethernet frames without a checksum at the end.

const ARP = 0x0806;
const IPV4 = 0x0800;
const ICMP = 1;
const ECHO_REPLY = 0;
const ECHO_REQUEST = 8;
const ETHERNET = 14;
const IP_HEADER = 20;
const ICMP_HEADER = 8;

export class Host {
  /**
   * @param {(frame: Uint8Array) => void} send Where frames to the guest go.
   * @param {{ mac: number[], ip: number[], guestIp: number[], mtu: number }} options
   */
  constructor(send, { mac, ip, guestIp, mtu }) {
    this.send = send;
    this.mac = mac;
    this.ip = ip;
    this.guestIp = guestIp;
    this.mtu = mtu;
    /** The guest's, once it has said so. */
    this.guestMac = undefined;
    this.fragments = new Map();
    this.packetId = 0;
    this.onReply = () => {};
    this.answered = 0;
  }

  /** Takes a frame from the guest. */
  receive(frame) {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    const type = view.getUint16(12);
    if (type === ARP) this.#arp(frame);
    else if (type === IPV4) this.#ipv4(frame, view);
  }

  /**
   * Pings the guest `count` times with payloads of `bytes`, each as soon as the last was answered.
   * @returns {Promise<{ lost: number, milliseconds: number[] }>}
   */
  async ping(count, bytes, timeout = 2000) {
    if (this.guestMac === undefined) await this.#resolve(timeout);
    const payload = Uint8Array.from({ length: bytes }, (_, k) => (k * 7 + 3) & 0xff);
    const milliseconds = [];
    let lost = 0;
    for (let sequence = 0; sequence < count; sequence++) {
      const start = performance.now();
      const reply = await new Promise((resolve) => {
        const timer = setTimeout(resolve, timeout);
        this.onReply = (answer) => {
          if (answer.sequence !== sequence) return;
          clearTimeout(timer);
          resolve(answer);
        };
        this.#sendIpv4(this.guestIp, ICMP, echo(ECHO_REQUEST, 0x5652, sequence, payload));
      });
      if (reply === undefined || Buffer.compare(reply.payload, payload) !== 0) lost++;
      else milliseconds.push(performance.now() - start);
    }
    return { lost, milliseconds };
  }

  /** A frame to the guest of a type that nobody listens to (IEEE 802, local experimental). */
  frameOf(payload) {
    const frame = this.#frame(ETHERNET + payload.length, this.guestMac, 0x88b5);
    frame.set(payload, ETHERNET);
    return frame;
  }

  async #resolve(timeout) {
    const end = performance.now() + timeout;
    this.#sendArp(1, [255, 255, 255, 255, 255, 255], this.guestIp);
    while (this.guestMac === undefined) {
      if (performance.now() > end) throw new Error("the guest did not answer who has its address");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  #arp(frame) {
    const sender = [...frame.subarray(22, 28)];
    const senderIp = [...frame.subarray(28, 32)];
    const target = [...frame.subarray(38, 42)];
    if (same(senderIp, this.guestIp)) this.guestMac = sender;
    if (frame[21] === 1 && same(target, this.ip)) this.#sendArp(2, sender, senderIp);
  }

  #sendArp(operation, toMac, toIp) {
    const frame = this.#frame(ETHERNET + 28, toMac, ARP);
    const target = operation === 1 ? [0, 0, 0, 0, 0, 0] : toMac;
    frame.set([0, 1, 8, 0, 6, 4, 0, operation, ...this.mac, ...this.ip, ...target, ...toIp], ETHERNET);
    this.send(frame);
  }

  #ipv4(frame, view) {
    const header = (frame[ETHERNET] & 15) * 4;
    const end = ETHERNET + view.getUint16(ETHERNET + 2);
    if (!same([...frame.subarray(30, 34)], this.ip) || end > frame.length) return;
    if (checksum(frame.subarray(ETHERNET, ETHERNET + header)) !== 0)
      throw new Error("an IPv4 header from the guest has a wrong checksum");
    const data = frame.subarray(ETHERNET + header, end);
    const word = view.getUint16(ETHERNET + 6);
    const packet = this.#defragment(
      view.getUint16(ETHERNET + 4),
      (word & 0x1fff) * 8,
      (word & 0x2000) !== 0,
      data,
    );
    if (packet === undefined || frame[ETHERNET + 9] !== ICMP) return;
    if (checksum(packet) !== 0) throw new Error("an ICMP message from the guest has a wrong checksum");
    const message = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    const id = message.getUint16(4);
    const sequence = message.getUint16(6);
    const payload = packet.subarray(ICMP_HEADER);
    if (packet[0] === ECHO_REPLY) this.onReply({ sequence, payload });
    if (packet[0] !== ECHO_REQUEST) return;
    this.answered++;
    this.guestMac ??= [...frame.subarray(6, 12)];
    this.#sendIpv4([...frame.subarray(26, 30)], ICMP, echo(ECHO_REPLY, id, sequence, payload));
  }

  /** The whole packet once its last fragment is there; fragments of a packet come in order here. */
  #defragment(id, offset, more, data) {
    if (offset === 0 && !more) return data;
    const before = offset === 0 ? new Uint8Array() : this.fragments.get(id);
    if (before?.length !== offset) return undefined;
    const whole = Buffer.concat([before, data]);
    if (more) this.fragments.set(id, whole);
    else this.fragments.delete(id);
    return more ? undefined : whole;
  }

  #sendIpv4(to, protocol, data) {
    const most = (this.mtu - IP_HEADER) & ~7;
    const id = this.packetId++ & 0xffff;
    for (let offset = 0; offset < data.length; offset += most) {
      const part = data.subarray(offset, offset + most);
      const frame = this.#frame(ETHERNET + IP_HEADER + part.length, this.guestMac, IPV4);
      const view = new DataView(frame.buffer, ETHERNET);
      const more = offset + most < data.length ? 0x2000 : 0;
      view.setUint16(0, 0x4500);
      view.setUint16(2, IP_HEADER + part.length);
      view.setUint16(4, id);
      view.setUint16(6, more | (offset / 8));
      view.setUint16(8, (64 << 8) | protocol);
      frame.set(this.ip, ETHERNET + 12);
      frame.set(to, ETHERNET + 16);
      view.setUint16(10, checksum(frame.subarray(ETHERNET, ETHERNET + IP_HEADER)));
      frame.set(part, ETHERNET + IP_HEADER);
      this.send(frame);
    }
  }

  #frame(bytes, to, type) {
    const frame = new Uint8Array(bytes);
    frame.set(to);
    frame.set(this.mac, 6);
    frame.set([type >> 8, type & 0xff], 12);
    return frame;
  }
}

function echo(type, id, sequence, payload) {
  const message = new Uint8Array(ICMP_HEADER + payload.length);
  message.set([type, 0, 0, 0, id >> 8, id & 0xff, sequence >> 8, sequence & 0xff]);
  message.set(payload, ICMP_HEADER);
  const sum = checksum(message);
  message.set([sum >> 8, sum & 0xff], 2);
  return message;
}

/** RFC 1071; 0 over bytes that hold their own checksum. */
function checksum(bytes) {
  let sum = 0;
  for (let k = 0; k < bytes.length; k += 2) sum += (bytes[k] << 8) | (bytes[k + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function same(a, b) {
  return a.every((value, k) => value === b[k]);
}
