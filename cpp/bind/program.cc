#include "program.h"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <mutex>
#include <numeric>
#include <thread>

#if defined(__GLIBCXX__)
#include <cxxabi.h>
#endif

#include "../core/error.h"
#include "../core/trace.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace lowbit {
namespace {

// NumPy is imported with the first program: importing this module must stay cheap.
void import_numpy() {
  if (PyArray_API == nullptr && _import_array() < 0) throw nb::python_error();
}

std::string shape_text(const std::string& rows, const std::vector<Py_ssize_t>& axes, bool by_rows) {
  std::string text;
  for (std::size_t n = 0; n < axes.size(); ++n) text += (n ? ", " : "") + (n == 0 && by_rows ? rows : std::to_string(axes[n]));
  return "float32 [" + text + "]";
}

std::string describe(nb::handle object) {
  if (!PyArray_Check(object.ptr())) return nb::type_name(object.type()).c_str();
  auto* array = reinterpret_cast<PyArrayObject*>(object.ptr());
  const nb::object dtype = object.attr("dtype");
  std::string text = nb::str(nb::handle(dtype)).c_str() + std::string(" [");
  for (int n = 0; n < PyArray_NDIM(array); ++n) text += (n ? ", " : "") + std::to_string(PyArray_DIM(array, n));
  return text + "]" + (PyArray_IS_C_CONTIGUOUS(array) ? "" : ", not contiguous") +
         (PyArray_ISWRITEABLE(array) ? "" : ", read-only");
}

bool fits(PyArrayObject* array, const std::vector<Py_ssize_t>& axes, bool by_rows, bool writable) {
  const bool dense = writable ? PyArray_ISCARRAY(array) : PyArray_ISCARRAY_RO(array);
  const std::ptrdiff_t first = by_rows ? 1 : 0;
  return PyArray_TYPE(array) == NPY_FLOAT32 && dense && PyArray_NDIM(array) == static_cast<int>(axes.size()) &&
         std::equal(axes.begin() + first, axes.end(), PyArray_DIMS(array) + first);
}

// A float32 array of samples; the caller keeps it alive.
class Samples {
 public:
  Samples(nb::handle object, const PortShape& port, bool by_rows, bool writable = false)
      : array_(reinterpret_cast<PyArrayObject*>(object.ptr())), by_rows_(by_rows) {
    if (PyArray_Check(object.ptr()) && fits(array_, port.axes, by_rows, writable)) return;
    throw Error(Error::Kind::data, "the array does not fit the network", port.where,
                "contiguous " + shape_text("n", port.axes, by_rows), describe(object),
                by_rows ? "Convert it with numpy.ascontiguousarray(array, numpy.float32) and reshape it."
                        : "Give exactly that, one sample a call: numpy.ascontiguousarray(array, numpy.float32).");
  }

  std::size_t rows() const { return by_rows_ ? static_cast<std::size_t>(PyArray_DIM(array_, 0)) : 1; }
  std::byte* data() const { return static_cast<std::byte*>(PyArray_DATA(array_)); }
  bool overlaps(const std::byte* begin, std::size_t size) const {
    return data() < begin + size && begin < data() + PyArray_NBYTES(array_);
  }

 private:
  PyArrayObject* array_;
  bool by_rows_;
};

nb::object new_array(std::vector<Py_ssize_t> axes, int type) {
  PyObject* array = PyArray_SimpleNew(static_cast<int>(axes.size()), axes.data(), type);
  if (array == nullptr) throw nb::python_error();
  return nb::steal(array);
}

std::byte* data_of(const nb::object& array) {
  return static_cast<std::byte*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array.ptr())));
}

