#include "program.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>

#include "../core/error.h"

namespace nb = nanobind;

namespace lowbit {
namespace {

std::string shape_text(const char* rows, const Py_ssize_t* shape, std::size_t count) {
  std::string text = std::string("float32 [") + rows;
  for (std::size_t n = 0; n < count; ++n) text += ", " + std::to_string(shape[n]);
  return text + "]";
}

std::string describe(nb::handle object) {
  const auto text = [&](const char* name) { return nb::cast<std::string>(nb::str(nb::getattr(object, name))); };
  if (nb::hasattr(object, "dtype") && nb::hasattr(object, "shape") && nb::hasattr(object, "flags")) {
    const bool dense = nb::cast<bool>(nb::object(object.attr("flags").attr("c_contiguous")));
    const bool writeable = nb::cast<bool>(nb::object(object.attr("flags").attr("writeable")));
    return text("dtype") + " " + text("shape") + (dense ? "" : ", not contiguous") + (writeable ? "" : ", read-only");
  }
  return nb::cast<std::string>(nb::str(nb::getattr(object.type(), "__name__")));
}

// A float32 array of the asked sample shape, borrowed for as long as this lives.
class Samples {
 public:
  Samples(nb::handle array, const char* where, const std::vector<Py_ssize_t>& shape, bool writable) {
    const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    held_ = PyObject_GetBuffer(array.ptr(), &view_, flags) == 0;
    if (!held_) PyErr_Clear();
    if (!held_ || !fits(shape)) {
      if (held_) PyBuffer_Release(&view_);
      throw Error(Error::Kind::data, "the array does not fit the network", where,
                  "contiguous " + shape_text("n", shape.data(), shape.size()), describe(array),
                  "Convert it with numpy.ascontiguousarray(array, numpy.float32) and reshape it.");
    }
  }
  ~Samples() { PyBuffer_Release(&view_); }
  Samples(const Samples&) = delete;
  Samples& operator=(const Samples&) = delete;

  Py_ssize_t rows() const { return view_.shape[0]; }
  std::byte* data() const { return static_cast<std::byte*>(view_.buf); }
  bool overlaps(const Samples& other) const {
    return data() < other.data() + other.view_.len && other.data() < data() + view_.len;
  }

 private:
  bool fits(const std::vector<Py_ssize_t>& shape) const {
    return view_.format != nullptr && std::strcmp(view_.format, "f") == 0 &&
           view_.ndim == static_cast<int>(shape.size()) + 1 &&
           std::equal(shape.begin(), shape.end(), view_.shape + 1) &&
           reinterpret_cast<std::uintptr_t>(view_.buf) % alignof(float) == 0;
  }

  Py_buffer view_;
  bool held_;
};

std::size_t product(const std::vector<Py_ssize_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::size_t{1},
                         [](std::size_t total, Py_ssize_t n) { return total * static_cast<std::size_t>(n); });
}

void check_shape(const char* where, const std::vector<Py_ssize_t>& shape, std::size_t features) {
  const bool positive = std::all_of(shape.begin(), shape.end(), [](Py_ssize_t n) { return n > 0; });
  require(positive && shape.size() < 32 && product(shape) == features, where,
          "a sample shape of " + std::to_string(features) + " elements", shape_text("n", shape.data(), shape.size()));
}

// Codes in planes or bytes -> one byte each; floats as they are. `to` has room for block.rows rows.
void unpack(const Place& from, std::size_t rows, std::byte* to) {
  const Value& value = *from.value;
  const std::size_t row_bytes = value.kind == Kind::real ? 4 * value.features : value.features;
  for (std::size_t row = 0; row < rows; ++row, to += row_bytes) {
    const std::uint8_t* x = from.bytes(row);
    if (value.kind != Kind::planes) {
      std::memcpy(to, x, row_bytes);
      continue;
    }
    for (std::size_t n = 0; n < value.features; ++n) {
      unsigned code = 0;
      for (unsigned i = 0; i < value.bits; ++i) code |= ((x[i * value.plane + n / 8] >> (n % 8)) & 1u) << i;
      to[n] = static_cast<std::byte>(code);
    }
  }
}

}  // namespace

PythonProgram::PythonProgram(std::unique_ptr<Program> program, std::vector<Py_ssize_t> input_shape,
                             std::vector<Py_ssize_t> output_shape)
    : program_(std::move(program)), input_shape_(std::move(input_shape)), output_shape_(std::move(output_shape)) {
  check_shape("input", input_shape_, program_->input().features);
  check_shape("output", output_shape_, program_->output().features);
  const nb::module_ numpy = nb::module_::import_("numpy");
  numpy_empty_ = numpy.attr("empty");
  float32_ = numpy.attr("dtype")("float32");
}

nb::object PythonProgram::run(nb::handle x) {
  const Samples samples(x, "input", input_shape_, false);
  nb::object out = result(samples.rows());
  const Samples outputs(out, "output", output_shape_, true);
  compute(samples.data(), outputs.data(), static_cast<std::size_t>(samples.rows()));
  return out;
}

