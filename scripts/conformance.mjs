// Writes docs/conformance.md from the rows in test/conformance/rows.ts and the names of all tests.
//
//   node scripts/conformance.mjs           writes the page
//   node scripts/conformance.mjs --check   writes nothing; exit code 1 when a row has no place or the page is old
//
// A test shows a row by carrying its ID in its name. Names are asked of vitest, which knows them as they
// are run, and only for files in which an ID stands at all.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = "docs/conformance.md";
process.chdir(root);

const folder = mkdtempSync(join(tmpdir(), "vring-conformance-"));
try {
  const { AREAS, problems, render } = await matrix();
  const tests = testNames();
  const found = problems(AREAS, tests);
  const current = read(page);
  const wanted = render(AREAS, tests, current);
  if (process.argv.includes("--check")) {
    if (current !== wanted) found.push(`${page} is old: node scripts/conformance.mjs writes it`);
  } else if (current !== wanted) {
    writeFileSync(page, wanted);
  }
  for (const problem of found) console.error(`conformance: ${problem}`);
  if (found.length > 0) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** The rows and what is made of them, which are TypeScript. */
async function matrix() {
  const outfile = join(folder, "matrix.mjs");
  const contents =
    'export * from "./test/conformance/matrix.ts"; export * from "./test/conformance/rows.ts";';
  const stdin = { contents, resolveDir: root, loader: "ts" };
  await build({ stdin, outfile, bundle: true, format: "esm", platform: "node", logLevel: "silent" });
  return import(pathToFileURL(outfile).href);
}

/** Every test whose file holds an ID, in the order of files and then of the file. */
function testNames() {
  const files = readdirSync("test", { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".test.ts"))
    .map((file) => join("test", file))
    .filter((file) => /\b[A-Z]-[DVB]-\d\d\b/.test(readFileSync(file, "utf8")));
  const list = join(folder, "tests.json");
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  // Names need no fresh worker for each file, which is most of the time. A vitest that runs this as a test leaves its own settings in the environment.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^VITEST/.test(name)));
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [vitest, "list", ...files, `--json=${list}`, "--no-isolate"],
    { encoding: "utf8", env },
  );
  if (status !== 0) throw new Error(`vitest could not list the tests\n${stdout}${stderr}`);
  return JSON.parse(readFileSync(list, "utf8"))
    .map(({ file, name }, order) => ({ file: relative(root, file).replaceAll("\\", "/"), name, order }))
    .sort((a, b) => (a.file === b.file ? a.order - b.order : a.file < b.file ? -1 : 1));
}

function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