void check_port(const PortShape& port, bool by_rows, std::size_t features) {
  require(port.axes.size() <= 32 && (!by_rows || !port.axes.empty()), port.where.c_str(), "up to 32 axes", "others");
  const auto first = port.axes.begin() + (by_rows ? 1 : 0);
  const auto product = std::accumulate(first, port.axes.end(), std::size_t{1}, [](std::size_t all, Py_ssize_t n) {
    return n <= 0 || all == 0 || static_cast<std::size_t>(n) > kMaxFeatures / all ? 0 : all * static_cast<std::size_t>(n);
  });
  require(product == features, port.where.c_str(), {"a shape of ", features, " elements"},
          shape_text("n", port.axes, by_rows));
}

// Lets other Python threads run meanwhile. When Python has ended, taking its lock again ends this thread by unwinding its
// stack, which no destructor survives: the thread stops here instead, until the process ends.
class WithoutPython {
 public:
  WithoutPython() : state_(PyEval_SaveThread()) {}
  ~WithoutPython() {
#if defined(__GLIBCXX__)
    try {
      PyEval_RestoreThread(state_);
    } catch (const abi::__forced_unwind&) {
      while (true) std::this_thread::sleep_for(std::chrono::hours(1));
    }
#else
    PyEval_RestoreThread(state_);
#endif
  }
  WithoutPython(const WithoutPython&) = delete;
  WithoutPython& operator=(const WithoutPython&) = delete;

 private:
  PyThreadState* state_;
};

// A C++ exception must not reach Python's own calling code.
template <class Function>
PyObject* guarded(Function call) {
  try {
    return call().release().ptr();
  } catch (const Error& error) {
    set_python_error(error);
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyObject* call_run(PyObject* self, PyObject* const* arrays, Py_ssize_t count) {
  return guarded([&] { return nb::inst_ptr<PythonProgram>(self)->run(arrays, static_cast<std::size_t>(count)); });
}

PyObject* call_run_into(PyObject* self, PyObject* const* arrays, Py_ssize_t count) {
  return guarded([&] {
    nb::inst_ptr<PythonProgram>(self)->run_into(arrays, static_cast<std::size_t>(count));
    return nb::none();
  });
}

PyCFunction as_function(PyObject* (*call)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(call));
}

PyMethodDef run_definition{"run", as_function(call_run), METH_FASTCALL, "float32 [n, ...], one for each input -> new float32 [n, ...]"};
PyMethodDef run_into_definition{"run_into", as_function(call_run_into), METH_FASTCALL, "run(*inputs), written into the last argument"};

}  // namespace

nb::object run_function(nb::handle program) { return nb::steal(PyCFunction_New(&run_definition, program.ptr())); }

nb::object run_into_function(nb::handle program) {
  return nb::steal(PyCFunction_New(&run_into_definition, program.ptr()));
}

void set_python_error(const Error& error) {
  constexpr const char* kNames[] = {"EngineError", "DataError", "ModelFormatError", "UnsupportedError", "TooLargeError"};  // by kind
  const nb::object type = nb::module_::import_("lowbit.errors").attr(kNames[static_cast<std::size_t>(error.kind)]);
  const nb::object instance = type(error.what(), "where"_a = error.where, "expected"_a = error.expected,
                                   "found"_a = error.found, "remedy"_a = error.remedy);
  PyErr_SetObject(type.ptr(), instance.ptr());
}

// The arrays of one call, without an allocation where they are few.
class PythonProgram::Call {
 public:
  Call(const PythonProgram& program, PyObject* const* arrays, std::size_t count)
      : program_(program), inputs_(program.program().inputs()), size_(program.ports_.size()) {
    if (count != inputs_) wrong_count("run", inputs_, "one for each input");
    if (size_ > few_.size()) many_.resize(size_);
    for (std::size_t n = 0; n < inputs_; ++n) {
      const Samples samples(arrays[n], program.ports_[n], program.by_rows_);
      if (n > 0 && samples.rows() != rows_) {
        throw Error(Error::Kind::data, "inputs have different numbers of samples", program.ports_[n].where,
                    std::to_string(rows_) + " as the first input has", describe(arrays[n]),
                    "Give as many samples to every input.");
      }
      rows_ = samples.rows(), at(n) = samples.data();
    }
  }