void PythonProgram::run_into(nb::handle x, nb::handle out) {
  const Samples samples(x, "input", input_shape_, false), outputs(out, "output", output_shape_, true);
  if (outputs.rows() != samples.rows() || outputs.overlaps(samples)) {
    const std::string rows = std::to_string(samples.rows());
    throw Error(Error::Kind::data, "the array for the result cannot be used", "output",
                shape_text(rows.c_str(), output_shape_.data(), output_shape_.size()) + ", apart from the input",
                describe(out), "Make it with numpy.empty.");
  }
  compute(samples.data(), outputs.data(), static_cast<std::size_t>(samples.rows()));
}

void PythonProgram::compute(const std::byte* x, std::byte* y, std::size_t rows) {
  // A short run keeps Python's lock, unless another thread is inside this program.
  if (program_->cost(rows) < kWorthSharing && program_->lock().try_lock()) {
    const std::lock_guard guard(program_->lock(), std::adopt_lock);
    program_->run(x, y, rows);
    return;
  }
  const nb::gil_scoped_release released;
  const std::lock_guard guard(program_->lock());
  program_->run(x, y, rows);
}

nb::object PythonProgram::empty(Py_ssize_t rows, const std::vector<Py_ssize_t>& shape, const char* dtype) {
  nb::list sizes;
  sizes.append(rows);
  for (const Py_ssize_t size : shape) sizes.append(size);
  return numpy_empty_(nb::tuple(sizes), dtype);
}

// numpy.empty by vectorcall, with the shape kept from call to call: a quarter of what the plain call costs.
nb::object PythonProgram::result(Py_ssize_t rows) {
  if (rows != result_rows_) {
    nb::list sizes;
    sizes.append(rows);
    for (const Py_ssize_t size : output_shape_) sizes.append(size);
    result_shape_ = nb::tuple(sizes);
    result_rows_ = rows;
  }
  PyObject* arguments[] = {result_shape_.ptr(), float32_.ptr()};
  PyObject* out = PyObject_Vectorcall(numpy_empty_.ptr(), arguments, 2, nullptr);
  if (out == nullptr) throw nb::python_error();
  return nb::steal(out);
}

nb::list PythonProgram::trace(nb::handle x) {
  const Samples samples(x, "input", input_shape_, false);
  const auto rows = static_cast<std::size_t>(samples.rows());
  std::vector<nb::object> arrays;
  std::vector<Py_buffer> views(program_->steps().size());
  nb::list out;
  for (const auto& step : program_->steps()) {
    const Value& value = program_->values()[step->result];
    const auto features = static_cast<Py_ssize_t>(value.features);
    arrays.push_back(empty(samples.rows(), {features}, value.kind == Kind::real ? "float32" : "uint8"));
    if (PyObject_GetBuffer(arrays.back().ptr(), &views[arrays.size() - 1], PyBUF_C_CONTIGUOUS) != 0) {
      throw nb::python_error();
    }
    out.append(nb::make_tuple(step->name, step->kernel, arrays.back()));
  }

  const std::lock_guard guard(program_->lock());
  Aligned<std::byte> result(kBlockRows * program_->output().row);
  for (std::size_t first = 0; first < rows; first += kBlockRows) {
    const std::size_t count = std::min(kBlockRows, rows - first);
    const std::byte* at = samples.data() + first * program_->input().row;
    const Block block = program_->run_block(at, result.data(), count, 0, nullptr);
    for (std::size_t n = 0; n < views.size(); ++n) {
      const Place place = block.place(program_->steps()[n]->result);
      const std::size_t row_bytes = (place.value->kind == Kind::real ? 4 : 1) * place.value->features;
      unpack(place, count, static_cast<std::byte*>(views[n].buf) + first * row_bytes);
    }
  }
  for (Py_buffer& view : views) PyBuffer_Release(&view);
  return out;
}

std::vector<double> PythonProgram::profile(nb::handle x, std::size_t repeats) {
  using Clock = std::chrono::steady_clock;
  const Samples samples(x, "input", input_shape_, false);
  const auto rows = static_cast<std::size_t>(samples.rows());
  const auto& steps = program_->steps();
  const std::lock_guard guard(program_->lock());
  Aligned<std::byte> result(kBlockRows * program_->output().row);
  std::vector<double> best(steps.size(), 1e30);
  for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
    std::vector<double> seconds(steps.size(), 0.0);
    for (std::size_t first = 0; first < rows; first += kBlockRows) {
      const std::size_t count = std::min(kBlockRows, rows - first);
      const std::byte* at = samples.data() + first * program_->input().row;
      const Block block = program_->run_block(at, result.data(), count, 0, nullptr);  // warms, as in a longer run
      for (std::size_t n = 0; n < steps.size(); ++n) {
        const Clock::time_point start = Clock::now();
        steps[n]->run(block);
        seconds[n] += std::chrono::duration<double>(Clock::now() - start).count();
      }
    }
    for (std::size_t n = 0; n < steps.size(); ++n) best[n] = std::min(best[n], seconds[n]);
  }
  return best;
}

}  // namespace lowbit
