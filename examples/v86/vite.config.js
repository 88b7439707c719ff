// npx vite examples/v86, from the project's folder after `npm run build` and `node test/guest/build.mjs`.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const project = fileURLToPath(new URL("../..", import.meta.url));

export default defineConfig({
  publicDir: `${project}/build/guest`,
  resolve: { alias: { "vring/v86": `${project}/dist/v86.js` } },
  server: { fs: { allow: [project] } },
});
