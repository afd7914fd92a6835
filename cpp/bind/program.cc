#include "program.h"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <numeric>
#include <thread>

#if defined(__GLIBCXX__)
#include <cxxabi.h>
#endif

#include "../core/error.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace lowbit {
namespace {

// NumPy is imported with the first program: importing this module must stay cheap.
void import_numpy() {
  if (PyArray_API == nullptr && _import_array() < 0) throw nb::python_error();
}

// `shape` holds the batch and then the sample; `rows` stands for the batch.
std::string shape_text(const std::string& rows, const std::vector<Py_ssize_t>& shape) {
  std::string text = "float32 [" + rows;
  for (std::size_t n = 1; n < shape.size(); ++n) text += ", " + std::to_string(shape[n]);
  return text + "]";
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

bool fits(PyArrayObject* array, const std::vector<Py_ssize_t>& shape, bool writable) {
  const bool dense = writable ? PyArray_ISCARRAY(array) : PyArray_ISCARRAY_RO(array);
  return PyArray_TYPE(array) == NPY_FLOAT32 && dense && PyArray_NDIM(array) == static_cast<int>(shape.size()) &&
         std::equal(shape.begin() + 1, shape.end(), PyArray_DIMS(array) + 1);
}

// A float32 array of samples; the caller keeps it alive.
class Samples {
 public:
  Samples(nb::handle object, const char* where, const std::vector<Py_ssize_t>& shape, bool writable = false)
      : array_(reinterpret_cast<PyArrayObject*>(object.ptr())) {
    if (PyArray_Check(object.ptr()) && fits(array_, shape, writable)) return;
    throw Error(Error::Kind::data, "the array does not fit the network", where,
                "contiguous " + shape_text("n", shape), describe(object),
                "Convert it with numpy.ascontiguousarray(array, numpy.float32) and reshape it.");
  }

  std::size_t rows() const { return static_cast<std::size_t>(PyArray_DIM(array_, 0)); }
  std::byte* data() const { return static_cast<std::byte*>(PyArray_DATA(array_)); }
  bool overlaps(const Samples& other) const {
    return data() < other.data() + PyArray_NBYTES(other.array_) && other.data() < data() + PyArray_NBYTES(array_);
  }

 private:
  PyArrayObject* array_;
};

nb::object new_array(std::size_t rows, std::vector<Py_ssize_t> shape, int type) {
  shape[0] = static_cast<Py_ssize_t>(rows);
  PyObject* array = PyArray_SimpleNew(static_cast<int>(shape.size()), shape.data(), type);
  if (array == nullptr) throw nb::python_error();
  return nb::steal(array);
}

std::byte* data_of(const nb::object& array) {
  return static_cast<std::byte*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array.ptr())));
}

std::vector<Py_ssize_t> with_batch(const char* where, const std::vector<Py_ssize_t>& sample, std::size_t features) {
  std::vector<Py_ssize_t> shape{0};
  shape.insert(shape.end(), sample.begin(), sample.end());
  const bool positive = std::all_of(sample.begin(), sample.end(), [](Py_ssize_t n) { return n > 0; });
  const auto product = std::accumulate(sample.begin(), sample.end(), std::size_t{1}, [](std::size_t all, Py_ssize_t n) {
    return n <= 0 || static_cast<std::size_t>(n) > kMaxFeatures / all ? 0 : all * static_cast<std::size_t>(n);
  });
  require(positive && shape.size() <= 32 && product == features, where,
          "a sample shape of " + std::to_string(features) + " elements", shape_text("n", shape));
  return shape;
}

// Codes in planes or bytes -> one byte each, words and floats as they are; maps in the order [channel][height][width].
void unpack(const Place& from, const std::vector<std::uint8_t>& codes, std::size_t rows, std::byte* to) {
  const Value& value = *from.value;
  const std::size_t pixels = value.pixels(), channels = value.channels();
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t p = 0; p < pixels; ++p) {
        if (value.kind == Kind::real) {
          std::memcpy(to, from.real(row) + p * channels + c, sizeof(float));
          to += sizeof(float);
        } else if (value.kind == Kind::words) {
          const std::int16_t word = from.word(row, p, c);
          std::memcpy(to, &word, sizeof word);
          to += sizeof word;
        } else {
          const unsigned code = from.code(row, p, c);
          *to++ = static_cast<std::byte>(codes.empty() ? code : codes[code]);
        }
      }
    }
  }
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

PyObject* call_run(PyObject* self, PyObject* x) {
  return guarded([&] { return nb::inst_ptr<PythonProgram>(self)->run(x); });
}

PyObject* call_run_into(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 2) {
    PyErr_SetString(PyExc_TypeError, "run_into(x, out) takes two arrays");
    return nullptr;
  }
  return guarded([&] {
    nb::inst_ptr<PythonProgram>(self)->run_into(arguments[0], arguments[1]);
    return nb::none();
  });
}

PyMethodDef run_definition{"run", call_run, METH_O, "float32 [n, ...] -> new float32 [n, ...]"};
PyMethodDef run_into_definition{"run_into", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(call_run_into)),
                                METH_FASTCALL, "run(x), written into out"};

}  // namespace

nb::object run_function(nb::handle program) { return nb::steal(PyCFunction_New(&run_definition, program.ptr())); }

