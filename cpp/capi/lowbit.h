/* liblowbit: runs networks that `lowbit compile` wrote, without Python.

     lowbit_program *program;
     if (lowbit_open("mlp.lbp", NULL, &program) != LOWBIT_OK) { fputs(lowbit_error(), stderr); exit(1); }
     const void *inputs[] = {pictures};
     void *outputs[] = {scores};
     if (lowbit_run(program, rows, inputs, outputs) != LOWBIT_OK) { fputs(lowbit_error(), stderr); exit(1); }
     lowbit_close(program);

   Nothing here throws, and a run takes no memory. Programs are independent of each other; calls of one program from several
   threads run one after another. Three environment variables count: LOWBIT_KERNELS bounds the level of the kernels, LOWBIT_COSTS
   names a file of costs that `lowbit bench --machine` measured, and LOWBIT_PIN_WORKERS=1 keeps worker threads off the caller's
   processor. */
#ifndef LOWBIT_H
#define LOWBIT_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) || !defined(__GNUC__)
#define LOWBIT_API
#else
#define LOWBIT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a call returns; lowbit_error() says more. */
typedef enum lowbit_status {
  LOWBIT_OK = 0,
  LOWBIT_ERROR_FILE = 1,        /* it cannot be read, or its bytes break a rule */
  LOWBIT_ERROR_UNSUPPORTED = 2, /* it is of another version, or this machine lacks what was asked for */
  LOWBIT_ERROR_MEMORY = 3,      /* it would take more than it may, or than there is */
  LOWBIT_ERROR_DATA = 4,        /* samples hold NaN, integers beyond 2^24, or an index outside of what it points into */
  LOWBIT_ERROR_USAGE = 5,       /* an argument cannot be meant */
  LOWBIT_ERROR_INTERNAL = 6
} lowbit_status;

/* Numbers of the caller's arrays, dense, in the order of their shape. A bool is a byte, 0 or 1. */
typedef enum lowbit_type {
  LOWBIT_FLOAT32 = 0,
  LOWBIT_INT32 = 1,
  LOWBIT_INT64 = 2,
  LOWBIT_BOOL = 3,
  LOWBIT_UINT8 = 4, /* codes; in a trace alone */
  LOWBIT_INT16 = 5  /* levels of fixed point; in a trace alone */
} lowbit_type;

/* The length of a first axis that counts samples: as many as a run is given. */
#define LOWBIT_ROWS ((int64_t)-1)

/* An input or an output. Pointers are good as long as the program. */
typedef struct lowbit_port {
  const char *name;
  lowbit_type type;
  size_t rank;
  const int64_t *shape; /* [rank]; the first is LOWBIT_ROWS where rows are counted: then it is so for every port */
  size_t elements;      /* of one row */
} lowbit_port;

/* Begin with LOWBIT_OPTIONS and change what you mean. */
typedef struct lowbit_options {
  size_t size;         /* of this struct */
  size_t threads;      /* that share a run, 1 to 256 */
  size_t memory;       /* bytes that the program may take; 0: 4 GiB */
  const char *kernels; /* the highest level of kernels; NULL: the best one */
  int pin_workers;     /* keep worker threads off the caller's processor */
  int codes_apart;     /* codes of equal levels stay apart, as a trace has to show them; slower */
  const char *path;    /* how layers of low bits multiply where they can, such as "popcount" or "dot"; NULL: the cheapest way */
} lowbit_options;

#define LOWBIT_OPTIONS {sizeof(lowbit_options), 1, 0, NULL, 0, 0, NULL}

typedef struct lowbit_program lowbit_program;

/* The version of the library, such as "0.1.0". */
LOWBIT_API const char *lowbit_version(void);

/* What was wrong with the last call of this thread that failed, in one line. Good until its next failure. */
LOWBIT_API const char *lowbit_error(void);

/* Loads a file; options may be NULL. Nobody may shorten the file meanwhile; it is not used afterwards. */
LOWBIT_API lowbit_status lowbit_open(const char *path, const lowbit_options *options, lowbit_program **program);

/* Loads the content of a file, which is not used afterwards. It is read where it lies if it begins at a multiple of 8. */
LOWBIT_API lowbit_status lowbit_open_memory(const void *content, size_t size, const lowbit_options *options,
                                            lowbit_program **program);

/* Gives everything back; NULL is nothing to do. No run may be under way. */
LOWBIT_API void lowbit_close(lowbit_program *program);

LOWBIT_API size_t lowbit_inputs(const lowbit_program *program);
LOWBIT_API size_t lowbit_outputs(const lowbit_program *program);
LOWBIT_API lowbit_status lowbit_input(const lowbit_program *program, size_t number, lowbit_port *port);
LOWBIT_API lowbit_status lowbit_output(const lowbit_program *program, size_t number, lowbit_port *port);

/* What the network's file noted, as of how its samples were normalized, by a key such as "lowbit.mean"; NULL: nothing. */
LOWBIT_API const char *lowbit_note(const lowbit_program *program, const char *key);

/* Runs `rows` samples; 1 where ports do not count rows. Arrays of inputs and outputs, in their order; results lie apart from
   inputs and from each other. After an error they are half written. */
LOWBIT_API lowbit_status lowbit_run(lowbit_program *program, size_t rows, const void *const *inputs, void *const *outputs);

/* Called for a step's result: what the network calls it, and rows times `elements` numbers. Maps lie [channel][height][width]. */
typedef void lowbit_visit(void *context, const char *name, lowbit_type type, size_t elements, const void *numbers);

/* A run that shows the result of every step, to compare with another. Takes memory, and is slower. Of codes whose levels are
   equal it may show any, unless the program was opened with codes_apart. */
LOWBIT_API lowbit_status lowbit_trace(lowbit_program *program, size_t rows, const void *const *inputs, lowbit_visit *visit,
                                      void *context);

#ifdef __cplusplus
}
#endif

#endif
