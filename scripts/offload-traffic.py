"""The ends of scripts/record-offload.sh: what is sent, what is written down, and frames from a tap device.

    offload-traffic.py capture IFACE sent|received OUTPUT    until SIGTERM; prints "ready" first
    offload-traffic.py serve                                 takes TCP connections and UDP packets
    offload-traffic.py send                                  sends by TCP and UDP, over both protocols and in tunnels
    offload-traffic.py inject IFACE OUTPUT                   hands frames to the kernel as a virtio driver would

A capture of what was sent has a second file beside it, OUTPUT with .json: the virtio_net_hdr of every
frame, as the kernel puts it before a packet (PACKET_VNET_HDR). Nothing but the standard library is needed.
"""

import fcntl
import json
import select
import signal
import socket
import struct
import sys

SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 8, 15, 4
VLAN_VALID = 0x10
SOL_UDP, UDP_SEGMENT = 17, 103
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 2, 0x1000, 0x4000
NEEDS_CSUM, TCPV4, UFO, TCPV6, USO, ECN = 1, 1, 3, 4, 5, 0x80
FIELDS = ["flags", "gsoType", "hdrLen", "gsoSize", "csumStart", "csumOffset"]
PORT, VXLAN_PORT = 5000, 4789
SERVERS = {"192.0.2.1": 30000, "2001:db8::1": 20000, "198.51.100.1": 6000, "2001:db8:1::1": 6000}


def text(count, step=7):
    """Bytes that tell their place, and that no shorter period repeats."""
    return bytes((i * step + (i >> 8) * 13) & 0xFF for i in range(count))


class Recording:
    """A pcapng file of Ethernet frames without any word about the machine."""

    def __init__(self, path):
        self.path, self.frames, self.headers = path, [], []

    def add(self, frame, header=None):
        self.frames.append(frame)
        self.headers.append(header)

    def save(self):
        blocks = [block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)), block(1, struct.pack("<HHI", 1, 0, 0))]
        for frame in self.frames:
            padding = bytes(-len(frame) % 4)
            blocks.append(block(6, struct.pack("<IIIII", 0, 0, 0, len(frame), len(frame)) + frame + padding))
        with open(self.path, "wb") as file:
            file.write(b"".join(blocks))
        if any(self.headers):
            with open(self.path.replace(".pcapng", ".json"), "w") as file:
                rows = [json.dumps(dict(zip(FIELDS, header)))[1:-1] for header in self.headers]
                file.write("[\n" + ",\n".join(f"  {{ {row} }}" for row in rows) + "\n]\n")


def block(kind, body):
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def is_wanted(frame):
    """TCP and UDP, whole, in fragments or in a tunnel: not what the kernel says to find its neighbours."""
    at = 12
    while frame[at : at + 2] == b"\x81\x00":
        at += 4
    kind, ip = frame[at : at + 2], frame[at + 2 :]
    if kind == b"\x08\x00":
        protocol, body = ip[9], ip[(ip[0] & 15) * 4 :]
    elif kind == b"\x86\xdd":
        # The tap's frames have a hop-by-hop header and another one; what finds neighbours has ICMPv6 after it.
        protocol, body = (6 if ip[6] == 0 and ip[40] != 58 else ip[6]), ip[40:]
    else:
        return False
    if protocol == 17 and body[2:4] == struct.pack(">H", VXLAN_PORT):
        return is_wanted(body[16:])
    return protocol in (6, 17, 44)


def capture(interface, side, output):
    recording = Recording(output)
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    end.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    end.bind((interface, 0))

    def finish(*_):
        recording.save()
        sys.exit(0)

    signal.signal(signal.SIGTERM, finish)
    print("ready", flush=True)
    while True:
        data, auxiliary, _, (_, _, kind, _, _) = end.recvmsg(1 << 17, 64)
        header, frame = struct.unpack("<BBHHHH", data[:10]), with_tag(data[10:], auxiliary)
        if (kind == PACKET_OUTGOING) == (side == "sent") and is_wanted(frame):
            recording.add(frame, header if side == "sent" else None)


def with_tag(frame, auxiliary):
    """The frame with the VLAN tag that the kernel keeps beside it (struct tpacket_auxdata)."""
    status, _, _, _, _, tag, kind = struct.unpack("IIIHHHH", auxiliary[0][2])
    return frame[:12] + struct.pack(">HH", kind, tag) + frame[12:] if status & VLAN_VALID else frame


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve():
    listeners, sinks = [], []
    for address in SERVERS:
        listener = socket.socket(family(address), socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, PORT))
        listener.listen()
        listeners.append(listener)
        packets = socket.socket(family(address), socket.SOCK_DGRAM)
        packets.bind((address, PORT))
        sinks.append(packets)
    print("ready", flush=True)
    while True:
        for listener in select.select(listeners, [], [])[0]:
            connection, _ = listener.accept()
            while connection.recv(65536):
                pass
            connection.close()


