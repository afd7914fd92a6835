/* Start-up of RV32 on qemu's virt: the stack, .bss (.data is loaded where it is), main. */
#include "board.h"

extern uint32_t _bss_start, _bss_end;
int main(void);

void _begin(void)
{
  uint32_t *to;
  for (to = &_bss_start; to < &_bss_end;) *to++ = 0;
  board_exit(main());
}

__asm__(".section .vectors,\"ax\"\n"
        ".globl _reset\n"
        "_reset:\n"
        " la sp, _stack_top\n"
        " la t0, _trapped\n"
        " .option push\n .option arch, +zicsr\n"
        " csrw mtvec, t0\n"
        " .option pop\n"
        " j _begin\n"
        " .balign 4\n"
        "_trapped:\n"
        " li a0, 3\n"
        " j board_exit\n"
        ".text\n");

/* With -icount shift=0 the counter of cycles counts instructions. */
static uint32_t started;

static uint32_t now(void)
{
  uint32_t counted;
  __asm__ volatile(".option push\n.option arch, +zicsr\ncsrr %0, mcycle\n.option pop" : "=r"(counted));
  return counted;
}

void board_count_from_zero(void)
{
  started = now();
}

uint32_t board_counted(void)
{
  return now() - started;
}

uint32_t board_instructions(uint32_t units)
{
  return units;
}

uintptr_t board_call(uintptr_t operation, const void *argument)
{
  register uintptr_t a0 __asm__("a0") = operation;
  register const void *a1 __asm__("a1") = argument;
  __asm__ volatile(".option push\n.option norvc\n.balign 16\n"
                   "slli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop"
                   : "+r"(a0)
                   : "r"(a1)
                   : "memory");
  return a0;
}

void board_known_loop(uint32_t rounds) /* two instructions a round */
{
  __asm__ volatile("1: addi %0, %0, -1\n bnez %0, 1b" : "+r"(rounds));
}
