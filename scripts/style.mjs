// The style of the project in the current folder: Biome's formatter and linter, then the TypeScript compiler.
//
//   node scripts/style.mjs           says what is wrong; exit code 1 when something is
//   node scripts/style.mjs --write   formats and sorts imports first; lint findings are left to their author
//
// Biome parses AssemblyScript but for one thing: it calls `@inline` before a function an error. That
// diagnostic, in assembly/, is all that is overlooked here.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const DECORATOR = "Decorators are not valid here.";
const require = (name) => fileURLToPath(import.meta.resolve(name));

const findings = [];
if (process.argv.includes("--write")) {
  findings.push(...biome("--write", "--linter-enabled=false"));
} else {
  findings.push(...biome(), ...compiler());
}
for (const finding of findings) console.error(finding);
if (findings.length > 0) {
  console.error(`style: ${findings.length} to mend; npm run format mends format and import order`);
  process.exitCode = 1;
}

function biome(...options) {
  const fixed = ["check", "--reporter=json", "--max-diagnostics=none"];
  const { stdout, stderr } = run(require("@biomejs/biome/bin/biome"), ...fixed, ...options, ".");
  let report;
  try {
    report = JSON.parse(stdout);
  } catch {
    return [`biome gave no report: ${stderr}`];
  }
  const { diagnostics, summary } = report;
  if (summary.unchanged + summary.changed === 0) return ["biome found no file to check here"];
  return diagnostics.filter((diagnostic) => !isFunctionDecorator(diagnostic)).map(line);
}

function isFunctionDecorator({ category, message, location }) {
  return category === "parse" && message === DECORATOR && location.path.startsWith("assembly/");
}

function line({ category, message, location: { path, start } }) {
  if (category === "format") return `${path}: format: npm run format would change this file`;
  return `${path}:${start.line}:${start.column}: ${category}: ${message}`;
}

function compiler() {
  const { stdout, status } = run(require("typescript/bin/tsc"), "--noEmit", "--pretty", "false");
  if (status === 0) return [];
  return stdout.trim().split("\n");
}

function run(script, ...args) {
  const result = spawnSync(process.execPath, [script, ...args], { encoding: "utf8", maxBuffer: 1 << 26 });
  if (result.error) throw result.error;
  return result;
}
