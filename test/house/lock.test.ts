import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

interface Entry {
  version?: string;
  resolved?: string;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

const url = new URL("../../package-lock.json", import.meta.url);
const entries: Record<string, Entry> = JSON.parse(readFileSync(url, "utf8")).packages;

test("the lock file names no registry", () => {
  const named = Object.entries(entries).filter(([, entry]) => entry.resolved !== undefined);
  expect(named.map(([path]) => path)).toEqual([]);
});

test("the lock file has every platform's packages", () => {
  // npm leaves out those that a registry doesn't have, and then `npm ci` fails, on every platform.
  const missing = Object.entries(entries).flatMap(([path, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies })
      .filter((name) => !isLocked(path, name))
      .map((name) => `${path}: ${name}`),
  );
  expect(missing).toEqual([]);
  expect(Object.keys(entries).length).toBeGreaterThan(100);
});

/** Whether `name` is locked where Node looks for it from the package at `path`. */
function isLocked(path: string, name: string): boolean {
  for (let folder = path; ; folder = folder.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, "")) {
    if (entries[`${folder === "" ? "" : `${folder}/`}node_modules/${name}`]?.version !== undefined)
      return true;
    if (folder === "") return false;
  }
}