def send():
    for address, amount in SERVERS.items():
        connection = socket.create_connection((address, PORT))
        connection.sendall(text(amount))
        connection.shutdown(socket.SHUT_WR)
        # The server closes when it has everything.
        connection.recv(1)
        connection.close()
        packets = socket.socket(family(address), socket.SOCK_DGRAM)
        packets.connect((address, PORT))
        for amount, size in [(5000, 1000), (4001, 1200), (3, 1000), (2000, 1000)]:
            packets.setsockopt(SOL_UDP, UDP_SEGMENT, size)
            packets.send(text(amount, 11))


def sum_of(data, start=0):
    """RFC 1071, not inverted."""
    data += bytes(len(data) % 2)
    total = start + sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


ETHERNET = bytes.fromhex("020000000001 020000000003")
ADDRESSES4 = socket.inet_aton("192.0.2.3") + socket.inet_aton("192.0.2.1")
ADDRESSES6 = socket.inet_pton(socket.AF_INET6, "2001:db8::3") + socket.inet_pton(socket.AF_INET6, "2001:db8::1")


def transport(protocol, addresses, payload, flags=0x10, options=b""):
    """TCP or UDP with the sum of the pseudo-header where the checksum will stand."""
    if protocol == 6:
        words = (4000, PORT, 0xFFFFF000, 77, (5 + len(options) // 4) << 12 | flags, 502)
        before, after = struct.pack(">HHIIHH", *words), bytes(2) + options
    else:
        before, after = struct.pack(">HHH", 4000, PORT, 8 + len(payload)), b""
    size = len(before) + 2 + len(after) + len(payload)
    seed = sum_of(addresses + struct.pack(">II", size, protocol))
    return before + struct.pack(">H", seed) + after + payload


def ipv4(protocol, body, options=b"", identification=0xFFFE, fragment=0x4000):
    first = 0x4500 + (len(options) << 6)
    words = (first, 20 + len(options) + len(body), identification, fragment, 64 << 8 | protocol)
    header = struct.pack(">HHHHH", *words)
    checksum = sum_of(header + ADDRESSES4 + options) ^ 0xFFFF
    return b"\x08\x00" + header + struct.pack(">H", checksum) + ADDRESSES4 + options + body


def ipv6(protocol, body, extensions=b"", first=None):
    words = (0x6012_3456, len(extensions) + len(body), protocol if first is None else first, 64)
    return b"\x86\xdd" + struct.pack(">IHBB", *words) + ADDRESSES6 + extensions + body


def injections():
    """(gso_type, gso_size, bytes before the transport header, csum_offset, frame)"""
    timestamps = bytes.fromhex("0101080a0001020300040506")
    no_operations = bytes([1, 1, 1, 1])
    # Hop by hop with padding, then a destination option that asks for nothing.
    extensions = bytes([60, 0, 1, 4, 0, 0, 0, 0]) + bytes([6, 0, 1, 4, 0, 0, 0, 0])
    tag = bytes.fromhex("81006007")
    # FIN, PSH, CWR and ECE: each has its rule; sequence numbers and identifications turn over.
    yield TCPV4 | ECN, 1000, 34, 16, ETHERNET + ipv4(6, transport(6, ADDRESSES4, text(2500), 0xD9))
    yield TCPV4, 1448, 34, 16, ETHERNET + ipv4(6, transport(6, ADDRESSES4, text(2920), 0x18, timestamps), fragment=0)
    yield TCPV4, 536, 38, 16, ETHERNET + ipv4(6, transport(6, ADDRESSES4, text(537)), options=no_operations)
    yield TCPV4, 700, 38, 16, ETHERNET + tag + ipv4(6, transport(6, ADDRESSES4, text(1500)))
    yield TCPV6, 900, 54, 16, ETHERNET + ipv6(6, transport(6, ADDRESSES6, text(1801), 0x19, timestamps))
    yield TCPV6, 800, 70, 16, ETHERNET + ipv6(6, transport(6, ADDRESSES6, text(1601)), extensions, 0)
    yield USO, 333, 34, 6, ETHERNET + ipv4(17, transport(17, ADDRESSES4, text(1000, 5)), identification=9)
    yield USO, 500, 58, 6, ETHERNET + tag + ipv6(17, transport(17, ADDRESSES6, text(1001, 5)))
    yield UFO, 1480, 34, 6, ETHERNET + ipv4(17, transport(17, ADDRESSES4, text(3001, 3)), fragment=0)
    yield UFO, 1448, 54, 6, ETHERNET + ipv6(17, transport(17, ADDRESSES6, text(3001, 3)))
    # Only a checksum to complete; an odd number of bytes.
    yield 0, 0, 34, 6, ETHERNET + ipv4(17, transport(17, ADDRESSES4, text(99)))
    yield 0, 0, 54, 16, ETHERNET + ipv6(6, transport(6, ADDRESSES6, text(101)))


def inject(interface, output):
    tap = open("/dev/net/tun", "r+b", buffering=0)
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", interface.encode(), flags))
    print("ready", flush=True)
    sys.stdin.readline()
    recording = Recording(output)
    for gso_type, gso_size, start, offset, frame in injections():
        header = (NEEDS_CSUM, gso_type, start + 20 if offset == 16 else start + 8, gso_size, start, offset)
        tap.write(struct.pack("<BBHHHH", *header) + frame)
        recording.add(frame, header)
    recording.save()


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"capture": capture, "serve": serve, "send": send, "inject": inject}[command](*arguments)
