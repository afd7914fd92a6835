/* Runs what it is asked for until there is no more: answers, with requests on stdin. Numbers are 64 bits, little-endian; texts and
   arrays follow their size.
     request: kernels, program file, rows, count of inputs, inputs
     answer:  status and text of the error; else 0, count of outputs, outputs, and the steps of a trace: 1, name, type, array; 0 */
#include <lowbit.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kPorts = 16 };

static void get(void *at, size_t size) {
  if (fread(at, 1, size, stdin) != size) exit(0);
}

static uint64_t get_number(void) {
  uint64_t number;
  get(&number, sizeof number);
  return number;
}

static void *get_bytes(size_t *size) {
  char *bytes;
  *size = get_number();
  bytes = malloc(*size + 1);
  if (bytes == NULL) exit(1);
  get(bytes, *size);
  bytes[*size] = 0;
  return bytes;
}

static void put_number(uint64_t number) { fwrite(&number, sizeof number, 1, stdout); }

static void put_bytes(const void *bytes, size_t size) {
  put_number(size);
  fwrite(bytes, 1, size, stdout);
}

static size_t width_of(lowbit_type type) {
  return type == LOWBIT_INT64 ? 8 : type == LOWBIT_BOOL || type == LOWBIT_UINT8 ? 1 : type == LOWBIT_INT16 ? 2 : 4;
}

static void show(void *rows, const char *name, lowbit_type type, size_t elements, const void *numbers) {
  put_number(1);
  put_bytes(name, strlen(name));
  put_number(type);
  put_bytes(numbers, *(size_t *)rows * elements * width_of(type));
}

static lowbit_status answer(lowbit_program *program, lowbit_program *apart, size_t rows, const void *const *inputs) {
  void *outputs[kPorts];
  size_t sizes[kPorts], n, count = lowbit_outputs(program);
  lowbit_port port;
  lowbit_status status;
  for (n = 0; n < count; ++n) {
    lowbit_output(program, n, &port);
    sizes[n] = rows * port.elements * width_of(port.type);
    outputs[n] = malloc(sizes[n] + 1);
  }
  status = lowbit_run(program, rows, inputs, outputs);
  if (status == LOWBIT_OK) {
    put_number(0);
    put_number(count);
    for (n = 0; n < count; ++n) put_bytes(outputs[n], sizes[n]);
    if (lowbit_trace(apart, rows, inputs, show, &rows) != LOWBIT_OK) exit(1);
    put_number(0);
  }
  for (n = 0; n < count; ++n) free(outputs[n]);
  return status;
}

int main(void) {
  for (;;) {
    lowbit_options options = LOWBIT_OPTIONS;
    lowbit_program *program = NULL, *apart = NULL;
    void *inputs[kPorts];
    size_t size, rows, count, n;
    char *kernels = get_bytes(&size), *content = get_bytes(&size);
    lowbit_status status;
    options.kernels = *kernels ? kernels : NULL;
    status = lowbit_open_memory(content, size, &options, &program);
    options.codes_apart = 1;
    if (status == LOWBIT_OK) status = lowbit_open_memory(content, size, &options, &apart);
    rows = get_number();
    count = get_number();
    if (count > kPorts) return 1;
    for (n = 0; n < count; ++n) inputs[n] = get_bytes(&size);
    if (status == LOWBIT_OK) status = answer(program, apart, rows, (const void *const *)inputs);
    if (status != LOWBIT_OK) {
      put_number(status);
      put_bytes(lowbit_error(), strlen(lowbit_error()));
    }
    fflush(stdout);
    lowbit_close(program);
    lowbit_close(apart);
    for (n = 0; n < count; ++n) free(inputs[n]);
    free(content);
    free(kernels);
  }
}
