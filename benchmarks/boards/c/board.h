/* What the program of a board asks of it, and of what it runs. */
#ifndef BOARD_H
#define BOARD_H
#include <stddef.h>
#include <stdint.h>

/* board: start-up, counter and semihosting of a processor (arm.c, riscv.c) */
void board_count_from_zero(void);
uint32_t board_counted(void);       /* since then, in units of its own; all ones where it was too long */
uint32_t board_instructions(uint32_t units);
uintptr_t board_call(uintptr_t operation, const void *argument);
void board_known_loop(uint32_t rounds);
void board_exit(int status);

/* what is run: one inference; buffers of its own size, which are no part of it */
extern const uint32_t program_input_bytes, program_output_bytes;
extern uint32_t program_input[], program_output[];
void program_run(void);
#endif
