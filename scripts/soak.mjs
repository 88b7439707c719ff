// npm run soak [-- --packets N] [-- FILE ...]: the soak tests (test/soak) with N packets through every system each way: a
// million if nothing is said. Needs a build.
//
//   --report FILE   Vitest's report as JSON, for CI
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { values, positionals } = parseArgs({
  options: { packets: { type: "string", default: "1000000" }, report: { type: "string" } },
  allowPositionals: true,
});

const options = ["run", ...(positionals.length > 0 ? positionals : ["test/soak"]), "--reporter=default"];
if (values.report !== undefined) options.push("--reporter=json", `--outputFile.json=${values.report}`);
const { status } = spawnSync(process.execPath, [join("node_modules", "vitest", "vitest.mjs"), ...options], {
  stdio: "inherit",
  env: { ...process.env, VRING_SOAK: values.packets },
});
process.exitCode = status ?? 1;
