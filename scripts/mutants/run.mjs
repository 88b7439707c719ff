// The mutation check: deliberate bugs, one at a time, each of which some test must catch.
//
//   node scripts/mutants/run.mjs                 all of them; exit code 1 unless every one is killed
//   node scripts/mutants/run.mjs --only TEXT     those whose name, mechanism, half or file contains TEXT
//   node scripts/mutants/run.mjs --list          what there is, and whether each still fits the source
//   node scripts/mutants/run.mjs --write         and puts the table into docs/conformance.md
//
// It works on copies of the sources and tests, so that neither the working copy nor build/ is touched, and
// on two mutants at a time. A mutant first meets the tests of what it breaks, and all tests of the engine
// only if it survived those. A table is written for a whole run without a survivor only.
//
// Mutation tools that were tried: @stryker-mutator/instrumenter 9.6.1 (10 wants Node 22) does not parse the
// sources, "a decorated export must export a class declaration", and its switches are JavaScript that
// AssemblyScript could not compile; there is no wasm-mutate on npm.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fits, mutants, mutate, table, withTable } from "./mutants.mjs";
import { Baseline, BUILDS, endTests, Workspace } from "./workspace.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CONFORMANCE = join(ROOT, "docs/conformance.md");
const AT_ONCE = 2;
/** A mutant that makes a loop endless can only be stopped from outside. */
const HANG_MS = 180_000;
/** Folders of tests of the engine: what a mutant that survived its own tests meets next. */
const ENGINE_TESTS = ["ring", "mem", "dma", "net", "host", "wakeup", "conformance", "model"];

/** About the names of tests, and not about what they test. */
const NOT_ENGINE = "test/conformance/matrix.test.ts";

const { values: options } = parseArgs({
  options: { only: { type: "string" }, list: { type: "boolean" }, write: { type: "boolean" } },
});
const chosen = mutants.filter(
  ({ name, mechanism, half, file }) =>
    options.only === undefined || [name, mechanism, half, file].some((text) => text.includes(options.only)),
);
if (chosen.length === 0) {
  console.error(`mutants: none has "${options.only}" in its name, mechanism, half or file`);
  process.exit(2);
}
if (options.write && chosen.length < mutants.length) {
  console.error("mutants: --write takes no --only, because the table is that of a whole run");
  process.exit(2);
}
// Missing markers are better said before the run than after it.
if (options.write) withTable(readFileSync(CONFORMANCE, "utf8"), "");

if (options.list) list();
else await check();

function list() {
  for (const mutant of chosen) {
    const fault = fits(mutant, (file) => readFileSync(join(ROOT, file), "utf8"));
    console.log(`${mutant.mechanism}, ${mutant.half}: ${mutant.name}${fault ? `  [${fault}]` : ""}`);
    if (fault) process.exitCode = 1;
  }
}

async function check() {
  const started = performance.now();
  const folder = mkdtempSync(join(tmpdir(), "vring-mutants-"));
  const tidy = () => {
    endTests();
    rmSync(folder, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => {
      tidy();
      process.exit(130);
    });
  }
  try {
    const { results, failing } = await run(folder);
    const lines = table(results);
    console.log(`\n${lines}\n\n${Math.round((performance.now() - started) / 1000)} s`);
    const faults = [
      ...results.filter(({ killedBy }) => !killedBy).map(({ name, why }) => `survived: ${name}: ${why}`),
      ...failing.map(({ title }) => `fails without a mutant, so it was not counted: ${title}`),
    ];
    for (const fault of faults) console.error(`mutants: ${fault}`);
    if (faults.length > 0) process.exitCode = 1;
    else if (options.write) writeFileSync(CONFORMANCE, withTable(readFileSync(CONFORMANCE, "utf8"), lines));
  } finally {
    tidy();
  }
}

/** Tries what was chosen; each with the test that killed it or why none did, and the tests that fail anyway. */
async function run(folder) {
  const sound = new Workspace(ROOT, join(folder, "sound"));
  const reference = {};
  for (const build of BUILDS) {
    reference[build] = await sound.compile(build);
    sound.install(build, reference[build]);
  }
  const baseline = new Baseline(sound, HANG_MS);
  const results = new Map();
  const waiting = [...chosen];
  const work = async (place) => {
    for (const build of BUILDS) place.install(build, reference[build]);
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const result = await attempt(mutant, place, reference, baseline);
      results.set(mutant, result);
      const { killedBy, why } = result;
      console.log(`${killedBy ? "killed  " : "SURVIVED"}  ${mutant.name}: ${killedBy ?? why}`);
    }
  };
  const names = Array.from({ length: Math.min(AT_ONCE, chosen.length) }, (_, k) => `${k}`);
  await Promise.all(names.map((name) => work(new Workspace(ROOT, join(folder, name), sound.folder))));
  return {
    results: chosen.map((mutant) => ({ ...mutant, ...results.get(mutant) })),
    failing: await baseline.failing(),
  };
}

async function attempt(mutant, place, reference, baseline) {
  const fault = fits(mutant, (file) => place.read(file));
  if (fault) return { why: fault };
  const own = mutant.tests.map((name) => `test/${name}.test.ts`);
  const missing = own.filter((file) => !place.has(file));
  if (missing.length > 0) return { why: `no such test file: ${missing.join(", ")}` };
  const original = place.read(mutant.file);
  try {
    place.write(mutant.file, mutate(mutant, original));
    const wasm = await place.compile(mutant.build);
    if (Buffer.compare(wasm, reference[mutant.build]) === 0)
      return { why: `${mutant.build}.wasm is the same` };
    place.install(mutant.build, wasm);
    const others = ENGINE_TESTS.flatMap((name) => place.testFiles(name)).filter(
      (file) => !own.includes(file) && file !== NOT_ENGINE,
    );
    for (const files of [own, others]) {
      const anyway = new Set((await baseline.of(files)).map(({ id }) => id));
      const failed = await place.test(files, { bail: anyway.size + 1, milliseconds: HANG_MS });
      const killer = failed.find(({ id }) => !anyway.has(id));
      if (killer !== undefined) return { killedBy: killer.title };
    }
    return { why: "no test fails" };
  } catch (error) {
    return { why: error.message };
  } finally {
    place.write(mutant.file, original);
    place.install(mutant.build, reference[mutant.build]);
  }
}
