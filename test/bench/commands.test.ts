/** The two commands, as far as they can be run without measuring. */
import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { takeTurns, timesOf, verdictLine } from "../../bench/limit/rounds.ts";

it("npm run bench names the suites when it is asked for one that it does not have", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/bench.mjs", "rings", "nonsense"], {
    encoding: "utf8",
  });
  expect(status).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toBe(
    'bench: there is no suite "nonsense"; the suites are rings, tables, allocator, copies, border, offloads, dma, pages\n',
  );
});

it("npm run limit without a C compiler says what is missing, and is no failure", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/limit.mjs"], {
    encoding: "utf8",
    env: { PATH: "/nowhere" },
  });
  expect(stderr).toBe("");
  expect(stdout).toBe("npm run limit needs a C compiler: apt-get install gcc libc6-dev\n");
  expect(status).toBe(0);
});

it("the arms of a round take turns, forwards and then backwards", async () => {
  const order: string[] = [];
  const arm = (name: string, ns: number) => ({
    name,
    sample: () => {
      order.push(name);
      return ns;
    },
  });
  const figures = await takeTurns([arm("A", 6), arm("B", 2)], 4);
  expect(order.join("")).toBe("ABBAABBA");
  expect(timesOf(figures, "A", "B").value).toBeCloseTo(3, 12);
});

it("a verdict is that of the worst case, from whichever side the bar is", () => {
  const found = [
    { where: "N=1", interval: { value: 1.02, low: 1, high: 1.04 } },
    { where: "N=2", interval: { value: 1.12, low: 1.1, high: 1.14 } },
  ];
  expect(verdictLine("a measure", { atMost: 1.1 }, found)).toBe(
    "a measure: worst at N=2, 1.12 times [1.10, 1.14], bar at most 1.10: falls short",
  );
  expect(verdictLine("a measure", { atLeast: 1 }, found)).toBe(
    "a measure: worst at N=1, 1.02 times [1.00, 1.04], bar at least 1.00: meets",
  );
});
