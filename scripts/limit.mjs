// npm run limit: the engine against the C twin in bench/native. Needs a build (npm run build).
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { runBench } from "./bundle-bench.mjs";

/** In a young generation of 1 MiB one object a burst is seen, whatever ran before it was looked for. */
const YOUNG = "--max-semi-space-size=1";

if (process.execArgv.includes(YOUNG)) {
  await runBench("limit/main");
} else {
  const again = [YOUNG, ...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  process.exitCode = spawnSync(process.execPath, again, { stdio: "inherit" }).status ?? 1;
}
