/** What a WebAssembly module is made of, read from its sections: as much as the tests ask about. */

/** Section ids of the core specification, 5.5.2. */
const SECTIONS = [
  "custom",
  "type",
  "import",
  "function",
  "table",
  "memory",
  "global",
  "export",
  "start",
  "element",
  "code",
  "data",
  "data count",
] as const;
export type SectionName = (typeof SECTIONS)[number];

export interface WasmImport {
  module: string;
  name: string;
  kind: "function" | "table" | "memory" | "global";
}

export interface WasmModule {
  sections: SectionName[];
  imports: WasmImport[];
  globals: { mutable: boolean }[];
}

const KINDS = ["function", "table", "memory", "global"] as const;

class Reader {
  readonly bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  byte(): number {
    return this.bytes[this.at++];
  }

  /** An unsigned number, LEB128. */
  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  name(): string {
    const length = this.number();
    this.at += length;
    return new TextDecoder().decode(this.bytes.subarray(this.at - length, this.at));
  }

  /** Minimum and, if there is one, maximum. */
  limits(): void {
    const flags = this.byte();
    this.number();
    if (flags & 1) this.number();
  }

  /** A constant expression, up to its end. Only the instructions that compilers write for globals. */
  constant(): void {
    for (let opcode = this.byte(); opcode !== 0x0b; opcode = this.byte()) {
      if (opcode === 0x41 || opcode === 0x42 || opcode === 0x23) this.number();
      else if (opcode === 0x43) this.at += 4;
      else if (opcode === 0x44) this.at += 8;
      else throw new Error(`opcode ${opcode} in a constant expression is not known to this reader`);
    }
  }
}

export function readModule(bytes: Uint8Array): WasmModule {
  const reader = new Reader(bytes, 8);
  const module: WasmModule = { sections: [], imports: [], globals: [] };
  while (reader.at < bytes.length) {
    const id = reader.byte();
    const end = reader.number() + reader.at;
    module.sections.push(SECTIONS[id]);
    const body = new Reader(bytes, reader.at);
    if (SECTIONS[id] === "import") module.imports = readImports(body);
    if (SECTIONS[id] === "global") module.globals = readGlobals(body);
    reader.at = end;
  }
  return module;
}

function readImports(body: Reader): WasmImport[] {
  return Array.from({ length: body.number() }, () => {
    const module = body.name();
    const name = body.name();
    const kind = KINDS[body.byte()];
    if (kind === "function") body.number();
    else if (kind === "global") body.at += 2;
    else {
      if (kind === "table") body.byte();
      body.limits();
    }
    return { module, name, kind };
  });
}

function readGlobals(body: Reader): { mutable: boolean }[] {
  return Array.from({ length: body.number() }, () => {
    body.byte();
    const mutable = body.byte() === 1;
    body.constant();
    return { mutable };
  });
}
