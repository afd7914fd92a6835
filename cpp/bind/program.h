// The Python face of a Program: checks what comes in through the buffer protocol, then runs.
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <vector>

#include "../core/program.h"

namespace lowbit {

class PythonProgram final {
 public:
  // Shapes are those of one sample, without the batch; their products are the program's features.
  PythonProgram(std::unique_ptr<Program> program, std::vector<Py_ssize_t> input_shape,
                std::vector<Py_ssize_t> output_shape);

  // float32 [n, *input_shape] -> new float32 [n, *output_shape]
  nanobind::object run(nanobind::handle x);
  void run_into(nanobind::handle x, nanobind::handle out);

  // Every step's name, kernel and result: codes as uint8 [n, features], floats as float32 [n, features].
  nanobind::list trace(nanobind::handle x);

  // Seconds of each step for the whole batch, the best of `repeats`, on one thread.
  std::vector<double> profile(nanobind::handle x, std::size_t repeats);

  const Program& program() const { return *program_; }

 private:
  void compute(const std::byte* x, std::byte* y, std::size_t rows);
  nanobind::object empty(Py_ssize_t rows, const std::vector<Py_ssize_t>& shape, const char* dtype);
  nanobind::object result(Py_ssize_t rows);

  std::unique_ptr<Program> program_;
  std::vector<Py_ssize_t> input_shape_, output_shape_;
  nanobind::object numpy_empty_, float32_, result_shape_;  // result_shape_: of the last call
  Py_ssize_t result_rows_ = -1;
};

}  // namespace lowbit
