/* Start-up of a Cortex-M: a vector table, .data and .bss, the floating-point unit where there is one, main. */
#include "board.h"

extern uint32_t _data_start, _data_end, _data_load, _bss_start, _bss_end, _stack_top;
int main(void);
void _reset(void);

static void _stop(void)
{
  board_exit(3);
}

__attribute__((section(".vectors"), used)) static void (*const _vectors[16])(void) = {
    (void (*)(void))(uintptr_t)&_stack_top, _reset, _stop, _stop, _stop, _stop, _stop, 0, 0, 0, 0, _stop, _stop, 0,
    _stop, _stop};

void _reset(void)
{
  uint32_t *to, *from = &_data_load;
#ifdef __ARM_FP
  *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* CPACR: full access to CP10 and CP11 */
  __asm__ volatile("dsb\n isb");
#endif
  for (to = &_data_start; to < &_data_end;) *to++ = *from++;
  for (to = &_bss_start; to < &_bss_end;) *to++ = 0;
  board_exit(main());
}

/* SysTick counts down 24 bits of the board's clock; with -icount shift=0 an instruction takes one nanosecond. */
static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010;

void board_count_from_zero(void)
{
  systick[1] = 0xFFFFFF;
  systick[2] = 0;
  systick[0] = 5; /* on, the processor's clock, no interrupt */
  (void)systick[0];
  while (systick[2] == 0) { /* it begins with its next unit */
  }
}

uint32_t board_counted(void)
{
  const uint32_t left = systick[2];
  return (systick[0] & 0x10000) ? 0xFFFFFFFFu : 0xFFFFFF - left; /* it went through zero: too long */
}

uint32_t board_instructions(uint32_t units)
{
  return units * HALF_NANOSECONDS >> 1;
}

uintptr_t board_call(uintptr_t operation, const void *argument)
{
  register uintptr_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

void board_known_loop(uint32_t rounds) /* two instructions a round */
{
  __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b" : "+l"(rounds) : : "cc");
}
