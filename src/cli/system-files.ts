/** Records of systems in files of the user's. */
import { readFileSync } from "node:fs";
import { ConfigError } from "../errors.ts";
import { parseSystem } from "../system/parse-record.ts";
import { SYSTEM_RECORDS, type SystemRecord } from "../system/records.ts";
import { UsageError } from "./errors.ts";

/**
 * A record from each file, in their order; each may extend those before it.
 * @throws UsageError, one line that names the file, the field, its value and what would be right
 */
export function readSystems(paths: readonly string[]): SystemRecord[] {
  const known: Record<string, SystemRecord> = { ...SYSTEM_RECORDS };
  return paths.map((path) => {
    const record = parse(path, known);
    known[record.name] = record;
    return record;
  });
}

function parse(path: string, known: Readonly<Record<string, SystemRecord>>): SystemRecord {
  const text = read(path);
  try {
    return parseSystem(JSON.parse(text), known);
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(`${path}: ${error.message}`);
    if (error instanceof SyntaxError) throw new UsageError(`${path}: it is no JSON: ${error.message}`);
    throw error;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const reasons: Record<string, string> = {
      ENOENT: "there is no such file; name a JSON file with a record",
      ENOTDIR: "there is no such file; name a JSON file with a record",
      EISDIR: "it is a folder; name a JSON file in it",
      EACCES: "no permission to read it; name a file that you may read",
    };
    throw new UsageError(`cannot read ${path}: ${reasons[code] ?? `the system says ${code}`}`);
  }
}
