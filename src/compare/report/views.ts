/** Which view a comparison's reports take: all its cases are of one kind. */
import { type CaseResult, isDriverCase } from "../result.ts";
import { driverView } from "./driver-view.ts";
import { ringView } from "./ring-view.ts";
import type { View } from "./view.ts";

export function viewOf(cases: readonly CaseResult[]): View {
  return cases.some(isDriverCase) ? driverView : ringView;
}
