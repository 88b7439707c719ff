// npm run test:linux [-- --full] [-- -t NAME] [-- FILE ...]: a real Linux kernel drives the device half, in the emulator v86
// (docs/v86.md). Needs a build. Fetches Debian's packages for the guest; where they can't be had it says so and
// ends well: there is nothing to test then.
//
//   --full          the long tests on every combination of features, not on four of them
//   --minutes N     ends the run, which has failed then, after this long: 12 if nothing is said, or 60 with --full
//   -t NAME         only the tests whose names hold this
//   --report FILE   {passed, failed, skipped} as JSON, for CI
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildGuest, GuestUnavailable } from "../test/guest/build.mjs";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { values, positionals } = parseArgs({
  options: {
    full: { type: "boolean", default: false },
    minutes: { type: "string" },
    report: { type: "string" },
    name: { type: "string", short: "t" },
  },
  allowPositionals: true,
});

const minutes = Number(values.minutes ?? (values.full ? 60 : 12));

if (haveGuest()) await run();

function haveGuest() {
  try {
    buildGuest();
    return true;
  } catch (error) {
    if (!(error instanceof GuestUnavailable)) throw error;
    console.log(`skipped: ${error.message}`);
    report({ passed: 0, failed: 0, skipped: 1 });
    return false;
  }
}

async function run() {
  const folder = mkdtempSync(join(tmpdir(), "vring-linux-"));
  const output = join(folder, "tests.json");
  const vitest = join("node_modules", "vitest", "vitest.mjs");
  const options = ["run", "--config", "test/linux/vitest.config.ts", ...positionals];
  if (values.name !== undefined) options.push("-t", values.name);
  const reporters = ["--reporter=verbose", "--reporter=json", `--outputFile.json=${output}`];
  // A process group of its own, so that what hangs can be ended together with all the guests.
  const tests = spawn(process.execPath, [vitest, ...options, ...reporters], {
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
    env: { ...process.env, VRING_LINUX_FULL: values.full ? "1" : "0" },
  });
  const end = () => process.kill(-tests.pid, "SIGKILL");
  const timer = setTimeout(() => {
    console.log(`the Linux tests were ended: they took more than ${minutes} minutes`);
    end();
  }, minutes * 60_000);
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, end);
  const [status] = await once(tests, "exit");
  clearTimeout(timer);
  report(countsOf(output, status));
  rmSync(folder, { recursive: true });
  process.exitCode = status ?? 1;
}

/** A file that could not even be loaded has no tests in the report, and counts as one that failed. */
function countsOf(output, status) {
  try {
    const { numPassedTests, numFailedTests, numTotalTests } = JSON.parse(readFileSync(output, "utf8"));
    const failed = status === 0 ? numFailedTests : Math.max(1, numFailedTests);
    return { passed: numPassedTests, failed, skipped: numTotalTests - numPassedTests - numFailedTests };
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

function report(counts) {
  if (values.report !== undefined) writeFileSync(values.report, JSON.stringify(counts));
}
