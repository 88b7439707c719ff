// npm run bench [suite ...]: what the engine's parts cost, by tinybench. Needs a build (npm run build).
import { runBench } from "./bundle-bench.mjs";

await runBench("main");
