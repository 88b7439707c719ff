// A page compiles the code once and posts it to a worker, which makes an engine of it.
import { show } from "./show.js";

show(
  WebAssembly.compileStreaming(fetch("/package/dist/vring.wasm")).then(
    (module) =>
      new Promise((resolve, reject) => {
        const worker = new Worker("/page/worker.js", { type: "module" });
        worker.addEventListener("message", ({ data }) => resolve(data));
        worker.addEventListener("error", ({ message }) => reject(new Error(message)));
        worker.postMessage(module);
      }),
  ),
);
