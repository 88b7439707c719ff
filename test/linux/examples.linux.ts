// The examples for v86: the program for Node, and the page in a real browser.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { type Browser, chromium } from "playwright-core";
import { createServer, type ViteDevServer } from "vite";
import { afterEach, expect, test } from "vitest";

const MINUTES = 60_000;
const executablePath = "/usr/bin/chromium";
const flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];

let browser: Browser | undefined;
let server: ViteDevServer | undefined;
afterEach(async () => {
  await browser?.close();
  await server?.close();
});

test("examples/v86/boot.mjs boots, pings, and says what the card saw", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["examples/v86/boot.mjs"]);
  expect(stdout).toContain("3 packets transmitted, 3 packets received, 0% packet loss");
  expect(stdout).toMatch(/card: split rings of 256, [1-9]\d* frames sent and [1-9]\d* received/);
});

test("examples/v86/index.html shows the guest's ping and both rings at work", async (context) => {
  if (!existsSync(executablePath)) context.skip(`${executablePath} is not there`);
  server = await createServer({
    root: "examples/v86",
    configFile: "examples/v86/vite.config.js",
    logLevel: "error",
  });
  await server.listen();
  browser = await chromium.launch({ executablePath, args: flags });
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(server.resolvedUrls?.local[0] ?? "");
  const shown = (pattern: RegExp) =>
    page.waitForFunction(
      ([source]) => new RegExp(source).test(document.body.textContent ?? ""),
      [pattern.source],
      {
        timeout: 4 * MINUTES,
      },
    );
  await shown(/seq=[1-9]\d* ttl=\d+ time=/);
  await shown(/received: [1-9]\d* packets, [1-9]\d* a second; split ring of 256, avail at \d+, used at \d+/);
  await shown(/sent: [1-9]\d* packets, [1-9]\d* a second; split ring of 256/);
  await page.screenshot({ path: "build/guest/example.png" });
  expect(errors).toEqual([]);
});
