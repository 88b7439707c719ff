// A copy of what tests of the engine need, in a folder of its own, with an engine built from its sources.
import { spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

const COPIED = [
  "assembly",
  "asconfig.json",
  "captures",
  "docs",
  "src",
  "test",
  "package.json",
  "tsconfig.json",
  "vitest.config.ts",
];
const TARGETS = { vring: "release", "vring-shared": "shared" };
export const BUILDS = Object.keys(TARGETS);

/** Processes that run, to be ended with this one. */
const children = new Set();

/** The compiler keeps its state in module variables: one compilation at a time. */
let compiling = Promise.resolve();

export class Workspace {
  /** `root` is the project; `from` another workspace when this one is to have the very same files. */
  constructor(root, folder, from = root) {
    this.root = root;
    this.folder = folder;
    mkdirSync(join(folder, "build"), { recursive: true });
    for (const name of COPIED) cpSync(join(from, name), join(folder, name), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  }

  has(file) {
    return existsSync(join(this.folder, file));
  }
  read(file) {
    return readFileSync(join(this.folder, file), "utf8");
  }
  write(file, content) {
    writeFileSync(join(this.folder, file), content);
  }
  install(build, wasm) {
    this.write(`build/${build}.wasm`, wasm);
  }

  /** Test files at and below test/NAME; none when there is no such folder. */
  testFiles(name) {
    if (!this.has(`test/${name}`)) return [];
    return readdirSync(join(this.folder, "test", name), { recursive: true })
      .filter((file) => file.endsWith(".test.ts"))
      .sort()
      .map((file) => `test/${name}/${file}`);
  }

  /** The bytes of one build of the sources here. @throws when they do not compile */
  compile(build) {
    const wasm = compiling.then(async () => {
      const { main: asc } = await import("assemblyscript/asc");
      const files = new Map();
      const options = ["--config", "asconfig.json", "--target", TARGETS[build], "--baseDir", this.folder];
      const { error, stderr } = await asc([...options, "--outFile", `${build}.wasm`], {
        writeFile: (name, content) => files.set(name, content),
      });
      if (error) throw new Error(`it does not compile: ${stderr}`);
      return Buffer.from(files.get(`${build}.wasm`));
    });
    compiling = wasm.catch(() => {});
    return wasm;
  }

  /**
   * Runs test files one after the other, up to the `bail`th failure if that is not 0: those that failed, as
   * {id, title}. A run of more than `milliseconds` is ended and counts as one failure.
   */
  test(files, { bail, milliseconds }) {
    const report = join(this.folder, "report.json");
    rmSync(report, { force: true });
    const args = ["run", ...files, "--no-file-parallelism", "--no-isolate", "--no-cache", `--bail=${bail}`];
    return new Promise((resolve, reject) => {
      // A process group of its own, because the tests run in a child of this child.
      const child = spawn(
        process.execPath,
        [
          join(this.root, "node_modules/vitest/vitest.mjs"),
          ...args,
          "--reporter=json",
          `--outputFile=${report}`,
        ],
        { cwd: this.folder, detached: true, stdio: ["ignore", "ignore", "pipe"] },
      );
      children.add(child);
      let said = "";
      child.stderr.on("data", (data) => {
        said += data;
      });
      let hangs = false;
      const timer = setTimeout(() => {
        hangs = true;
        end(child);
      }, milliseconds);
      child.on("error", reject);
      child.on("close", (code) => {
        clearTimeout(timer);
        children.delete(child);
        if (hangs) {
          const title = `a test of ${files.map(short).join(", ")} does not end`;
          return resolve([{ id: title, title }]);
        }
        if (!existsSync(report)) return reject(new Error(`vitest left no report: ${said.trim()}`));
        const failed = this.#failures(JSON.parse(readFileSync(report, "utf8")));
        if (code !== 0 && failed.length === 0) return reject(new Error(`vitest failed: ${said.trim()}`));
        resolve(failed);
      });
    });
  }

  #failures({ testResults }) {
    return testResults.flatMap(({ name, status, message, assertionResults }) => {
      const file = short(name.slice(this.folder.length + 1));
      const failed = assertionResults.filter((result) => result.status === "failed");
      if (failed.length === 0 && status === "failed") {
        // Without the folder, which is another in each workspace.
        const title = `${file}: ${message.split("\n")[0].replaceAll(this.folder, "")}`;
        return [{ id: title, title }];
      }
      return failed.map(({ title, fullName }) => ({ id: `${file} ${fullName}`, title: `${file}: ${title}` }));
    });
  }
}

/** What fails in a workspace without a mutant: such a test would kill every one. */
export class Baseline {
  #sound;
  #milliseconds;
  #runs = new Map();
  #last = Promise.resolve();

  constructor(sound, milliseconds) {
    this.#sound = sound;
    this.#milliseconds = milliseconds;
  }

  /** Failures of one test file; each file is run once. */
  #of(file) {
    if (!this.#runs.has(file)) {
      const run = this.#last.then(() =>
        this.#sound.test([file], { bail: 0, milliseconds: this.#milliseconds }),
      );
      this.#last = run.catch(() => {});
      this.#runs.set(file, run);
    }
    return this.#runs.get(file);
  }

  async of(files) {
    return (await Promise.all(files.map((file) => this.#of(file)))).flat();
  }

  async failing() {
    return this.of([...this.#runs.keys()]);
  }
}

/** Ends every run of tests that is under way. */
export function endTests() {
  for (const child of children) end(child);
}

function end(child) {
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}

/** `test/ring/driver.test.ts` as `ring/driver`. */
function short(file) {
  return file.replace(/^test\//, "").replace(/\.test\.ts$/, "");
}
