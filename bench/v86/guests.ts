/** What a real guest gets out of a card: the same Linux with ours and with v86's own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Machine } from "../../test/linux/machine.ts";
import { preparePktgen, sentByPktgen, startPktgen } from "../../test/linux/traffic.ts";

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

/** Of a round of TCP. */
const MEGABYTES = 100;
const PORT = 5000;

/** A guest with each card, which stands still while the other one is measured. */
export async function openSingle(packets: number): Promise<Guests> {
  const guests: Machine[] = [];
  return open(guests, async () => {
    const boot = async (nic: Nic) => {
      const machine = await Machine.boot({ nic });
      guests.push(machine);
      await machine.ping(1, 64);
      await machine.pause();
      return machine;
    };
    const byNic = { vring: await boot("vring"), v86: await boot("v86") };
    return [...sendCases(byNic, packets), ...receiveCases(byNic, packets), ...pingCases(byNic)];
  });
}

/** Two guests with each card, wired back to back. */
export async function openPairs(): Promise<Guests> {
  const guests: Machine[] = [];
  return open(guests, async () => {
    const folder = mkdtempSync(join(tmpdir(), "vring-bench-"));
    const pair = async (nic: Nic) => {
      const machines = await Promise.all([Machine.boot({ nic }), Machine.boot({ nic, ip: 3 })]);
      guests.push(...machines);
      await Machine.wire(machines[0], machines[1], join(folder, nic));
      for (const machine of machines) {
        const source = `dd if=/dev/zero bs=64k count=${MEGABYTES * 16}`;
        await machine.run(`(nc -ll -p ${PORT} -e ${source} < /dev/null > /dev/null 2>&1 &)`);
        await machine.pause();
      }
      return machines;
    };
    const pairs = { vring: await pair("vring"), v86: await pair("v86") };
    rmSync(folder, { recursive: true });
    return tcpCases(pairs);
  });
}

async function open(guests: Machine[], cases: () => Promise<GuestCase[]>): Promise<Guests> {
  const end = () => {
    for (const guest of guests) guest.end();
  };
  try {
    return { cases: await cases(), end };
  } catch (error) {
    end();
    throw error;
  }
}

/** What `work` says; only these guests run meanwhile. */
async function running<T>(guests: Machine[], work: () => Promise<T>): Promise<T> {
  for (const guest of guests) await guest.resume();
  const result = await work();
  for (const guest of guests) await guest.pause();
  return result;
}

async function nanoseconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) * 1e6;
}

function sendCases(guests: Record<Nic, Machine>, most: number): GuestCase[] {
  // By pktgen's own clock: whoever starts it waits for it in steps of 100 ms.
  const run = async (machine: Machine, bytes: number, burst: number) => {
    await preparePktgen(machine, { bytes, burst, count: most });
    await startPktgen(machine);
    const { packets, microseconds } = await sentByPktgen(machine);
    return (microseconds * 1e3) / packets;
  };
  return [60, 1500].flatMap((bytes) =>
    [1, 32].map((burst) => ({
      name: `guest to host, pktgen ${bytes} B, bursts of ${burst}`,
      unit: "packets/s",
      run: (nic: Nic) => running([guests[nic]], () => run(guests[nic], bytes, burst)),
    })),
  );
}

function receiveCases(guests: Record<Nic, Machine>, packets: number): GuestCase[] {
  const run = async (machine: Machine, bytes: number) => {
    const received = async () => Number(await machine.run("cat /sys/class/net/eth0/statistics/rx_packets"));
    const before = await received();
    const ns = await nanoseconds(() => machine.pour(packets, bytes));
    return ns / ((await received()) - before);
  };
  return [60, 1500].map((bytes) => ({
    name: `host to guest, ${bytes} B, bursts of 32`,
    unit: "packets/s",
    run: (nic) => running([guests[nic]], () => run(guests[nic], bytes)),
  }));
}

/** The median of 200: how long one takes is what counts, whatever else the machine does. */
function pingCases(guests: Record<Nic, Machine>): GuestCase[] {
  const fromGuest = async (machine: Machine) => {
    const said = await machine.run("ping -c 200 -A -s 64 10.0.0.1");
    return [...said.matchAll(/time=([\d.]+) ms/g)].map(([, time]) => Number(time));
  };
  const fromHost = async (machine: Machine) => (await machine.ping(200, 64)).milliseconds;
  return Object.entries({ guest: fromGuest, host: fromHost }).map(([who, ping]) => ({
    name: `ping from the ${who}, 64 B`,
    unit: "pings/s",
    run: async (nic) => medianOf(await running([guests[nic]], () => ping(guests[nic]))) * 1e6,
  }));
}

/** Zeros that are written and read in pieces of 64 KiB, each guest in turn the one that gets them. */
function tcpCases(pairs: Record<Nic, Machine[]>): GuestCase[] {
  const fetch = (nic: Nic, by: number, from: string) => {
    const command = `nc ${from} ${PORT} -e dd of=/dev/null bs=64k 2> /dev/null`;
    return running(pairs[nic], async () => {
      const ns = await nanoseconds(() => pairs[nic][by].run(command, 600_000));
      return ns / (MEGABYTES << 20);
    });
  };
  return [
    { name: "TCP, one way", unit: "bytes/s", run: (nic) => fetch(nic, 0, "10.0.0.3") },
    { name: "TCP, the other way", unit: "bytes/s", run: (nic) => fetch(nic, 1, "10.0.0.2") },
  ];
}

function medianOf(values: number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