nb::object run_into_function(nb::handle program) {
  return nb::steal(PyCFunction_New(&run_into_definition, program.ptr()));
}

void set_python_error(const Error& error) {
  const bool large = dynamic_cast<const TooLarge*>(&error) != nullptr;
  const char* name = large ? "TooLargeError" : error.kind == Error::Kind::data ? "DataError" : "EngineError";
  const nb::object type = nb::module_::import_("lowbit.errors").attr(name);
  const nb::object instance = type(error.what(), "where"_a = error.where, "expected"_a = error.expected,
                                   "found"_a = error.found, "remedy"_a = error.remedy);
  PyErr_SetObject(type.ptr(), instance.ptr());
}

PythonProgram::PythonProgram(std::unique_ptr<Program> program, const std::vector<Py_ssize_t>& input_shape,
                             const std::vector<Py_ssize_t>& output_shape)
    : program_(std::move(program)), input_shape_(with_batch("input", input_shape, program_->input().features)),
      output_shape_(with_batch("output", output_shape, program_->output().features)) {
  import_numpy();
}

PythonProgram::~PythonProgram() {
  if (program_->lock().try_lock()) {
    program_->lock().unlock();
  } else {
    static_cast<void>(program_.release());
  }
}

nb::object PythonProgram::run(nb::handle x) {
  const Samples samples(x, "input", input_shape_);
  nb::object out = new_array(samples.rows(), output_shape_, NPY_FLOAT32);
  compute(samples.data(), data_of(out), samples.rows());
  return out;
}

void PythonProgram::run_into(nb::handle x, nb::handle out) {
  const Samples samples(x, "input", input_shape_), outputs(out, "output", output_shape_, true);
  if (outputs.rows() != samples.rows() || outputs.overlaps(samples)) {
    throw Error(Error::Kind::data, "the array for the result cannot be used", "output",
                shape_text(std::to_string(samples.rows()), output_shape_) + ", apart from the input", describe(out),
                "Make it with numpy.empty.");
  }
  compute(samples.data(), outputs.data(), samples.rows());
}

void PythonProgram::compute(const std::byte* x, std::byte* y, std::size_t rows) {
  // A short run keeps Python's lock, unless another thread is inside this program.
  if (program_->cost(rows) < kWorthSharing && program_->lock().try_lock()) {
    const std::lock_guard guard(program_->lock(), std::adopt_lock);
    program_->run(x, y, rows);
    return;
  }
  const WithoutPython released;
  const std::lock_guard guard(program_->lock());
  program_->run(x, y, rows);
}

nb::list PythonProgram::trace(nb::handle x) {
  const Samples samples(x, "input", input_shape_);
  const std::size_t rows = samples.rows();
  std::vector<std::byte*> at;
  nb::list out;
  for (const auto& step : program_->steps()) {
    const Value& value = program_->values()[step->result];
    const auto features = static_cast<Py_ssize_t>(value.features);
    const int type = value.kind == Kind::real ? NPY_FLOAT32 : value.kind == Kind::words ? NPY_INT16 : NPY_UINT8;
    const nb::object array = new_array(rows, {0, features}, type);
    at.push_back(data_of(array));
    out.append(nb::make_tuple(step->name, step->kernel, array));
  }

  program_->check_samples(samples.data(), rows);
  const std::lock_guard guard(program_->lock());
  const std::size_t most = program_->block_rows();
  Aligned<std::byte> result(most * program_->output().row);
  for (std::size_t first = 0; first < rows; first += most) {
    const std::size_t count = std::min(most, rows - first);
    const std::byte* input = samples.data() + first * program_->input().row;
    const Block block = program_->block(input, result.data(), count, 0, nullptr);
    for (std::size_t n = 0; n < at.size(); ++n) {
      const Step& step = *program_->steps()[n];
      program_->run_step(step, block);
      const Place place = block.place(step.result);
      unpack(place, step.code_of_byte, count, at[n]);
      const Kind kind = place.value->kind;
      at[n] += count * (kind == Kind::real ? 4 : kind == Kind::words ? 2 : 1) * place.value->features;
    }
  }
  return out;
}

std::vector<double> PythonProgram::profile(nb::handle x, std::size_t repeats) {
  using Clock = std::chrono::steady_clock;
  const Samples samples(x, "input", input_shape_);
  const std::size_t rows = samples.rows();
  const auto& turns = program_->turns();
  const std::lock_guard guard(program_->lock());
  const std::size_t most = program_->block_rows();
  Aligned<std::byte> result(most * program_->output().row);
  std::vector<double> best(program_->steps().size(), 1e30);  // a chain's last step has its time
  for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
    std::vector<double> seconds(best.size(), 0.0);
    for (std::size_t first = 0; first < rows; first += most) {
      const std::size_t count = std::min(most, rows - first);
      const std::byte* at = samples.data() + first * program_->input().row;
      const Block block = program_->block(at, result.data(), count, 0, nullptr);
      for (const Step* step : turns) program_->run_step(*step, block);  // warms, as in a longer run
      for (const Step* step : turns) {
        const Clock::time_point start = Clock::now();
        program_->run_step(*step, block);
        seconds[step->result - 1] += std::chrono::duration<double>(Clock::now() - start).count();
      }
    }
    for (std::size_t n = 0; n < best.size(); ++n) best[n] = std::min(best[n], seconds[n]);
  }
  return best;
}

}  // namespace lowbit
