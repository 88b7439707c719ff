// Builds everything: the engine (plain and shared memory), the bundles in dist/, and their types.
// Prints nothing unless something is wrong, because it runs whenever npm does.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { main as asc } from "assemblyscript/asc";
import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

for (const target of ["release", "shared"]) {
  const { error, stderr } = await asc(["--config", "asconfig.json", "--target", target]);
  if (error) fail(`asc --target ${target}`, stderr.toString());
}

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist/types/build", { recursive: true });
copyFileSync("build/vring.wasm", "dist/vring.wasm");
copyFileSync("build/vring-shared.wasm", "dist/vring-shared.wasm");
copyFileSync("build/vring.d.ts", "dist/types/build/vring.d.ts");

const common = { bundle: true, format: "esm", target: "es2022", logLevel: "silent" };
try {
  // The library stands alone: no bundler and no import map is needed to load it in a browser.
  await build({
    ...common,
    entryPoints: { index: "src/index.ts" },
    outdir: "dist",
    platform: "neutral",
    mainFields: ["module", "main"],
  });
  await build({
    ...common,
    entryPoints: { cli: "src/cli/main.ts" },
    outdir: "dist",
    platform: "node",
    packages: "external",
    splitting: true,
    chunkNames: "cli-[name]-[hash]",
  });
} catch (error) {
  fail("esbuild", error.message);
}

const tsc = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.types.json"], {
  encoding: "utf8",
});
if (tsc.status !== 0) fail("tsc", tsc.stdout + tsc.stderr);

function fail(step, output) {
  console.error(`build: ${step} failed\n${output}`);
  process.exit(1);
}
