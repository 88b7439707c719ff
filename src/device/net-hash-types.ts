/** The hash types that the device half supports: all that the specification names (5.1.9.4.3). */
export const NET_HASH_TYPES = 0x1ff;
