import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCapture, writePcap } from "../../src/net/pcap.ts";
import { QUICK, vring } from "./command.ts";

const { packets } = readCapture(readFileSync(new URL("../../captures/web.pcapng", import.meta.url)));
const whole = writePcap(packets.slice(0, 4));

let folder: string;
const at = (name: string): string => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vring-input-"));
  writeFileSync(at("whole.pcap"), whole);
  writeFileSync(at("cut.pcap"), whole.subarray(0, whole.length - 1));
  writeFileSync(at("none.pcap"), writePcap([]));
  writeFileSync(at("not.pcap"), "not a capture\n");
  writeFileSync(at("empty.pcap"), "");
  const cooked = whole.slice();
  cooked[20] = 113;
  writeFileSync(at("cooked.pcap"), cooked);
  const tiny = packets.slice(0, 2).map((packet) => ({ ...packet, data: packet.data.subarray(0, 14) }));
  writeFileSync(at("tiny.pcap"), writePcap(tiny));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** An argument that starts with @ is a file in the test's folder. */
const expand = (args: string): string[] =>
  args.split(" ").map((arg) => (arg.startsWith("@") ? at(arg.slice(1)) : arg === "''" ? "" : arg));

describe("one line on stderr, nothing on stdout and exit code 2 is what one gets for", () => {
  test.concurrent.each<[string, string, RegExp]>([
    ["a missing file", "compare --pcap @gone.pcap", /gone\.pcap: there is no such file/],
    ["a folder", "compare --pcap /", /cannot read \/: it is a folder/],
    ["a file that is no capture", "compare --pcap @not.pcap", /not\.pcap: the file starts with 6e 6f 74 20/],
    ["an empty file", "compare --pcap @empty.pcap", /empty\.pcap: 0 bytes are too few for a capture/],
    ["a capture cut in a packet", "compare --pcap @cut.pcap", /cut\.pcap: packet 4 is cut: .*\(--lenient\)$/],
    ["another link type", "compare --pcap @cooked.pcap", /link type 113 \(Linux cooked\); only Ethernet/],
    ["a capture without packets", "compare --pcap @none.pcap", /none\.pcap: there is no packet in it/],
    [
      "packets too short to cut",
      "compare --pcap @tiny.pcap --sg 19",
      /packet 1 of tiny\.pcap, which has 14 bytes/,
    ],
    ["an unknown ring", "compare --ring round", /--ring: "round" is not possible; split, packed are/],
    [
      "an unknown table source",
      "compare --tables heap,pile",
      /--tables: "pile" is not possible; direct, heap/,
    ],
    ["an unknown touch", "compare --touch smash", /--touch: "smash" is not possible; none, header, copy are/],
    ["an unknown baseline", "compare --baseline split/pile/sg2", /"split\/pile\/sg2" is no case/],
    ["0 sgs", "compare --sg 0", /--sg: "0" is not possible; a whole number from 1/],
    [
      "more sgs than ring slots",
      "compare --sg 19 --ring-size 16",
      /19 sgs per packet do not fit a ring of 16/,
    ],
    ["a split ring of 3", "compare --ring split --ring-size 3", /a split ring of 3 entries is not possible/],
    ["a ring too large", "compare --ring packed --ring-size 32769", /--ring-size: "32769" is not possible/],
    ["a threshold too large", "compare --threshold 20", /--threshold: "20" is not possible; .* 0 to 19 is/],
    ["a burst of nothing", "compare --batch 0", /--batch: "0" is not possible/],
    ["a memory too small", "compare --memory 65536", /needs \d+ bytes of memory, but only 65536 are given/],
    ["a memory too large", "compare --memory 4294967297", /--memory: "4294967297" is not possible/],
    [
      "a frame too short",
      "compare --frames 13",
      /--frames: "13" is not possible; a whole number from 14 to 65550 and imix are/,
    ],
    ["a frame too short to cut", "compare --frames 14 --sg 19", /a frame of 14 bytes cannot be cut into 18/],
    ["a number that is none", "compare --rounds NaN", /--rounds: "NaN" is not possible/],
    ["a negative number", "compare --time -5", /--time/],
    ["no round", "compare --rounds 0", /--rounds: "0" is not possible/],
    ["a seed of more than 32 bits", "compare --seed 4294967296", /--seed: "4294967296" is not possible/],
    ["an empty list", "compare --sg ''", /--sg: "" is not possible/],
    ["an empty place in a list", "compare --sg 1,,2", /--sg: "1,,2" is not possible/],
    [
      "both kinds of traffic",
      "compare --pcap @whole.pcap --frames 64",
      /--pcap and --frames exclude each other/,
    ],
    ["one file for both reports", "compare --json @a --html @./a", /--json and --html both name/],
    [
      "a report over the capture",
      "compare --json @whole.pcap --pcap @whole.pcap",
      /--json and --pcap both name/,
    ],
    ["a report in no folder", "compare --json @gone/a.json", /cannot write .*a\.json: the folder/],
    ["a report on a folder", "compare --html /", /cannot write \/: it is a folder/],
    ["an option without its value", "compare --rounds", /option '--rounds <n>' argument missing/],
    ["an unknown option", "compare --speed 3", /unknown option '--speed'/],
    ["an argument", "compare fast", /too many arguments for 'compare'/],
    [
      "an unknown driver",
      "compare --drivers e1000",
      /--drivers: "e1000" is not possible; virtio-net, i40e, i40e-6\.1, premapped,/,
    ],
    [
      "an unknown backend",
      "compare --drivers i40e --dma iommu",
      /--dma: "iommu" is not possible; direct, swio/,
    ],
    [
      "an unknown kind of receive buffer",
      "compare --drivers i40e --rx heap",
      /--rx: "heap" is not possible; all/,
    ],
    [
      "a hold of everything by another name",
      "compare --drivers i40e --hold many",
      /--hold: "many" is not possible; a whole number from 0 to 65536 and all are/,
    ],
    ["a hold of less than nothing", "compare --drivers i40e --hold -1", /--hold/],
    [
      "too much held back",
      "compare --drivers i40e --hold 65537",
      /--hold: "65537" is not possible; .* to 65536/,
    ],
    [
      "an unknown order",
      "compare --drivers i40e --drop backwards",
      /--drop: "backwards" is not possible; in-ord/,
    ],
    ["three queues", "compare --drivers i40e --queues 3", /--queues: "3" is not possible; 1, 2, 4, 8 are/],
    [
      "an unknown direction",
      "compare --drivers i40e --direction up",
      /--direction: "up" is not possible; tx, rx/,
    ],
    ["a trace of nothing", "compare --drivers i40e --trace-ops 0", /--trace-ops: "0" is not possible/],
    ...["--dma direct", "--rx page-pool", "--hold 0", "--drop random", "--queues 2", "--direction rx"].map(
      (option): [string, string, RegExp] => [
        `${option} without drivers`,
        `compare ${option}`,
        new RegExp(
          `^vring: ${option.split(" ")[0]} goes with --drivers or --systems; name some too, or leave it out$`,
        ),
      ],
    ),
    ["a trace without drivers", "compare --trace-ops 5", /--trace-ops goes with --drivers/],
    ...["--rx page-pool", "--hold 64", "--drop random"].map((option): [string, string, RegExp] => [
      `${option} where nothing is received`,
      `compare --drivers i40e --direction tx ${option}`,
      /^vring: --\w+ is about receiving, but --direction tx only transmits; leave one of them out$/,
    ]),
    ...["--sg 2", "--tables heap", "--threshold 2"].map((option): [string, string, RegExp] => [
      `${option} where nothing is transmitted`,
      `compare --drivers virtio-net --direction rx ${option}`,
      /^vring: --\w+ is about transmitting, but --direction rx only receives; leave one of them out$/,
    ]),
    [
      "tables for a driver that takes none",
      "compare --drivers i40e,i40e-6.1 --tables heap",
      /--tables: i40e, i40e-6\.1 take no indirect tables; add a driver that does, or leave it out/,
    ],
    [
      "tables for single elements",
      "compare --drivers virtio-net --tables heap --sg 1",
      /--tables: a driver takes a table for two and more sgs; give --sg 2 or more, or leave it out/,
    ],
    [
      "a threshold without a cache",
      "compare --drivers virtio-net --threshold 2",
      /--threshold is about cached tables; give --tables freelist/,
    ],
    [
      "a random order of nothing",
      "compare --drivers i40e --drop random",
      /--drop random needs packets that are held back; give --hold/,
    ],
    ["aligned buffers of drivers", "compare --drivers i40e --align", /--align goes without --drivers/],
    [
      "an unknown baseline among drivers",
      "compare --drivers i40e --baseline i40e/direct",
      /the baseline "i40e\/direct" is no case of this comparison; they are i40e\/direct\/tx/,
    ],
    [
      "more sgs than ring slots of a driver",
      "compare --drivers i40e --direction tx --sg 8 --ring-size 4",
      /^vring: i40e\/direct\/tx: sg is 8, but must be a whole number from 1 to 4$/,
    ],
    [
      "a memory too small for a driver",
      "compare --drivers i40e --memory 65536",
      /case .* needs \d+ bytes of memory, but only 65536 are given/,
    ],
    [
      "only frames that no receive buffer takes",
      "compare --drivers i40e --direction rx --frames 1519",
      /1519-byte frames: there is no frame of at most 1518 bytes/,
    ],
    ["an unknown command", "race", /"race" is no command; vring --help lists them/],
    ["an unknown option in its place", "--race", /unknown option '--race'/],
  ])("%s", async (_, args, message) => {
    const { code, stdout, stderr } = await vring(...expand(args));
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^vring: [^\n]+\n$/);
    expect(stderr.trimEnd()).toMatch(message);
  });

  test("no command", async () => {
    expect(await vring()).toEqual({
      code: 2,
      stdout: "",
      stderr: "vring: a command is missing; vring --help lists them\n",
    });
  });

  test("a name that would break the line", async () => {
    const { code, stderr } = await vring("compare", "--pcap", "a\nb\u001b[31m");
    expect(code).toBe(2);
    expect(stderr).toBe("vring: cannot read a b [31m: there is no such file; name a pcap or pcapng file\n");
  });
});

test("nothing is left of the files that were not written", () => {
  expect(readdirSync(folder).filter((name) => !name.endsWith(".pcap"))).toEqual([]);
});

test("a lenient comparison says which packet is cut and goes on with those before it", async () => {
  const quick = QUICK.slice(2);
  const { code, stdout, stderr } = await vring(
    "compare",
    ...quick,
    "--tables",
    "slot",
    "--pcap",
    at("cut.pcap"),
    "--lenient",
    "--quiet",
  );
  expect(code).toBe(0);
  expect(stderr).toBe(`vring: ${at("cut.pcap")}: packet 4 is cut; the 3 before it are used\n`);
  expect(stdout).toContain("3 packets");
});
