// The package as npm would publish it, for tests that want what a user gets.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** A folder of its own in the system's temporary folder. */
export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "vring-package-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Result {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a command to its end, without what an npm above this process has put into the environment for itself. */
export function run(folder: string, command: string, ...args: string[]): Result {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(package|lifecycle|command|config_local_prefix)/.test(name),
    ),
  );
  const { error, status, stdout, stderr } = spawnSync(command, args, { cwd: folder, env, encoding: "utf8" });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** Like `run`, for what must succeed; its standard output. */
export function succeed(folder: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr } = run(folder, command, ...args);
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}\n${stdout}${stderr}`);
  return stdout;
}

export interface Packed {
  /** The tarball. */
  file: string;
  files: { path: string; size: number }[];
  unpackedSize: number;
}

/** Packs the project, which builds it first if anything changed. */
export function pack(folder: string): Packed {
  const options = ["--json", "--foreground-scripts=false", "--pack-destination", folder];
  const [{ filename, files, unpackedSize }] = JSON.parse(succeed(root, "npm", "pack", ...options));
  return { file: join(folder, filename), files, unpackedSize };
}

/** The tarball's content, below `package/` in `folder`. */
export function unpack(packed: Packed, folder: string): string {
  succeed(folder, "tar", "-xzf", packed.file);
  return join(folder, "package");
}

export interface Example {
  heading: string;
  code: string;
  output: string;
}

/** The README's runnable examples: each ```js block that a ```text block with its output follows. */
export function readmeExamples(): Example[] {
  const text = readFileSync(join(root, "README.md"), "utf8");
  const pattern = /```js\n(.*?)```\n\s*```text\n(.*?)```/gs;
  return [...text.matchAll(pattern)].map(({ 1: code, 2: output, index }) => {
    const heading =
      text
        .slice(0, index)
        .match(/^#+ (.*)$/gm)
        ?.at(-1) ?? "";
    return { heading: heading.replace(/^#+ /, ""), code, output };
  });
}
