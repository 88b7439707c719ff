/** Every suite, small: what it says it did is the same each time, and the same for arms that do the same work. */
import { describe, expect, it } from "vitest";
import { digestOfStaged } from "../../bench/packets.ts";
import { formatSuite, runSuite, type Task } from "../../bench/suite.ts";
import { suites } from "../../bench/suites.ts";

const NAMES = ["rings", "tables", "allocator", "copies", "border", "offloads", "dma", "pages"];

it("the suites have these names", () => {
  expect(suites.map((suite) => suite.name)).toEqual(NAMES);
});

describe.each(suites)("suite $name", (suite) => {
  it("comes to the same digests whenever it is set up, and after it was run", async () => {
    const first = await suite.open();
    const digests = digestsOf(first);
    expect(new Set(digests.keys()).size).toBe(first.length);
    for (const task of first) task.run();
    const again = digestsOf(await suite.open());
    expect(again).toEqual(digests);
    if (suite.name !== "allocator") expect(digestsOf(first)).toEqual(digests);
    console.log(`${suite.name}: ${first.length} tasks, ${new Set(digests.values()).size} digests`);
  });

  it("comes to the same digest in all tasks that do the same work", async () => {
    const works = new Map<string, string>();
    for (const task of await suite.open()) {
      const digest = task.digest();
      expect(digest, `${task.name}, ${task.work}`).toBe(works.get(task.work) ?? digest);
      works.set(task.work, digest);
    }
  });
});

it("what the rings deliver is what was staged for them", async () => {
  const works = new Map((await suites[0].open()).map((task) => [task.work, task.digest()]));
  for (const n of [1, 2, 3, 4]) expect(works.get(`1024 packets of ${n}`)).toBe(digestOfStaged(n));
});

it("a suite is run in rounds and printed with its figures", async () => {
  const [suite] = suites;
  const tasks = (await suite.open()).slice(0, 2);
  const results = await runSuite(tasks, { rounds: 2, time: 0, warmup: 0 });
  expect(results.map(({ name }) => name)).toEqual(tasks.map(({ name }) => name));
  expect(results[0].ratio).toEqual({ value: 1, low: 1, high: 1 });
  const text = formatSuite(suite, results);
  for (const { name, digest } of results) expect(text).toMatch(new RegExp(`${name}.*${digest}`));
});

function digestsOf(tasks: Task[]): Map<string, string> {
  return new Map(tasks.map((task) => [task.name, task.digest()]));
}
