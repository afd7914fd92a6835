/* Reads samples from in.bin, runs each, writes outputs to out.bin and counts to report.txt: files of the host. */
#include "board.h"

enum { OPEN = 1, CLOSE = 2, WRITE = 5, READ = 6, EXIT = 0x18, EXIT_EXTENDED = 0x20 };
enum { KNOWN_ROUNDS = 100000, PAINT = 0x5AC3A53Cu };

extern uint32_t _stack_limit, _stack_top;

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
  unsigned char *t = to;
  const unsigned char *f = from;
  while (n--) *t++ = *f++;
  return to;
}

void *memmove(void *to, const void *from, size_t n)
{
  unsigned char *t = to;
  const unsigned char *f = from;
  if (t < f)
    while (n--) *t++ = *f++;
  else
    while (n--) t[n] = f[n];
  return to;
}

void *memset(void *to, int value, size_t n)
{
  unsigned char *t = to;
  while (n--) *t++ = (unsigned char)value;
  return to;
}

void board_exit(int status)
{
  const uintptr_t argument[2] = {0x20026, (uintptr_t)status}; /* ADP_Stopped_ApplicationExit */
  board_call(EXIT_EXTENDED, argument);
  for (;;) {
  }
}

static uintptr_t open_file(const char *name, uintptr_t length, uintptr_t mode)
{
  const uintptr_t argument[3] = {(uintptr_t)name, mode, length};
  return board_call(OPEN, argument);
}

static uintptr_t transfer(uintptr_t operation, uintptr_t file, const void *data, uintptr_t length)
{
  const uintptr_t argument[3] = {file, (uintptr_t)data, length};
  return board_call(operation, argument); /* bytes that are left */
}

static void put(uintptr_t file, const char *name, uint32_t value) /* in hexadecimal: no core need divide */
{
  char text[10];
  uint32_t length = 0, at;
  while (name[length]) ++length;
  transfer(WRITE, file, name, length);
  text[0] = ' ';
  for (at = 1; at <= 8; ++at, value <<= 4) text[at] = "0123456789abcdef"[value >> 28];
  text[9] = '\n';
  transfer(WRITE, file, text, 10);
}

static uint32_t stack_of_a_run(void)
{
  uint32_t here, *at;
  uint32_t *const top = &here - 16;
  for (at = &_stack_limit; at < top; ++at) *(volatile uint32_t *)at = PAINT;
  program_run();
  for (at = &_stack_limit; at < top && *(volatile uint32_t *)at == PAINT; ++at) {
  }
  return (uint32_t)((uintptr_t)&here - (uintptr_t)at);
}

int main(void)
{
  const uintptr_t samples = open_file("in.bin", 6, 1), results = open_file("out.bin", 7, 5);
  const uintptr_t report = open_file("report.txt", 10, 5);
  uint32_t count = 0, low = 0xFFFFFFFFu, high = 0, sum = 0, millions = 0, counted, nothing;
  board_count_from_zero();
  nothing = board_counted();
  board_count_from_zero();
  board_known_loop(KNOWN_ROUNDS);
  put(report, "known_loop", board_instructions(board_counted() - nothing));
  while (transfer(READ, samples, program_input, program_input_bytes) == 0) {
    if (!count) {
      put(report, "stack", stack_of_a_run());
    }
    board_count_from_zero();
    program_run();
    counted = board_counted();
    if (counted == 0xFFFFFFFFu) return 4;
    counted = board_instructions(counted - nothing);
    low = counted < low ? counted : low;
    high = counted > high ? counted : high;
    for (sum += counted; sum >= 1000000; sum -= 1000000) ++millions;
    transfer(WRITE, results, program_output, program_output_bytes);
    ++count;
  }
  put(report, "samples", count);
  put(report, "least", low);
  put(report, "most", high);
  put(report, "millions", millions);
  put(report, "rest", sum);
  transfer(CLOSE, results, 0, 0);
  return 0;
}
