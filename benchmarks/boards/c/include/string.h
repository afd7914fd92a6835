/* Where the compiler comes without a C library. */
#ifndef BOARD_STRING_H
#define BOARD_STRING_H
#include <stddef.h>
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
#endif
