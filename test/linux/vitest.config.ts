import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: fileURLToPath(new URL(".", import.meta.url)),
    include: ["*.linux.ts"],
    // A guest is a process of its own; two at a time are as much as two cores can do.
    maxWorkers: 2,
    // A loaded machine is slow; what hangs is found by the time limit of each command in the guest.
    testTimeout: 900_000,
    hookTimeout: 300_000,
  },
});