  [[noreturn]] static void wrong_count(const char* function, std::size_t expected, const char* which) {
    PyErr_Format(PyExc_TypeError, "%s takes %zu arrays: %s", function, expected, which);
    throw nb::python_error();
  }

  std::vector<Py_ssize_t> axes(std::size_t output) const {
    std::vector<Py_ssize_t> axes = program_.ports_[inputs_ + output].axes;
    if (program_.by_rows_) axes[0] = static_cast<Py_ssize_t>(rows_);
    return axes;
  }

  void take(std::size_t output, nb::handle array) {
    const PortShape& port = program_.ports_[inputs_ + output];
    const Samples samples(array, port, program_.by_rows_, true);
    bool usable = samples.rows() == rows_;
    for (std::size_t n = 0; n < inputs_ + output; ++n) {
      usable = usable && !samples.overlaps(at(n), rows_ * value(n).row);
    }
    if (!usable) {
      throw Error(Error::Kind::data, "the array for the result cannot be used", port.where,
                  shape_text(std::to_string(rows_), port.axes, program_.by_rows_) + ", apart from the input" +
                      (size_ > 2 ? "s and other results" : ""),
                  describe(array), "Make it with numpy.empty.");
    }
    put(output, samples.data());
  }

  void put(std::size_t output, std::byte* data) { at(inputs_ + output) = data; }
  std::size_t rows() const { return rows_; }
  std::span<std::byte* const> ports() const { return {size_ > few_.size() ? many_.data() : few_.data(), size_}; }

 private:
  std::byte*& at(std::size_t n) { return size_ > few_.size() ? many_[n] : few_[n]; }
  const Value& value(std::size_t n) const {
    return n < inputs_ ? program_.program().input(n) : program_.program().output(n - inputs_);
  }

  const PythonProgram& program_;
  std::size_t inputs_, size_, rows_ = 1;
  std::array<std::byte*, 4> few_{};
  std::vector<std::byte*> many_;
};

PythonProgram::PythonProgram(std::unique_ptr<Program> program, std::vector<PortShape> ports, bool by_rows)
    : program_(std::move(program)), ports_(std::move(ports)), by_rows_(by_rows) {
  const std::size_t inputs = program_->inputs();
  require(ports_.size() == inputs + program_->outputs(), "ports", "one for each input and output", ports_.size());
  for (std::size_t n = 0; n < ports_.size(); ++n) {
    check_port(ports_[n], by_rows_, (n < inputs ? program_->input(n) : program_->output(n - inputs)).features);
  }
  import_numpy();
}

PythonProgram::~PythonProgram() {
  if (program_->lock().try_lock()) {
    program_->lock().unlock();
  } else {
    static_cast<void>(program_.release());
  }
}

nb::object PythonProgram::run(PyObject* const* arrays, std::size_t count) {
  Call call(*this, arrays, count);
  const std::size_t outputs = program_->outputs();
  if (outputs == 1) {
    nb::object out = new_array(call.axes(0), NPY_FLOAT32);
    call.put(0, data_of(out));
    compute(call);
    return out;
  }
  nb::object all = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(outputs)));
  if (!all.is_valid()) throw nb::python_error();
  for (std::size_t n = 0; n < outputs; ++n) {
    nb::object out = new_array(call.axes(n), NPY_FLOAT32);
    call.put(n, data_of(out));
    PyTuple_SET_ITEM(all.ptr(), static_cast<Py_ssize_t>(n), out.release().ptr());
  }
  compute(call);
  return all;
}

