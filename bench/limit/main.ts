/** `npm run limit`: the engine against the C twin and its other bars, one line for each. */
import { availableParallelism, cpus } from "node:os";
import { COLLECTION_PACKETS, countCollections } from "../collections.ts";
import { dmaLines } from "./dma.ts";
import { driverLines } from "./drivers.ts";
import { CompilerMissing, compileNative, type NativeBuild, Twin } from "./native.ts";
import { offloadLines } from "./offloads.ts";
import { pageLines } from "./pages.ts";
import { pathLines } from "./paths.ts";
import { ageLines, ringSizeLines } from "./recycling.ts";
import { ringLines } from "./rings.ts";
import { tableLines } from "./tables.ts";
import { yardstickLines } from "./yardstick.ts";

try {
  await report(compileNative());
} catch (error) {
  if (error instanceof CompilerMissing) {
    console.log(error.message);
  } else {
    console.error(`limit: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}

async function report({ compiler, full, bare, yardstick }: NativeBuild): Promise<void> {
  const { node, v8 } = process.versions;
  console.log(
    `${cpus()[0].model.trim()}, ${availableParallelism()} cores; Node ${node}, V8 ${v8}; ${compiler}`,
  );
  console.log(
    "ring of 256, bursts of 32, no payload touched; medians and [95 % intervals] of interleaved rounds\n",
  );
  const twin = new Twin(full);
  print(await ringLines(twin));
  print(await tableLines(twin));
  print(await offloadLines(twin));
  print(await dmaLines());
  print(await pathLines(twin));
  twin.close();
  print(await pageLines());
  print([await collectionLine()]);
  print(await ringSizeLines());
  print(await ageLines());
  print(await yardstickLines(bare, yardstick));
  print(await driverLines());
}

async function collectionLine(): Promise<string> {
  const { ours, control } = await countCollections();
  const meets = ours === 0 && control > 0 ? "meets" : "falls short";
  return (
    `garbage collections in ${COLLECTION_PACKETS / 1e6} million packets through the burst calls, N=2: ${ours} ` +
    `(with an object a burst: ${control}), bar 0: ${meets}`
  );
}

function print(lines: string[]): void {
  for (const line of lines) console.log(line);
}
