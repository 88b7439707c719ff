// What the long tests make guests do: files over TCP, packets from pktgen.
import { expect } from "vitest";
import type { Machine } from "./machine.ts";

const MINUTES = 60_000;
export const FILE_MB = 20;
const DEVICE = "/proc/net/pktgen/eth0";

/** A file of 20 MB of which no two megabytes are alike, under httpd; its checksum. */
export async function serveFile(machine: Machine): Promise<string> {
  await machine.run("mkdir -p /www && head -c 1048575 /dev/urandom > /www/part");
  await machine.run(
    `for i in $(seq ${FILE_MB}); do printf '\\%o' $((i % 8)); cat /www/part; done > /www/file; rm /www/part`,
    MINUTES,
  );
  await machine.run("httpd -p 80 -h /www");
  return checksum(machine, "/www/file");
}

export async function checksum(machine: Machine, path: string): Promise<string> {
  return (await machine.run(`md5sum < ${path}`, 2 * MINUTES)).slice(0, 32);
}

/** Fetches the file from a server; its checksum here. */
export async function fetchFile(machine: Machine, from: string): Promise<string> {
  await machine.run(`wget -q -O /tmp/file http://${from}/file`, 5 * MINUTES);
  const sum = await checksum(machine, "/tmp/file");
  await machine.run("rm /tmp/file");
  return sum;
}

export interface Pktgen {
  bytes: number;
  burst: number;
  count: number;
}

/** Makes the kernel's packet generator ready to send. */
export async function preparePktgen(machine: Machine, { bytes, burst, count }: Pktgen): Promise<void> {
  await machine.run("[ -d /proc/net/pktgen ] || insmod /modules/pktgen.ko");
  await machine.run(`[ -e ${DEVICE} ] || echo add_device eth0 > /proc/net/pktgen/kpktgend_0`);
  const settings = [
    `count ${count}`,
    "clone_skb 0",
    `pkt_size ${bytes}`,
    `burst ${burst}`,
    "dst 10.0.0.1",
    "dst_mac 02:00:00:00:00:01",
  ];
  for (const setting of settings) await machine.run(`echo ${setting} > ${DEVICE}`);
}

/** Has it send, until it is done. */
export async function startPktgen(machine: Machine): Promise<void> {
  await machine.run("echo start > /proc/net/pktgen/pgctrl", 5 * MINUTES);
}

/** How many packets it says that it has sent, and in what time. */
export async function sentByPktgen(machine: Machine): Promise<{ packets: number; microseconds: number }> {
  const said = await machine.run(`cat ${DEVICE}`);
  expect(said).toContain("Result: OK");
  expect(said).toMatch(/errors: 0/);
  const [packets, microseconds] = [/pkts-sofar: (\d+)/, /Result: OK: (\d+)/].map((pattern) =>
    Number(pattern.exec(said)?.[1]),
  );
  return { packets, microseconds };
}
