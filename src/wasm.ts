/** The engine's exports, typed by the build. */
export type VringExports = Awaited<ReturnType<typeof import("../build/vring.js").instantiate>>;
