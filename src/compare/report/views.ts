/** Which view a comparison's reports take: all its cases are of one kind. */
import { type Comparison, isSystemCase } from "../result.ts";
import { driverView } from "./driver-view.ts";
import { ringView } from "./ring-view.ts";
import { systemView } from "./system-view.ts";
import type { View } from "./view.ts";

export function viewOf({ cases, systems }: Pick<Comparison, "cases" | "systems">): View {
  if (systems !== undefined) return systemView;
  return cases.some(isSystemCase) ? driverView : ringView;
}
