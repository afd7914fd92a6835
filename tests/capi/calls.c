/* Counts what a run takes of the heap, and lets threads share programs: calls NET.lbp THREADS. */
#include <lowbit.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
static atomic_long taken;

void *malloc(size_t size) { return atomic_fetch_add(&taken, 1), __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return atomic_fetch_add(&taken, 1), __libc_calloc(count, size); }
void *realloc(void *at, size_t size) { return atomic_fetch_add(&taken, 1), __libc_realloc(at, size); }
void *memalign(size_t to, size_t size) { return atomic_fetch_add(&taken, 1), __libc_memalign(to, size); }
void *aligned_alloc(size_t to, size_t size) { return memalign(to, size); }
int posix_memalign(void **at, size_t to, size_t size) { return (*at = memalign(to, size)) == NULL ? 12 : 0; }

enum { kRows = 130, kRuns = 20, kUsers = 4, kPrograms = 2 };
static lowbit_program *programs[kPrograms];
static lowbit_port input, output;
static float *samples, *expected;

static void *use(void *context) {
  float *results = context;
  size_t run;
  for (run = 0; run < kRuns; ++run) {
    const void *inputs[1] = {samples};
    void *outputs[1] = {results};
    memset(results, 0, kRows * output.elements * sizeof *results);
    if (lowbit_run(programs[run % kPrograms], kRows, inputs, outputs) != LOWBIT_OK) return "a run failed";
    if (memcmp(results, expected, kRows * output.elements * sizeof *results) != 0) return "results differ";
  }
  return NULL;
}

int main(int count, char **words) {
  lowbit_options options = LOWBIT_OPTIONS;
  pthread_t users[kUsers];
  float *rooms[kUsers];
  const void *inputs[1];
  void *outputs[1];
  long before;
  size_t n;
  if (count != 3) return 2;
  options.threads = (size_t)atoi(words[2]);
  for (n = 0; n < kPrograms; ++n) {
    if (lowbit_open(words[1], &options, &programs[n]) != LOWBIT_OK) return puts(lowbit_error()), 1;
  }
  if (atomic_load(&taken) == 0) return puts("what the library takes is not counted"), 1;
  lowbit_input(programs[0], 0, &input);
  lowbit_output(programs[0], 0, &output);
  samples = malloc(kRows * input.elements * sizeof *samples);
  expected = malloc(kRows * output.elements * sizeof *expected);
  for (n = 0; n < kRows * input.elements; ++n) samples[n] = (float)((n * 2654435761u >> 8) % 997) / 498.5f - 1.0f;
  inputs[0] = samples, outputs[0] = expected;

  before = atomic_load(&taken);
  for (n = 0; n < kRuns; ++n) {
    if (lowbit_run(programs[0], n % 2 ? kRows : 1, inputs, outputs) != LOWBIT_OK) return puts(lowbit_error()), 1;
  }
  printf("%ld\n", atomic_load(&taken) - before);

  for (n = 0; n < kUsers; ++n) {
    rooms[n] = malloc(kRows * output.elements * sizeof *rooms[n]);
    if (pthread_create(&users[n], NULL, use, rooms[n]) != 0) return 1;
  }
  for (n = 0; n < kUsers; ++n) {
    void *wrong = NULL;
    pthread_join(users[n], &wrong);
    if (wrong != NULL) return puts(wrong), 1;
    free(rooms[n]);
  }
  for (n = 0; n < kPrograms; ++n) lowbit_close(programs[n]);
  free(samples), free(expected);
  return 0;
}
