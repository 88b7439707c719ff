// The numeric types of assembly/abi.ts and assembly/spec.ts, which the host imports as they are.
type u32 = number;
