/* Runs a network that `lowbit compile` wrote on samples from a file of float32, and prints what it gives.

     cc run.c -llowbit -o run && ./run net.lbp samples.f32 */
#include <lowbit.h>
#include <stdio.h>
#include <stdlib.h>

static void fail(const char *what) {
  fprintf(stderr, "run: %s\n", what);
  exit(1);
}

static float *read_samples(const char *path, size_t *count) {
  FILE *file = fopen(path, "rb");
  float *samples = NULL;
  size_t room = 0, got;
  *count = 0;
  if (file == NULL) fail("the samples cannot be opened");
  do {
    room += 1 << 16;
    samples = realloc(samples, room * sizeof *samples);
    if (samples == NULL) fail("there is not enough memory");
    got = fread(samples + *count, sizeof *samples, room - *count, file);
    *count += got;
  } while (*count == room);
  fclose(file);
  return samples;
}

int main(int count, char **words) {
  lowbit_program *program;
  lowbit_port input, output;
  size_t numbers, rows, n;
  float *samples, *results;
  const void *inputs[1];
  void *outputs[1];

  if (count != 3) fail("usage: run NET.lbp SAMPLES.f32");
  if (lowbit_open(words[1], NULL, &program) != LOWBIT_OK) fail(lowbit_error());
  if (lowbit_inputs(program) != 1 || lowbit_outputs(program) != 1) fail("this example is for one input and one output");
  lowbit_input(program, 0, &input);
  lowbit_output(program, 0, &output);
  if (input.type != LOWBIT_FLOAT32 || output.type != LOWBIT_FLOAT32) fail("this example is for float32");

  samples = read_samples(words[2], &numbers);
  rows = numbers / input.elements;
  results = malloc(rows * output.elements * sizeof *results + 1);
  if (results == NULL) fail("there is not enough memory");
  inputs[0] = samples;
  outputs[0] = results;
  if (lowbit_run(program, rows, inputs, outputs) != LOWBIT_OK) fail(lowbit_error());
  for (n = 0; n < rows * output.elements; ++n) printf("%a%c", results[n], (n + 1) % output.elements ? ' ' : '\n');

  free(samples);
  free(results);
  lowbit_close(program);
  return 0;
}
