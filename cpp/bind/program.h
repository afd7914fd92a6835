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

// An input or an output: what messages call it, and its axes; of one that counts rows, the first is not looked at.
struct PortShape {
  std::string where;
  std::vector<Py_ssize_t> axes;
};

class PythonProgram final {
 public:
  // What a thread is still inside of when Python ends stays where it is.
  ~PythonProgram();
  // Inputs, then outputs. `by_rows`: the first axis of each counts rows, and the others have the program's features;
  // otherwise all axes have, and there is one row.
  PythonProgram(std::unique_ptr<Program> program, std::vector<PortShape> ports, bool by_rows);

  // float32 arrays, one for each input -> a new one for the output, or a tuple of them.
  nanobind::object run(PyObject* const* arrays, std::size_t count);
  // The same, and one for the output, or a tuple of them.
  void run_into(PyObject* const* arrays, std::size_t count);

  // Every step's name, kernel and result: codes as uint8, words as int16 [n, features], floats as float32 [n, features].
  nanobind::list trace(const nanobind::tuple& arrays);

  // Seconds of each step for all rows, the best of `repeats`, on one thread.
  std::vector<double> profile(const nanobind::tuple& arrays, std::size_t repeats);

  const Program& program() const { return *program_; }

 private:
  class Call;

  void compute(const Call& call);

  std::unique_ptr<Program> program_;
  std::vector<PortShape> ports_;
  bool by_rows_;
};

// Built-in functions run(*inputs) and run_into(*inputs, out) that belong to `program`, a PythonProgram.
nanobind::object run_function(nanobind::handle program);
nanobind::object run_into_function(nanobind::handle program);

// Raises lowbit.errors.EngineError or DataError with all its facts.
void set_python_error(const struct Error& error);

}  // namespace lowbit
