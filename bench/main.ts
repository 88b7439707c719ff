/** `npm run bench`: runs the suites that are named, or all of them, and prints a table for each. */
import { cpus } from "node:os";
import { formatSuite, runSuite } from "./suite.ts";
import { suites } from "./suites.ts";

const names = process.argv.slice(2);
const unknown = names.find((name) => !suites.some((suite) => suite.name === name));
if (unknown !== undefined) {
  const known = suites.map((suite) => suite.name).join(", ");
  console.error(`bench: there is no suite "${unknown}"; the suites are ${known}`);
  process.exitCode = 2;
} else {
  const chosen = names.length === 0 ? suites : suites.filter((suite) => names.includes(suite.name));
  console.log(`Node ${process.version}, V8 ${process.versions.v8}, ${cpus()[0].model.trim()}\n`);
  try {
    for (const suite of chosen) {
      const tasks = await suite.open();
      console.log(formatSuite(suite, await runSuite(tasks)));
    }
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
