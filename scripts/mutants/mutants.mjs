// The list of mutants, and what the run and the test of the list share.
//
// list/*.txt:
//
//   @ assembly/ring/event.ts | both              the file and the half that those below change
//
//   # the split event test is an equality        the name
//   event test | event [| vring-shared]          the mechanism, topics of tests, a build other than vring
//   - exact text, once in the file
//   - (more lines of it)
//   + what stands there instead; nothing, or a lone +, for nothing
//
// More pairs of - and + may follow. A mutant of vring-shared is one that only the build for shared memory
// shows: in the other an atomic access and a plain one are the same instruction.
import { readdirSync, readFileSync } from "node:fs";

/** Test files by what they are about: a mutant meets those of its topics first. */
const TESTS = {
  driver: ["ring/driver", "ring/split-driver", "ring/packed-driver", "ring/corners"],
  device: ["ring/device", "ring/split-device", "ring/packed-device"],
  event: ["ring/event", "ring/split-driver", "ring/split-device", "ring/packed-driver", "ring/packed-device"],
  hostile: ["ring/hostile-split", "ring/hostile-packed"],
  reset: ["ring/reset", "ring/refusal"],
  tables: ["ring/tables", "ring/both-halves", "ring/corners"],
  both: ["ring/both-halves"],
  memory: ["mem/tlsf", "mem/copy", "mem/arena"],
  pages: ["mem/pages"],
  headers: ["rx/headers"],
  rx: ["path/receive", "system/receive"],
  tx: ["system/transmit"],
  passthru: ["device/passthru", "device/passthru-net", "system/host-passthru"],
  apps: ["system/programs", "system/applications"],
  hosts: ["system/host-paths", "system/host-zerocopy", "system/host-engine"],
  merge: ["path/merge", "system/long-frames"],
  bulk: ["system/transmit-bulk"],
  stream: ["system/streaming"],
  iommu: ["dma/iova", "dma/page-table", "dma/iotlb", "dma/flush-queue", "dma/iommu"],
  parse: ["net/parse", "net/kernel-segmentation"],
  checksum: ["net/checksum", "net/kernel-segmentation"],
  hash: ["net/toeplitz"],
  segment: ["net/segment", "net/kernel-segmentation"],
  coalesce: ["net/coalesce"],
  space: ["dma/space", "ring/refusal", "ring/hostile-split", "ring/hostile-packed"],
  dma: ["dma/swiotlb", "dma/dma", "dma/model"],
  faults: ["dma/hostile-device"],
  rings: ["ring/translated"],
  platform: ["ring/platform"],
  barrier: ["conformance/barriers"],
  log: ["host/page-log"],
  suspend: ["device/suspend"],
  unpublished: ["conformance/queues"],
  left: ["system/nothing-left"],
  soak: ["soak/soak"],
  order: ["wakeup/order", "conformance/barriers"],
};

const folder = new URL("list/", import.meta.url);

export const mutants = readdirSync(folder)
  .sort()
  .flatMap((name) => parse(readFileSync(new URL(name, folder), "utf8"), name));

function parse(text, from) {
  const list = [];
  let file;
  let half;
  for (const [at, line] of text.split("\n").entries()) {
    const mutant = list.at(-1);
    const rest = line.slice(2);
    if (line === "") continue;
    else if (line.startsWith("@ ")) [file, half] = rest.split(" | ");
    else if (line.startsWith("# ")) list.push({ name: rest, file, half, edits: [] });
    else if (line.startsWith("- ")) {
      if (mutant.edits.at(-1)?.replace !== undefined || mutant.edits.length === 0) mutant.edits.push({});
      const edit = mutant.edits.at(-1);
      edit.find = edit.find === undefined ? rest : `${edit.find}\n${rest}`;
    } else if (line === "+" || line.startsWith("+ ")) {
      const edit = mutant.edits.at(-1);
      edit.replace = edit.replace === undefined ? rest : `${edit.replace}\n${rest}`;
    } else {
      const [mechanism, topics, build = "vring"] = line.split(" | ");
      const files = topics?.split(" ").map((topic) => TESTS[topic]);
      if (files === undefined || files.includes(undefined)) {
        throw new Error(`${from}:${at + 1}: not "mechanism | topics [| build]": ${line}`);
      }
      Object.assign(mutant, { mechanism, tests: [...new Set(files.flat())], build });
    }
  }
  for (const { edits } of list) for (const edit of edits) edit.replace ??= "";
  return list;
}

/** Why a mutant can't be applied, or undefined; `read` gives the text of a file. */
export function fits({ file, edits }, read) {
  for (const { find } of edits) {
    const count = read(file).split(find).length - 1;
    if (count !== 1) return `stands ${count} times in ${file}, not once: ${JSON.stringify(find)}`;
  }
  return undefined;
}

/** The text of a file with a mutant's bug in it. */
export function mutate({ edits }, text) {
  return edits.reduce((mutated, { find, replace }) => mutated.replace(find, () => replace), text);
}

/** Markdown: a line for each mutant, with the test that killed it. */
export function table(results) {
  const killed = results.filter(({ killedBy }) => killedBy).length;
  const cell = (text) => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
  const lines = results.map(
    ({ name, mechanism, half, killedBy, why }) =>
      `| ${[name, mechanism, half, killedBy ?? `**survived**: ${why}`].map(cell).join(" | ")} |`,
  );
  return [
    `${results.length} deliberate bugs, ${killed} caught.`,
    "",
    "| what was broken | mechanism | half | caught first by |",
    "| --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}

const START = "<!-- mutation:start -->";
const END = "<!-- mutation:end -->";

/** `text` with what stands between the markers replaced. */
export function withTable(text, lines) {
  const from = text.indexOf(START);
  const to = text.indexOf(END);
  if (from < 0 || to < from) throw new Error(`docs/conformance.md needs the lines ${START} and ${END}`);
  return `${text.slice(0, from + START.length)}\n\n${lines}\n\n${text.slice(to)}`;
}
