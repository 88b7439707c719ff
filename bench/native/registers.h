// Comes first in every file with a hot loop. There are more values in the loops than registers; GCC
// would keep some of them in vector registers, from which it takes several cycles to get one back. A
// spill to the stack costs less.

#ifndef REGISTERS_H
#define REGISTERS_H

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#pragma GCC target("general-regs-only")
#endif

#endif
