export interface Mutant {
  name: string;
  mechanism: string;
  half: string;
  file: string;
  edits: { find: string; replace: string }[];
  build: "vring" | "vring-shared";
  tests: string[];
}
export interface Result extends Pick<Mutant, "name" | "mechanism" | "half"> {
  killedBy?: string;
  why?: string;
}
export const mutants: readonly Mutant[];
export function fits(
  mutant: Pick<Mutant, "file" | "edits">,
  read: (file: string) => string,
): string | undefined;
export function mutate(mutant: Pick<Mutant, "edits">, text: string): string;
export function table(results: readonly Result[]): string;
export function withTable(text: string, lines: string): string;
