/** What a real guest gets out of a card: the same Linux with ours and with v86's own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Machine } from "../../test/linux/machine.ts";
import { FILE_MB, preparePktgen, sentByPktgen, serveFile, startPktgen } from "../../test/linux/traffic.ts";

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

export interface GuestOptions {
  packets: number;
  tcp: boolean;
  /** Time is what the emulators' processes got of the processors, on a machine that has more to do. */
  processorTime: boolean;
}

const FILE_BYTES = FILE_MB << 20;

/** Boots a guest with each card, and a pair with each for TCP if that is asked for. */
export async function openGuests({ packets, tcp, processorTime }: GuestOptions): Promise<Guests> {
  const clock = processorTime ? processorTimeOf : wallTime;
  const alone = { vring: await Machine.boot({ nic: "vring" }), v86: await Machine.boot({ nic: "v86" }) };
  const machines: Machine[] = Object.values(alone);
  const end = () => {
    for (const machine of machines) machine.end();
  };
  try {
    for (const machine of machines) await machine.ping(1, 64);
    const cases = [...sendCases(alone, packets, clock), ...receiveCases(alone, packets, clock)];
    if (!processorTime) cases.push(...pingCases(alone));
    if (tcp) cases.push(...(await tcpCases(machines, clock)));
    return { cases, end };
  } catch (error) {
    end();
    throw error;
  }
}

/** Nanoseconds that `work` takes on these machines. */
type Clock = (machines: Machine[], work: () => Promise<void>) => Promise<number>;

const wallTime: Clock = async (_machines, work) => {
  const start = performance.now();
  await work();
  return (performance.now() - start) * 1e6;
};

const processorTimeOf: Clock = async (machines, work) => {
  const taken = async () =>
    (await Promise.all(machines.map((machine) => machine.processorTime()))).reduce((sum, ms) => sum + ms, 0);
  const before = await taken();
  await work();
  return ((await taken()) - before) * 1e6;
};

function sendCases(guests: Record<Nic, Machine>, packets: number, clock: Clock): GuestCase[] {
  const run = async (machine: Machine, bytes: number, burst: number) => {
    await preparePktgen(machine, { bytes, burst, count: packets });
    const ns = await clock([machine], () => startPktgen(machine));
    return ns / (await sentByPktgen(machine));
  };
  return [60, 1500].flatMap((bytes) =>
    [1, 32].map((burst) => ({
      name: `guest to host, pktgen ${bytes} B, bursts of ${burst}`,
      unit: "packets/s",
      run: (nic: Nic) => run(guests[nic], bytes, burst),
    })),
  );
}

function receiveCases(guests: Record<Nic, Machine>, packets: number, clock: Clock): GuestCase[] {
  const run = async (machine: Machine, bytes: number) => {
    const received = async () => Number(await machine.run("cat /sys/class/net/eth0/statistics/rx_packets"));
    const before = await received();
    const ns = await clock([machine], () => machine.pour(packets, bytes));
    return ns / ((await received()) - before);
  };
  return [60, 1500].map((bytes) => ({
    name: `host to guest, ${bytes} B, bursts of 32`,
    unit: "packets/s",
    run: (nic) => run(guests[nic], bytes),
  }));
}

/** The median of 200: how long one takes is what counts, whatever else the machine does. */
function pingCases(guests: Record<Nic, Machine>): GuestCase[] {
  return [
    {
      name: "ping from the guest, 64 B",
      unit: "pings/s",
      run: async (nic) => {
        const said = await guests[nic].run("ping -c 200 -A -s 64 10.0.0.1");
        const times = [...said.matchAll(/time=([\d.]+) ms/g)].map(([, time]) => Number(time));
        return medianOf(times) * 1e6;
      },
    },
    {
      name: "ping from the host, 64 B",
      unit: "pings/s",
      run: async (nic) => medianOf((await guests[nic].ping(200, 64)).milliseconds) * 1e6,
    },
  ];
}

/** Both ways between two guests that have the same card. */
async function tcpCases(machines: Machine[], clock: Clock): Promise<GuestCase[]> {
  const folder = mkdtempSync(join(tmpdir(), "vring-bench-"));
  const pair = async (nic: Nic) => {
    const [one, other] = await Promise.all([Machine.boot({ nic }), Machine.boot({ nic, ip: 3 })]);
    machines.push(one, other);
    await Machine.wire(one, other, join(folder, nic));
    await Promise.all([serveFile(one), serveFile(other)]);
    return [one, other];
  };
  const pairs = { vring: await pair("vring"), v86: await pair("v86") };
  rmSync(folder, { recursive: true });
  const fetch = async (nic: Nic, by: number, from: string) => {
    const work = () => pairs[nic][by].run(`wget -q -O /dev/null http://${from}/file`, 600_000);
    return (await clock(pairs[nic], async () => void (await work()))) / FILE_BYTES;
  };
  return [
    { name: "TCP, one way", unit: "bytes/s", run: (nic) => fetch(nic, 0, "10.0.0.3") },
    { name: "TCP, the other way", unit: "bytes/s", run: (nic) => fetch(nic, 1, "10.0.0.2") },
  ];
}

function medianOf(values: number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
