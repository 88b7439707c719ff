// npm run fuzz -- --target NAME --seconds N --seed S: the fuzzers (fuzz/README.md). Needs a build (npm run build).
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
// Node 20 runs no TypeScript; packages stay outside.
const outfile = "build/fuzz/main.js";
await build({
  entryPoints: ["fuzz/main.ts"],
  outfile,
  bundle: true,
  format: "esm",
  target: "es2022",
  platform: "node",
  packages: "external",
  logLevel: "error",
});
const { main } = await import(pathToFileURL(outfile));
process.exitCode = await main(process.argv.slice(2));
