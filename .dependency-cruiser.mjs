// The import rule: imports point downward only. test/house/imports.test.ts checks it in every test run;
// by hand: npx depcruise --config .dependency-cruiser.mjs assembly src

/** The engine's rooms, lowest first: a room may import from itself and from those above it in this list. */
const assembly = {
  "abi, spec": "(abi|spec)\\.ts$",
  mem: "mem/",
  "device, dma": "(device\\.ts$|dma/)",
  ring: "ring/",
  "net, rx": "(net|rx)/",
  path: "path/",
  "offsets, bench": "(offsets|bench)\\.ts$",
  index: "index\\.ts$",
};

/** The host's rooms, lowest first. What lies in src itself, index.ts aside, is the core around the engine. */
const src = {
  net: "net/",
  core: "(?!index\\.ts$)[^/]+\\.ts$",
  device: "device/",
  driver: "driver/",
  transport: "transport/",
  adapter: "adapter/",
  system: "system/",
  compare: "compare/",
  index: "index\\.ts$",
  cli: "cli/",
};

export const rooms = [...inOrder("assembly", assembly), ...inOrder("src", src)];

function inOrder(house, list) {
  return Object.entries(list).map(([name, pattern], height) => ({
    house,
    height,
    name: `${house}: ${name}`,
    path: `^${house}/${pattern}`,
  }));
}

const downward = rooms.flatMap((room) => {
  const higher = rooms.filter((other) => other.house === room.house && other.height > room.height);
  if (higher.length === 0) return [];
  const path = higher.map((other) => other.path);
  return { name: `upward from ${room.name}`, severity: "error", from: { path: room.path }, to: { path } };
});

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    ...downward,
    {
      name: "out of assembly",
      comment: "The engine imports nothing from outside.",
      severity: "error",
      from: { path: "^assembly/" },
      to: { pathNot: "^assembly/" },
    },
    {
      name: "into assembly",
      comment: "The host shares names and numbers with the engine; the rest it reaches through exports.",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^assembly/", pathNot: "^assembly/(abi|spec)\\.ts$" },
    },
    {
      name: "out of src",
      comment: "What is shipped needs nothing that isn't: of build/ only the types of the exports.",
      severity: "error",
      from: { path: "^src/" },
      to: {
        dependencyTypesNot: ["core"],
        path: "^[^/]+/",
        pathNot: "^(src|assembly|node_modules)/|^build/vring\\.(js|d\\.ts)$",
      },
    },
    {
      name: "Node outside of the command line",
      comment: "Everything else runs in a browser.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(cli/|engine\\.ts$)" },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "Node in the engine, but for types",
      comment: "The engine asks the running process for node:fs; it may name its types.",
      severity: "error",
      from: { path: "^src/engine\\.ts$" },
      to: { dependencyTypes: ["core"], dependencyTypesNot: ["type-only", "type-import"] },
    },
    {
      name: "cycle",
      comment: "Types may refer to each other, as a handle and its engine do; code may not.",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only", "type-import"] } },
    },
    {
      name: "not found",
      severity: "error",
      from: { path: "^(assembly|src)/" },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: ["node_modules", "^build/"] },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "types", "node", "default"],
      mainFields: ["module", "main", "types"],
    },
  },
};
