import { defineConfig } from "vitest/config";

/** Counts garbage collections in its own process, so that nothing else may have been in it. */
const ALONE = "test/bench/collections.test.ts";

export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Of two cores Vitest would use one.
    maxWorkers: "100%",
    projects: [
      // Loading the engine's host anew for each of 140 files would take longer than most of them.
      {
        extends: true,
        test: { name: "shared", include: ["test/**/*.test.ts"], exclude: [ALONE], isolate: false },
      },
      { extends: true, test: { name: "alone", include: [ALONE] } },
    ],
  },
});
