import { movePackets } from "./packets.js";

addEventListener("message", async ({ data: module }) => {
  try {
    postMessage(await movePackets({ module }));
  } catch (error) {
    postMessage({ error: `${error.name}: ${error.message}` });
  }
});
