/** What a real guest gets out of a card: the same Linux with ours and with v86's own. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Machine } from "../../test/linux/machine.ts";
import { pktgen, serveFile } from "../../test/linux/traffic.ts";

export type Nic = "vring" | "v86";

/** One number a round: nanoseconds a packet, or for what isn't counted in packets nanoseconds a unit of it. */
export interface GuestCase {
  name: string;
  unit: string;
  run(nic: Nic): Promise<number>;
}

export interface Guests {
  cases: GuestCase[];
  end(): void;
}

const FILE_BYTES = 20 << 20;

/** Boots a guest with each card, and a pair with each for TCP if that is asked for. */
export async function openGuests({ packets, tcp }: { packets: number; tcp: boolean }): Promise<Guests> {
  const alone = { vring: await Machine.boot({ nic: "vring" }), v86: await Machine.boot({ nic: "v86" }) };
  const machines: Machine[] = Object.values(alone);
  for (const machine of machines) await machine.ping(1, 64);
  const cases = [
    ...[60, 1500].flatMap((bytes) =>
      [1, 32].map((burst) => ({
        name: `guest to host, pktgen ${bytes} B, bursts of ${burst}`,
        unit: "packets/s",
        run: async (nic: Nic) => 1e9 / (await pktgen(alone[nic], { bytes, burst, count: packets })).perSecond,
      })),
    ),
    ...[60, 1500].map((bytes) => ({
      name: `host to guest, ${bytes} B, bursts of 32`,
      unit: "packets/s",
      run: (nic: Nic) => alone[nic].receiveRate(packets, bytes),
    })),
    {
      name: "ping from the guest, 64 B",
      unit: "pings/s",
      run: async (nic: Nic) => guestPing(alone[nic]),
    },
    {
      name: "ping from the host, 64 B",
      unit: "pings/s",
      run: async (nic: Nic) => medianOf((await alone[nic].ping(200, 64)).milliseconds) * 1e6,
    },
  ];
  if (tcp) cases.push(...(await tcpCases(machines)));
  return {
    cases,
    end: () => {
      for (const machine of machines) machine.end();
    },
  };
}

/** Both ways between two guests that have the same card. */
async function tcpCases(machines: Machine[]): Promise<GuestCase[]> {
  const folder = mkdtempSync(join(tmpdir(), "vring-bench-"));
  const pair = async (nic: Nic) => {
    const [one, other] = await Promise.all([Machine.boot({ nic }), Machine.boot({ nic, ip: 3 })]);
    machines.push(one, other);
    await Machine.wire(one, other, join(folder, nic));
    await Promise.all([serveFile(one), serveFile(other)]);
    return [one, other];
  };
  const pairs = { vring: await pair("vring"), v86: await pair("v86") };
  const fetch = async (machine: Machine, from: string) => {
    const start = performance.now();
    await machine.run(`wget -q -O /dev/null http://${from}/file`, 600_000);
    return ((performance.now() - start) * 1e6) / FILE_BYTES;
  };
  return [
    { name: "TCP, one way", unit: "bytes/s", run: (nic) => fetch(pairs[nic][0], "10.0.0.3") },
    { name: "TCP, the other way", unit: "bytes/s", run: (nic) => fetch(pairs[nic][1], "10.0.0.2") },
  ];
}

async function guestPing(machine: Machine): Promise<number> {
  const said = await machine.run("ping -A -q -c 200 -s 64 10.0.0.1");
  const average = /= [\d.]+\/([\d.]+)\//.exec(said)?.[1];
  return Number(average) * 1e6;
}

function medianOf(values: number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
