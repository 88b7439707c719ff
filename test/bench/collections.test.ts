import { expect, it } from "vitest";
import { countCollections } from "../../bench/collections.ts";

it("ten million packets through the burst calls collect no garbage, and one object a burst does", async () => {
  const { ours, control } = await countCollections();
  expect(control).toBeGreaterThan(0);
  expect(ours).toBe(0);
});
