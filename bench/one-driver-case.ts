/** A comparison of drivers in which nothing but the drivers, backends and directions varies: what the rest is then. */
import type { SystemDimensions } from "../src/compare/system-arms.ts";

export const ONE_DRIVER_CASE: Omit<SystemDimensions, "systems" | "dmas" | "directions"> = {
  as: "drivers",
  leaveOut: false,
  rxKinds: [],
  holds: [0],
  drop: "in-order",
  socket: false,
  queueCounts: [1],
  rings: ["split"],
  ringSizes: [256],
  batches: [32],
  touches: ["copy"],
  sgs: [2],
  tables: ["heap"],
  thresholds: [4],
  traceOps: 0,
};
