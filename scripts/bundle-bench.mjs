// Bundles what lies in bench/ into build/bench/, because Node 20 runs no TypeScript; packages stay outside.
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

/** Runs bench/<name>.ts in the repository's folder, with the arguments of this process. */
export async function runBench(name) {
  process.chdir(fileURLToPath(new URL("..", import.meta.url)));
  const outfile = `build/bench/${name}.js`;
  try {
    await build({
      entryPoints: [`bench/${name}.ts`],
      outfile,
      bundle: true,
      format: "esm",
      target: "es2022",
      platform: "node",
      packages: "external",
      logLevel: "silent",
    });
  } catch (error) {
    console.error(`${name}: esbuild failed\n${error.message}`);
    process.exitCode = 1;
    return;
  }
  await import(pathToFileURL(outfile));
}
