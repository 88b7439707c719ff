#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { main } from "./program.ts";

// Whoever reads the output may stop early (`| head`): that is no error of this program's.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

// The first Ctrl-C ends the run and shows what is complete; the second one ends the program.
const interrupt = new AbortController();
process.once("SIGINT", () => interrupt.abort());

const packageJson = new URL("../package.json", import.meta.url);

process.exitCode = await main(process.argv.slice(2), {
  version: JSON.parse(readFileSync(packageJson, "utf8")).version,
  stdout: process.stdout,
  stderr: process.stderr,
  color: process.stdout.isTTY === true && process.stdout.hasColors(),
  signal: interrupt.signal,
});
