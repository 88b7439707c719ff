// npm run limit: the engine against the C twin in bench/native. Needs a build (npm run build).
import { runBench } from "./bundle-bench.mjs";

await runBench("limit/main");