void PythonProgram::run_into(PyObject* const* arrays, std::size_t count) {
  const std::size_t inputs = program_->inputs(), outputs = program_->outputs();
  if (count != inputs + 1) Call::wrong_count("run_into", inputs + 1, "one for each input, and the result");
  Call call(*this, arrays, inputs);
  const nb::handle last = arrays[inputs];
  if (outputs == 1) {
    call.take(0, last);
  } else {
    if (!PyTuple_Check(last.ptr()) || nb::len(last) != outputs) Call::wrong_count("run_into", outputs, "a tuple of results");
    for (std::size_t n = 0; n < outputs; ++n) call.take(n, PyTuple_GET_ITEM(last.ptr(), static_cast<Py_ssize_t>(n)));
  }
  compute(call);
}

void PythonProgram::compute(const Call& call) {
  // A short run keeps Python's lock, unless another thread is inside this program.
  if (program_->cost(call.rows()) < kWorthSharing && program_->lock().try_lock()) {
    const std::lock_guard guard(program_->lock(), std::adopt_lock);
    program_->run(call.ports(), call.rows());
    return;
  }
  const WithoutPython released;
  const std::lock_guard guard(program_->lock());
  program_->run(call.ports(), call.rows());
}

namespace {

// Room for all results of a program.
class Results {
 public:
  Results(const Program& program, std::size_t rows) {
    for (std::size_t n = 0; n < program.outputs(); ++n) arrays_.emplace_back(rows * program.output(n).row);
  }

  std::byte* operator[](std::size_t n) { return arrays_[n].data(); }

 private:
  std::vector<Aligned<std::byte>> arrays_;
};

std::vector<PyObject*> pointers(const nb::tuple& arrays) {
  std::vector<PyObject*> all;
  for (const nb::handle array : arrays) all.push_back(array.ptr());
  return all;
}

}  // namespace

nb::list PythonProgram::trace(const nb::tuple& arrays) {
  Call call(*this, pointers(arrays).data(), arrays.size());
  const std::size_t rows = call.rows();
  Results results(*program_, rows);
  for (std::size_t n = 0; n < program_->outputs(); ++n) call.put(n, results[n]);
  std::vector<std::byte*> at;
  nb::list out;
  for (const auto& step : program_->steps()) {
    const Value& value = program_->values()[step->result];
    const auto features = static_cast<Py_ssize_t>(value.features);
    const int type = value.kind == Kind::real ? NPY_FLOAT32 : value.kind == Kind::words ? NPY_INT16 : NPY_UINT8;
    const nb::object array = new_array({static_cast<Py_ssize_t>(rows), features}, type);
    at.push_back(data_of(array));
    out.append(nb::make_tuple(step->name, step->kernel, array));
  }

  lowbit::trace(*program_, call.ports(), rows, std::move(at));
  return out;
}

std::vector<double> PythonProgram::profile(const nb::tuple& arrays, std::size_t repeats) {
  using Clock = std::chrono::steady_clock;
  Call call(*this, pointers(arrays).data(), arrays.size());
  const std::size_t rows = call.rows();
  Results results(*program_, rows);
  for (std::size_t n = 0; n < program_->outputs(); ++n) call.put(n, results[n]);
  const auto& turns = program_->turns();
  const std::lock_guard guard(program_->lock());
  const std::size_t most = program_->block_rows();
  std::vector<double> best(program_->steps().size(), 1e30);  // a chain's last step has its time
  for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
    std::vector<double> seconds(best.size(), 0.0);
    for (std::size_t first = 0; first < rows; first += most) {
      const std::size_t count = std::min(most, rows - first);
      const Block block = program_->block(call.ports(), first, count, 0, nullptr);
      for (const Step* step : turns) program_->run_step(*step, block);  // warms, as in a longer run
      for (const Step* step : turns) {
        const Clock::time_point start = Clock::now();
        program_->run_step(*step, block);
        seconds[step->timed.value_or(step->result) - program_->inputs()] += std::chrono::duration<double>(Clock::now() - start).count();
      }
    }
    for (std::size_t n = 0; n < best.size(); ++n) best[n] = std::min(best[n], seconds[n]);
  }
  return best;
}

}  // namespace lowbit
