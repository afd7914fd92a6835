// The Python face of a Program. At a microsecond a call, the way in counts (measured, this kind of machine): NumPy's
// own interface 47 ns against 128 ns for the buffer protocol and numpy.empty, a built-in function 12 ns against 50 ns for
// a nanobind method.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>
#include <vector>

#include "../core/program.h"

namespace lowbit {

class PythonProgram final {
 public:
  // Shapes are those of one sample, without the batch; their products are the program's features.
  // What a thread is still inside of when Python ends stays where it is.
  ~PythonProgram();
  PythonProgram(std::unique_ptr<Program> program, const std::vector<Py_ssize_t>& input_shape,
                const std::vector<Py_ssize_t>& output_shape);

  // float32 [n, *input_shape] -> new float32 [n, *output_shape]
  nanobind::object run(nanobind::handle x);
  void run_into(nanobind::handle x, nanobind::handle out);

  // Every step's name, kernel and result: codes as uint8, words as int16 [n, features], floats as float32 [n, features].
  nanobind::list trace(nanobind::handle x);

  // Seconds of each step for the whole batch, the best of `repeats`, on one thread.
  std::vector<double> profile(nanobind::handle x, std::size_t repeats);

  const Program& program() const { return *program_; }

 private:
  void compute(const std::byte* x, std::byte* y, std::size_t rows);

  std::unique_ptr<Program> program_;
  std::vector<Py_ssize_t> input_shape_, output_shape_;  // with room for the batch in front
};

// Built-in functions run(x) and run_into(x, out) that belong to `program`, a PythonProgram.
nanobind::object run_function(nanobind::handle program);
nanobind::object run_into_function(nanobind::handle program);

// Raises lowbit.errors.EngineError or DataError with all its facts.
void set_python_error(const struct Error& error);

}  // namespace lowbit
