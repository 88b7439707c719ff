// What a driver half with ACCESS_PLATFORM has mapped for each outstanding buffer, in private memory:
// nothing is ever read back from a table or a ring (H-D-04).
//
//   record   readable u16, n u16, table u32 | {handle, bytes} of element 0 | ... | of element maxSgs - 1
//
// Bytes of a record for buffers of up to `maxSgs` elements.

import { SEGMENT } from "../abi";

export function mappingBytes(maxSgs: u32): u32 {
  return (maxSgs + 1) * SEGMENT;
}
