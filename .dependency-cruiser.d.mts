import type { IConfiguration } from "dependency-cruiser";

/** A room of the house: its name in a rule, and the paths of its files. */
export declare const rooms: { house: "assembly" | "src"; height: number; name: string; path: string }[];

declare const configuration: IConfiguration;
export default configuration;
