import { testLong } from "./long.ts";

testLong(1);
