/** Result files: written whole or not at all. */
import { randomBytes } from "node:crypto";
import { appendFile, type FileHandle, open, realpath, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** A result file cannot be written; the message is one line that says which, why, and what would be right. */
export class OutputFileError extends Error {
  override readonly name = "OutputFileError";
  /** The path as it was given. */
  readonly path: string;
  /** Node's code of what went wrong, such as `EACCES`. */
  readonly code: string;

  constructor(path: string, code: string, reason: string) {
    super(`cannot write ${path}: ${reason}`);
    this.path = path;
    this.code = code;
  }
}

/**
 * Replaces the file at `path`, so that whoever opens it sees the old content or all of the new, also when the program
 * is killed halfway. A symbolic link is followed. A pipe or a device, and whatever `/dev/stdout` is tied to, is written
 * to as it is.
 * @throws OutputFileError
 */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const target = await resolveTarget(path);
  try {
    if (target.replaceable) await replace(target, content);
    else await appendFile(target.path, content);
  } catch (error) {
    throw explain(path, error);
  }
}

/**
 * Refuses what {@link writeWhole} could not write, before a long run is spent on it: creates a file beside `path` and
 * removes it again.
 * @throws OutputFileError
 */
export async function checkWritable(path: string): Promise<void> {
  const target = await resolveTarget(path);
  if (!target.replaceable) return;
  try {
    const probe = temporaryName(target.path);
    await (await open(probe, "wx")).close();
    await unlink(probe);
  } catch (error) {
    throw explain(path, error);
  }
}

interface Target {
  /** The file itself, behind any symbolic link. */
  path: string;
  /** Whether a new file may take its place; not that of a pipe, nor of a file that this program has open as stdout. */
  replaceable: boolean;
  /** Permissions of the file that is there, which its successor takes over. */
  mode: number;
}

const NEW_FILE_MODE = 0o666;

async function resolveTarget(path: string): Promise<Target> {
  if (path === "") throw new OutputFileError(path, "ENOENT", "the name is empty; give the file a name");
  let found: Awaited<ReturnType<typeof stat>>;
  try {
    found = await stat(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return { path, replaceable: true, mode: NEW_FILE_MODE };
    throw explain(path, error);
  }
  if (found.isDirectory()) throw explain(path, { code: "EISDIR" });
  if (!found.isFile() || path.startsWith("/dev/")) return { path, replaceable: false, mode: NEW_FILE_MODE };
  return { path: await realpath(path), replaceable: true, mode: found.mode & 0o777 };
}

async function replace({ path, mode }: Target, content: string | Uint8Array): Promise<void> {
  const temporary = temporaryName(path);
  const file = await open(temporary, "wx", mode);
  try {
    await fill(file, content);
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary);
    throw error;
  }
}

/** On the disk before it is renamed: a crash must not leave the new name with nothing behind it. */
async function fill(file: FileHandle, content: string | Uint8Array): Promise<void> {
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** In the same folder, because a rename across file systems isn't one step. */
function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
}

function explain(path: string, error: unknown): OutputFileError {
  const code = codeOf(error);
  const folder = dirname(path);
  const reasons: Record<string, string> = {
    ENOENT: `the folder ${folder} doesn't exist; create it or name another`,
    ENOTDIR: `${folder} isn't a folder; name a file in one`,
    EISDIR: "it is a folder; name a file in it",
    EACCES: `no permission to write in ${folder}; name a folder that you may write to`,
    EPERM: `no permission to write in ${folder}; name a folder that you may write to`,
    EROFS: `${folder} is on a read-only file system; name a folder that you may write to`,
    ENOSPC: `no space is left in ${folder}; make room or name another folder`,
    ENAMETOOLONG: "the name is too long; give it a shorter one",
  };
  return new OutputFileError(path, code, reasons[code] ?? `the system says ${code}`);
}

function codeOf(error: unknown): string {
  return error instanceof Object && "code" in error ? String(error.code) : String(error);
}
