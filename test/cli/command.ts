/** The built program as a child process. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Started {
  child: ChildProcessByStdio<null, Readable, Readable>;
  /** Resolves when stderr has a line that matches. */
  saw(line: RegExp): Promise<void>;
  /** Resolves when the program has ended. */
  outcome: Promise<Outcome>;
}

/** Starts `vring` with these arguments in the root of the repository. */
export function start(...args: string[]): Started {
  const child = spawn(process.execPath, ["dist/cli.js", ...args], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const out = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      out[name] += text;
    });
  }
  const outcome = new Promise<Outcome>((resolve) => {
    child.on("close", (code) => resolve({ code, ...out }));
  });
  const saw = (line: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (line.test(out.stderr)) resolve();
      };
      child.stderr.on("data", look);
      look();
      outcome.then(({ stderr }) => reject(new Error(`it ended without ${line}: ${stderr}`)));
    });
  return { child, saw, outcome };
}

export function vring(...args: string[]): Promise<Outcome> {
  return start(...args).outcome;
}

/** A comparison that is over at once. */
export const QUICK = ["--frames", "64", "--ring", "split", "--sg", "2", "--rounds", "2", "--time", "5"];
