// In a shared memory, which takes the other build. Needs a page that is isolated from other origins.
import { movePackets } from "./packets.js";
import { show } from "./show.js";

show(movePackets({ memory: new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true }) }));
