import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { pack, temporaryFolder, unpack } from "../package/packed.ts";

const executablePath = "/usr/bin/chromium";
const missing = `the browser tests are skipped: ${executablePath} is not there; apt-get install chromium brings it`;
const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const types: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
};

const folder = temporaryFolder();
let browser: Browser;
let server: Server;
let origin: string;

beforeEach((context) => {
  if (!existsSync(executablePath)) context.skip(missing);
});

beforeAll(async () => {
  // Said aloud, because the reporter keeps the note of a skipped test to itself.
  if (!existsSync(executablePath)) return console.warn(missing);
  unpack(pack(folder.path), folder.path);
  server = createServer((request, response) =>
    answer(new URL(request.url ?? "/", "http://localhost"), response),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  browser = await chromium.launch({ executablePath, args: flags });
});

afterAll(async () => {
  await browser?.close();
  server?.close();
  folder.remove();
});

/** Serves /package (the unpacked tarball), /page (the scripts beside this file) and a page for each of those. */
function answer({ pathname, searchParams }: URL, response: ServerResponse): void {
  const policy = searchParams.get("policy");
  if (policy !== null) response.setHeader("Content-Security-Policy", policy);
  if (searchParams.has("isolated")) {
    response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
    response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  }
  const content = contentOf(normalize(pathname));
  response.setHeader("Content-Type", types[extname(pathname)] ?? "text/plain");
  response.statusCode = content === undefined ? 404 : 200;
  response.end(content);
}

function contentOf(path: string): string | Buffer | undefined {
  if (path.endsWith(".html")) {
    return `<!doctype html><title>vring</title><script type="module" src="/page${path.replace(".html", ".js")}"></script>`;
  }
  if (path === "/page/wasm-bytes.js") {
    const bytes = readFileSync(join(folder.path, "package/dist/vring.wasm"));
    return `export default Uint8Array.from([${bytes.join()}]);`;
  }
  const file = path.startsWith("/package/")
    ? join(folder.path, path)
    : join(fileURLToPath(new URL(".", import.meta.url)), path);
  return existsSync(file) ? readFileSync(file) : undefined;
}

/** What the script of this name came to, in a page that is served with these parameters. */
async function resultOf(script: string, parameters: Record<string, string> = {}): Promise<unknown> {
  const page = await browser.newPage();
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  try {
    await page.goto(`${origin}/${script}.html?${new URLSearchParams(parameters)}`);
    const html = page.locator("html[data-result]");
    await html.waitFor({ state: "attached", timeout: 30_000 }).catch((error: Error) => {
      throw new Error(`${script}: no result; the page said: ${said.join("\n")}`, { cause: error });
    });
    return JSON.parse((await html.getAttribute("data-result")) ?? "null");
  } finally {
    await page.close();
  }
}

const all = { split: 500, packed: 500 };

test("the packed files load in a browser without bundler or import map, and packets arrive", async () => {
  expect(await resultOf("fetched")).toEqual(all);
});

test("a compiled module that was posted to a worker moves packets there", async () => {
  expect(await resultOf("posted")).toEqual(all);
});

test("bytes that the caller has are enough where a policy lets the page fetch nothing", async () => {
  const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'";
  expect(await resultOf("bytes", { policy })).toEqual(all);
  // The control: under this policy the engine can't load its code itself, and says so.
  expect(await resultOf("fetched", { policy })).toEqual({ error: expect.stringContaining("fetch") });
});

test("a shared memory works in an isolated page", async () => {
  expect(await resultOf("shared", { isolated: "" })).toEqual(all);
});
