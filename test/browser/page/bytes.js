// Under a policy that lets the page fetch nothing: the code comes as bytes that a script brought along.
import { movePackets } from "./packets.js";
import { show } from "./show.js";
import code from "./wasm-bytes.js";

show(movePackets({ module: code }));
