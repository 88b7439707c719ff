/** The recorded operations of a case, one a line. */
import { operationLines } from "../../system/operations.ts";
import { type CaseResult, isSystemCase } from "../result.ts";

/** Cases with recorded operations: a title each, and the operations as lines. */
export function operationBlocks(cases: readonly CaseResult[]): { title: string; lines: string[] }[] {
  return cases.filter(isSystemCase).flatMap(({ id, operations }) => {
    if (operations === undefined) return [];
    return [{ title: `The first operations of ${id}:`, lines: operationLines(operations) }];
  });
}
