// Builds everything: the engine (plain and shared memory) into build/, the bundles and their types into
// dist/. Prints nothing unless something is wrong, because it runs whenever npm does.
//
// A step whose inputs and outputs are as it left them is skipped. Otherwise it writes into a folder of its
// own and then renames file by file, so that several builds may run at once, and tests while they do: each
// file is whole at every moment. A mix of two builds that had different inputs is seen by the next build,
// because a step remembers the digests of its outputs.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
mkdirSync("build", { recursive: true });

const always = ["scripts/build.mjs", "package-lock.json"];

try {
  const engine = ["build/vring.wasm", "build/vring-shared.wasm", "build/vring.d.ts"];
  await step("engine", ["assembly", "asconfig.json"], "build", buildEngine);
  await step(
    "dist",
    ["src", "assembly", "package.json", "tsconfig.json", "tsconfig.types.json", ...engine],
    "dist",
    buildDist,
  );
} catch (error) {
  console.error(`build: ${error.message}`);
  process.exitCode = 1;
}

async function buildEngine(out) {
  const { main: asc } = await import("assemblyscript/asc");
  for (const [target, name] of [
    ["release", "vring"],
    ["shared", "vring-shared"],
  ]) {
    const options = ["--config", "asconfig.json", "--target", target, "--outFile", `${out}/${name}.wasm`];
    if (target === "release") options.push("--textFile", `${out}/${name}.wat`);
    const { error, stderr } = await asc(options);
    if (error) throw new Error(`asc --target ${target} failed\n${stderr}`);
  }
}

async function buildDist(out) {
  for (const name of ["vring.wasm", "vring-shared.wasm"]) copyFileSync(`build/${name}`, `${out}/${name}`);
  const { build } = await import("esbuild");
  const common = { bundle: true, format: "esm", target: "es2022", logLevel: "silent", outdir: out };
  // The library stands alone: no bundler and no import map is needed to load it in a browser.
  const forBrowsers = {
    entryPoints: { index: "src/index.ts", v86: "src/adapter/v86.ts" },
    platform: "neutral",
    mainFields: ["module", "main"],
    // Two entry points of one library: what they share is one file, so that a class is the same in both.
    splitting: true,
    chunkNames: "vring-[hash]",
  };
  const forNode = {
    entryPoints: { cli: "src/cli/main.ts" },
    platform: "node",
    // What an installed package brings along stays outside; the loader, which it doesn't, comes in.
    external: Object.keys(JSON.parse(readFileSync("package.json", "utf8")).dependencies),
    splitting: true,
    chunkNames: "cli-[name]-[hash]",
  };
  try {
    await build({ ...common, ...forBrowsers });
    await build({ ...common, ...forNode });
  } catch (error) {
    throw new Error(`esbuild failed\n${error.message}`);
  }

  const compiler = fileURLToPath(import.meta.resolve("typescript/bin/tsc"));
  const options = ["-p", "tsconfig.types.json", "--outDir", `${out}/types`];
  const tsc = spawnSync(process.execPath, [compiler, ...options], { encoding: "utf8" });
  if (tsc.status !== 0) throw new Error(`tsc failed\n${tsc.stdout}${tsc.stderr}`);
  // The host's types name the engine's exports, and nothing of the engine's own sources.
  mkdirSync(`${out}/types/build`);
  copyFileSync("build/vring.d.ts", `${out}/types/build/vring.d.ts`);
  rmSync(`${out}/types/assembly`, { recursive: true, force: true });
}

/** Runs `make` into a temporary folder and moves what it wrote into `folder`, unless that is all there. */
async function step(name, inputs, folder, make) {
  const stampFile = `build/${name}.stamp.json`;
  const before = digest([...always, ...inputs].flatMap(filesOf));
  const last = readStamp(stampFile);
  if (last?.inputs === before && last.outputs === digest(last.files)) return;

  const out = mkdtempSync(`build/${name}-`);
  try {
    await make(out);
    const names = filesOf(out).map((file) => file.slice(out.length + 1));
    const files = names.map((file) => join(folder, file));
    const outputs = digest(names.map((file) => join(out, file)));
    for (const file of names) {
      mkdirSync(join(folder, dirname(file)), { recursive: true });
      renameSync(join(out, file), join(folder, file));
    }
    // Nothing that an earlier build left may end up in the package.
    if (folder === "dist") {
      for (const file of filesOf(folder)) if (!files.includes(file)) rmSync(file, { force: true });
    }
    writeFileSync(join(out, "stamp"), JSON.stringify({ inputs: before, outputs, files }));
    renameSync(join(out, "stamp"), stampFile);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

function readStamp(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** The files at and below a path, in the same order everywhere; none when nothing is there. */
function filesOf(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [];
  if (!stat.isDirectory()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesOf(join(path, name)));
}

/** One digest over the contents of files, in their order; a missing one counts as such. */
function digest(files) {
  const hash = createHash("sha256");
  for (const file of files) {
    let content;
    try {
      content = readFileSync(file);
    } catch {
      content = "missing";
    }
    hash.update(`${basename(file)} ${content.length} `).update(content);
  }
  return hash.digest("hex");
}
