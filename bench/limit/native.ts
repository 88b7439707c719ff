/** The C twin: compiles bench/native, and asks the running program to measure. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import type { RingFormat, TableSource } from "../../src/names.ts";

const SOURCES = "bench/native";
const BUILD = "build/native";
/** An independent ring in C beside the repository, which the twin is checked against where it is there. */
const YARDSTICK = "../shared/native-ring/ring.c";

export interface NativeBuild {
  /** What the compiler calls itself. */
  compiler: string;
  /** The twin, and the twin without the checks that the yardstick leaves out. */
  full: string;
  bare: string;
  yardstick: string | null;
}

/** What keeps the C twin from being built, in one line. */
export class CompilerMissing extends Error {}

/** Compiles everything. @throws CompilerMissing, or Error with the first thing that the compiler said. */
export function compileNative(): NativeBuild {
  const asked = spawnSync("gcc", ["--version"], { encoding: "utf8" });
  if (asked.error)
    throw new CompilerMissing("npm run limit needs a C compiler: apt-get install gcc libc6-dev");
  mkdirSync(BUILD, { recursive: true });
  const sources = readdirSync(SOURCES)
    .filter((name) => name.endsWith(".c"))
    .map((name) => `${SOURCES}/${name}`);
  return {
    compiler: asked.stdout.split("\n")[0],
    full: compile("twin", sources),
    bare: compile("twin-bare", sources, "-DBARE"),
    yardstick: existsSync(YARDSTICK) ? compile("yardstick", [YARDSTICK]) : null,
  };
}

function compile(name: string, sources: string[], ...defines: string[]): string {
  const program = `${BUILD}/${name}`;
  const options = ["-O3", "-march=native", ...defines, "-o", program, ...sources];
  const { status, stderr } = spawnSync("gcc", options, { encoding: "utf8" });
  if (status === 0) return program;
  if (/fatal error: std\w+\.h/.test(stderr)) {
    throw new CompilerMissing("npm run limit needs the headers of the C library: apt-get install libc6-dev");
  }
  const errors = stderr.split("\n").filter((line) => line.includes("error:"));
  throw new Error(`gcc could not compile ${name}: ${errors[0] ?? stderr.trim()}`);
}

/** A twin that runs and waits for requests: one a line, answered by one line. */
export class Twin {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterableIterator<string>;

  constructor(program: string) {
    const child = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
    this.#child = child;
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** Nanoseconds a packet over `passes` passes of 1024 packets of `n` elements. */
  round(format: RingFormat, tables: TableSource, n: number, passes: number): Promise<number> {
    return this.#ask(`round ${format} ${tables} ${n} ${passes}`);
  }

  /** Nanoseconds a packet through a host that copies it, over `passes` passes of 1024 frames of `bytes`. */
  host(format: RingFormat, direction: "tx" | "rx", bytes: number, passes: number): Promise<number> {
    return this.#ask(`host ${format} ${direction} ${bytes} ${passes}`);
  }

  /** Nanoseconds for the copy of such a packet alone. */
  hostCopies(format: RingFormat, direction: "tx" | "rx", bytes: number, passes: number): Promise<number> {
    return this.#ask(`hostcopy ${format} ${direction} ${bytes} ${passes}`);
  }

  /** Nanoseconds for a take and a give of `bytes` with nothing else live, over `count` of them. */
  tlsf(bytes: number, count: number): Promise<number> {
    return this.#ask(`tlsf ${bytes} ${count}`);
  }

  /** Nanoseconds for the one's complement sum of `bytes`. */
  checksum(bytes: number, count: number): Promise<number> {
    return this.#ask(`checksum ${bytes} ${count}`);
  }

  /** Nanoseconds for a copy of `bytes` and the sum of them. */
  copyChecksum(bytes: number, count: number): Promise<number> {
    return this.#ask(`copychecksum ${bytes} ${count}`);
  }

  /** Nanoseconds for a Toeplitz hash of `bytes` with a prepared table. */
  toeplitz(bytes: number, count: number): Promise<number> {
    return this.#ask(`toeplitz ${bytes} ${count}`);
  }

  close(): void {
    this.#child.stdin?.end();
  }

  async #ask(request: string): Promise<number> {
    this.#child.stdin?.write(`${request}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`the C twin ended at the request "${request}"`);
    const figure = Number(value);
    if (!(figure > 0)) throw new Error(`the C twin answered "${value}" to "${request}"`);
    return figure;
  }
}
