/* CPU time of a call of one sample, and of loading a mapped file, in microseconds: time_calls NET.lbp COUNT. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <lowbit.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

int main(int count, char **words) {
  int file = open(words[1], O_RDONLY), n, calls = count == 3 ? atoi(words[2]) : 1, loads = 20;
  struct stat status;
  lowbit_program *program = NULL;
  lowbit_port input, output;
  const void *inputs[1];
  void *outputs[1], *content;
  double start, load;
  float *samples;
  size_t k;
  if (file < 0 || fstat(file, &status) != 0) return 1;
  content = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  start = now();
  for (n = 0; n < loads; ++n) {
    lowbit_close(program);
    if (lowbit_open_memory(content, (size_t)status.st_size, NULL, &program) != LOWBIT_OK) return puts(lowbit_error()), 1;
  }
  load = (now() - start) / loads;
  lowbit_input(program, 0, &input);
  lowbit_output(program, 0, &output);
  samples = malloc(input.elements * sizeof *samples);
  for (k = 0; k < input.elements; ++k) samples[k] = (float)(k % 17) / 8.0f - 1.0f;
  inputs[0] = samples, outputs[0] = malloc(output.elements * sizeof(float));
  for (n = 0; n < calls / 10; ++n) lowbit_run(program, 1, inputs, outputs);
  start = now();
  for (n = 0; n < calls; ++n) lowbit_run(program, 1, inputs, outputs);
  printf("%.4f %.1f\n", (now() - start) / calls, load);
  lowbit_close(program);
  return 0;
}
