// Everything that one combination of features has to stand: long traffic, control commands, resets, a snapshot.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Combination, LONG } from "./combinations.ts";
import { expectEqualCounts, expectQuietLog, statistics } from "./guest-state.ts";
import { Machine, type MachineOptions } from "./machine.ts";
import { checksum, fetchFile, preparePktgen, sentByPktgen, serveFile, startPktgen } from "./traffic.ts";

const RESETS = 20;
/** Frames for which all of guest memory is compared. */
const STRAY_FRAMES = 100;
const STRAY_BYTES = 1000;

/** The long tests of every second combination, so that two files share them. */
export function testLong(remainder: number): void {
  for (const combination of LONG.filter((_, index) => index % 2 === remainder)) testOne(combination);
}

function testOne({ name, options }: Combination): void {
  describe(name, () => {
    const ours: MachineOptions = { options };
    let machines: Machine[] = [];
    let folder: string;
    const boot = async (machineOptions: MachineOptions): Promise<Machine> => {
      const machine = await Machine.boot(machineOptions);
      machines.push(machine);
      return machine;
    };
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "vring-linux-"));
    });
    afterEach(() => {
      for (const machine of machines) machine.end();
      machines = [];
    });
    afterAll(() => rmSync(folder, { recursive: true }));

    test("pktgen, control commands, and resets under traffic", async () => {
      const machine = await boot(ours);
      const canary = await plantCanary(machine);
      await machine.ping(1, 64);
      for (const bytes of [60, 1500])
        for (const burst of [1, 32]) await sendWithPktgen(machine, { bytes, burst, count: 10_000 });
      const { buffers, changed, stray } = await machine.strayWrites(STRAY_FRAMES, STRAY_BYTES);
      expect(stray).toEqual([]);
      // A driver without mergeable buffers lends chains for 64 KiB, of which few fit into a ring: the other frames wait.
      const delivered = Math.min(STRAY_FRAMES, buffers);
      expect(delivered).toBeGreaterThan(0);
      expect(changed).toBeGreaterThan(delivered * 0.9 * STRAY_BYTES);
      expect(changed).toBeLessThan(delivered * 1.1 * STRAY_BYTES);
      await useControlQueue(machine);
      await expectEqualCounts(machine, STRAY_FRAMES);
      await resetUnderTraffic(machine);
      expect(await checksum(machine, "/canary")).toBe(canary);
      await expectQuietLog(machine);
    });

    test("files of 20 MB over TCP, and a snapshot in the middle of one", async () => {
      const [one, other] = await Promise.all([boot(ours), boot({ ...ours, ip: 3 })]);
      await Machine.wire(one, other, join(folder, "wire"));
      const [sum, otherSum] = await Promise.all([serveFile(one), serveFile(other)]);
      const canary = await plantCanary(one);
      expect(await fetchFile(one, "10.0.0.3")).toBe(otherSum);
      expect(await fetchFile(other, "10.0.0.2")).toBe(sum);
      await expectEqualCounts(one);
      await expectEqualCounts(other);

      const restored = await snapshotWhileFetching(one, other, folder, ours);
      machines.push(restored);
      expect(await checksum(restored, "/tmp/file")).toBe(otherSum);
      expect(await checksum(restored, "/canary")).toBe(canary);
      for (const machine of [restored, other]) await expectQuietLog(machine);
    });
  });
}

/** Bytes in the guest that nobody has a reason to touch; their checksum. */
async function plantCanary(machine: Machine): Promise<string> {
  await machine.run("head -c 8000000 /dev/urandom > /canary");
  return checksum(machine, "/canary");
}

async function sendWithPktgen(
  machine: Machine,
  settings: { bytes: number; burst: number; count: number },
): Promise<void> {
  const before = await machine.counters();
  await preparePktgen(machine, settings);
  await startPktgen(machine);
  const { packets: sent } = await sentByPktgen(machine);
  expect(sent).toBeGreaterThanOrEqual(settings.count);
  const after = await machine.counters();
  // The guest may have looked for its neighbour in between.
  const seen = after.frames.fromGuest - before.frames.fromGuest;
  expect(seen).toBeGreaterThanOrEqual(sent);
  expect(seen).toBeLessThan(sent + 5);
}

/** Promiscuous mode, another address, another MTU: each a command to the device, after which it still works. */
async function useControlQueue(machine: Machine): Promise<void> {
  const works = async () => expect((await machine.ping(5, 64)).lost).toBe(0);
  await machine.run("ip link set eth0 promisc on");
  await works();
  await machine.run("ip link set eth0 promisc off && ifconfig eth0 allmulti");
  await works();
  const address = "02:00:00:00:00:77";
  await machine.run(`ip link set eth0 address ${address}`);
  expect(await machine.run("cat /sys/class/net/eth0/address")).toContain(address);
  await machine.run("ping -q -c 1 10.0.0.1");
  await machine.ping(5, 64);
  await machine.run("ip link set eth0 mtu 1000");
  await machine.run("ping -q -c 5 -s 1400 10.0.0.1");
  await machine.run("ip link set eth0 mtu 1500");
  await works();
}

/** Takes the driver off the device and puts it on again while frames pour in and pings go out. */
async function resetUnderTraffic(machine: Machine): Promise<void> {
  const driver = "/sys/bus/virtio/drivers/virtio_net";
  await machine.flood(20, 1000, 2);
  for (let round = 0; round < RESETS; round++) {
    await machine.run("(ping -q -c 1000 -A 10.0.0.1 > /dev/null 2>&1 &)");
    await machine.run(`echo virtio0 > ${driver}/unbind && echo virtio0 > ${driver}/bind`);
    await machine.up();
    const { rx_packets } = await statistics(machine);
    await machine.run("ping -q -c 3 -A -W 5 10.0.0.1");
    expect((await statistics(machine)).rx_packets).toBeGreaterThan(rx_packets);
  }
  await machine.stopFlood();
  expect((await machine.ping(20, 1400)).lost).toBe(0);
}

/** Saves a guest that fetches a file, ends it, and goes on in a fresh process with the wire put back. */
async function snapshotWhileFetching(
  one: Machine,
  other: Machine,
  folder: string,
  ours: Parameters<typeof Machine.create>[0],
): Promise<Machine> {
  // In a subshell of its own: an interactive shell would speak of its job.
  await one.run("( (wget -q -O /tmp/file http://10.0.0.3/file; echo $? > /tmp/status) & )");
  await one.run("while [ ! -s /tmp/file ]; do usleep 10000; done");
  const state = join(folder, "state");
  await one.save(state);
  one.end();
  // It has to be made like the one that was saved.
  const restored = await Machine.create(ours);
  await restored.restore(state);
  await Machine.wire(restored, other, join(folder, "again"));
  const status = await restored.run("while [ ! -s /tmp/status ]; do sleep 1; done; cat /tmp/status", 300_000);
  expect(status.trim()).toBe("0");
  return restored;
}
