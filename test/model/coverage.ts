/** How often each case was met: a run of random operations that never meets one shows nothing about it. */

export class Coverage {
  readonly #hits = new Map<string, number>();

  hit(name: string, times = 1): void {
    this.#hits.set(name, (this.#hits.get(name) ?? 0) + times);
  }

  of(name: string): number {
    return this.#hits.get(name) ?? 0;
  }

  /** Of these cases, those that were never met. */
  missing(names: readonly string[]): string[] {
    return names.filter((name) => this.of(name) === 0);
  }

  /** Every case that was met or should have been, three in a line. */
  table(names: readonly string[]): string {
    const all = [...new Set([...names, ...this.#hits.keys()])].sort();
    const cells = all.map((name) => `${name.padEnd(36, ".")}${String(this.of(name)).padStart(9, ".")}`);
    const lines: string[] = [];
    const rows = Math.ceil(cells.length / 3);
    for (let row = 0; row < rows; row++) {
      lines.push([cells[row], cells[row + rows], cells[row + 2 * rows]].filter(Boolean).join("   "));
    }
    return lines.join("\n");
  }
}
