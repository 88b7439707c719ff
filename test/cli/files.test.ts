import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkWritable, OutputFileError, writeWhole } from "../../src/cli/files.ts";
import { createProgress } from "../../src/cli/progress.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vring-files-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe("a file that is written whole", () => {
  test("holds the text or the bytes, and nothing else is left in the folder", async () => {
    const path = join(folder, "a.json");
    await writeWhole(path, "{}\n");
    expect(readFileSync(path, "utf8")).toBe("{}\n");
    await writeWhole(path, Uint8Array.of(1, 2, 3));
    expect([...readFileSync(path)]).toEqual([1, 2, 3]);
    expect(readdirSync(folder)).toEqual(["a.json"]);
  });

  test("keeps the permissions of the file that it replaces", async () => {
    const path = join(folder, "a.json");
    writeFileSync(path, "old");
    chmodSync(path, 0o600);
    await writeWhole(path, "new");
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("is written behind a symbolic link, which stays one", async () => {
    mkdirSync(join(folder, "real"));
    writeFileSync(join(folder, "real", "a.json"), "old");
    symlinkSync(join("real", "a.json"), join(folder, "link.json"));
    await writeWhole(join(folder, "link.json"), "new");
    expect(readFileSync(join(folder, "real", "a.json"), "utf8")).toBe("new");
    expect(readdirSync(folder).sort()).toEqual(["link.json", "real"]);
  });

  test("leaves the old content and no trace when the writing fails", async () => {
    const path = join(folder, "a.json");
    writeFileSync(path, "old");
    // A value that the file system cannot write fails after the temporary file is there, as a full disk would.
    await expect(writeWhole(path, 7 as unknown as string)).rejects.toBeInstanceOf(OutputFileError);
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(folder)).toEqual(["a.json"]);
  });

  test("does not replace a pipe", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const reader = readFile(pipe, "utf8");
    await writeWhole(pipe, "through");
    expect(await reader).toBe("through");
    expect(statSync(pipe).isFIFO()).toBe(true);
  });
});

describe.each([
  ["writing", (path: string) => writeWhole(path, "x")],
  ["checking before the run", checkWritable],
])("%s", (_, attempt) => {
  test("refuses a folder that doesn't exist, in one line that names it", async () => {
    const path = join(folder, "none", "a.json");
    const error = await attempt(path).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(OutputFileError);
    expect(error).toMatchObject({
      code: "ENOENT",
      path,
      message: `cannot write ${path}: the folder ${join(folder, "none")} doesn't exist; create it or name another`,
    });
  });

  test("refuses a name that is a folder", async () => {
    await expect(attempt(folder)).rejects.toThrow(
      `cannot write ${folder}: it is a folder; name a file in it`,
    );
  });

  test("refuses a path through a file, and an empty name", async () => {
    writeFileSync(join(folder, "file"), "");
    await expect(attempt(join(folder, "file", "a.json"))).rejects.toThrow(
      `${join(folder, "file")} isn't a folder`,
    );
    await expect(attempt("")).rejects.toThrow("the name is empty");
  });

  test("refuses a folder without permission", async () => {
    chmodSync(folder, 0o555);
    await asOrdinaryUser(() =>
      expect(attempt(join(folder, "a.json"))).rejects.toThrow(`no permission to write in ${folder}; name`),
    );
    chmodSync(folder, 0o755);
  });
});

test("checking before the run leaves the folder and the file as they were", async () => {
  const path = join(folder, "a.json");
  await checkWritable(path);
  expect(readdirSync(folder)).toEqual([]);
  writeFileSync(path, "old");
  await checkWritable(path);
  expect(readFileSync(path, "utf8")).toBe("old");
});

describe("progress", () => {
  function run(total: number, { quiet = false, isTTY = false } = {}): string {
    const stream = Object.assign(new PassThrough(), {
      isTTY,
      columns: 80,
      cursorTo: () => true,
      clearLine: () => true,
    });
    const progress = createProgress({ total, quiet, stream });
    for (let i = 1; i <= total; i++) progress.step(`step-${i}`);
    progress.stop();
    progress.stop();
    return String(stream.read() ?? "");
  }

  test.each([1, 5, 12, 13, 66, 1000])(
    "of %i steps is at most 12 plain lines in a pipe, the last one included",
    (total) => {
      const lines = run(total).trimEnd().split("\n");
      expect(lines.length).toBeLessThanOrEqual(12);
      expect(lines.at(-1)).toBe(`${total}/${total} step-${total}`);
      for (const line of lines) expect(line).toMatch(/^\d+\/\d+ step-\d+$/);
    },
  );

  test("is a bar on a terminal, which is gone at the end with the cursor back", () => {
    const shown = run(66, { isTTY: true });
    expect(shown).toContain("66/66");
    expect(shown.lastIndexOf("\u001b[?25h")).toBeGreaterThan(shown.lastIndexOf("\u001b[?25l"));
  });

  test("is nothing at all when quiet", () => {
    expect(run(66, { quiet: true })).toBe("");
    expect(run(66, { quiet: true, isTTY: true })).toBe("");
  });
});

/** Permissions don't stop root, which is who runs the tests in a container. */
async function asOrdinaryUser(action: () => Promise<void>): Promise<void> {
  const nobody = 65534;
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(nobody);
  try {
    await action();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}
