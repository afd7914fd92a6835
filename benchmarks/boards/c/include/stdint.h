/* Where the compiler comes without a C library. */
#include <stdint-gcc.h>
