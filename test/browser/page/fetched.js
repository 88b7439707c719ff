// The engine finds its code beside the module that it was imported from.
import { movePackets } from "./packets.js";
import { show } from "./show.js";

show(movePackets({}));
