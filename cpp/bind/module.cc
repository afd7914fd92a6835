// lowbit.engine._core: the builder, the program, and what this machine can do.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "../core/builder.h"
#include "../core/error.h"
#include "../core/sign_convolution.h"
#include "program.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using namespace lowbit;

template <class T, int kRank>
using Array = nb::ndarray<const T, nb::ndim<kRank>, nb::c_contig, nb::device::cpu>;

template <class T>
std::span<const T> span(const Array<T, 1>& array) {
  return {array.data(), array.shape(0)};
}

template <class T>
Matrix<T> matrix(const Array<T, 2>& array) {
  return {array.data(), array.shape(0), array.shape(1)};
}

// [channels, planes, words] as rows of planes * words.
Matrix<std::uint32_t> plane_rows(const Array<std::uint32_t, 3>& array) {
  return {array.data(), array.shape(0), array.shape(1) * array.shape(2)};
}

// An EpilogueSpec with the arrays that it looks into.
struct PythonEpilogue {
  Output output = Output::real;
  Array<std::int32_t, 2> thresholds;
  Array<std::uint8_t, 1> table;
  Array<double, 1> scale, bias;
  double out_scale = 1, out_zero = 0, out_top = 255;
  EndingSpec other{};
  Array<std::int64_t, 2> wide_thresholds;
  Array<std::uint16_t, 1> entries;

  EpilogueSpec spec() const {
    EpilogueSpec spec{output, {}, {}, {}, {}, out_scale, out_zero, out_top, other};
    if (output == Output::other) {
      if (wide_thresholds.is_valid()) spec.other.thresholds = matrix(wide_thresholds), spec.other.table = span(entries);
      if (scale.is_valid()) spec.other.scale = span(scale);
      if (bias.is_valid()) spec.other.bias = span(bias);
      return spec;
    }
    if (output == Output::planes || output == Output::bytes) {
      spec.thresholds = matrix(thresholds), spec.table = span(table);
    } else {
      spec.scale = span(scale);
    }
    if (output == Output::real) spec.bias = span(bias);
    return spec;
  }
};

PythonEpilogue threshold_epilogue(Output output, Array<std::int32_t, 2> thresholds, Array<std::uint8_t, 1> table) {
  PythonEpilogue epilogue;
  epilogue.output = output;
  epilogue.thresholds = std::move(thresholds);
  epilogue.table = std::move(table);
  return epilogue;
}

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    set_python_error(error);
  }
}

template <class Function>
double best_rate(Function* peak) {
  using Clock = std::chrono::steady_clock;
  constexpr std::uint64_t kRepeats = 100'000;
  double best = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    const Clock::time_point start = Clock::now();
    const auto done = static_cast<double>(peak(kRepeats));
    best = std::max(best, done / std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

nb::dict measure_peak(const std::string& level) {
  const KernelSet kernels = select_kernels(level);
  nb::dict rates;
  rates["popcount"] = best_rate(kernels.popcount_peak.run);
  if (kernels.pair_peak.run != nullptr) rates["pairs"] = best_rate(kernels.pair_peak.run);
  if (kernels.dot_peak.run != nullptr) rates["dot"] = best_rate(kernels.dot_peak.run);
  return rates;
}

nb::dict kernels(const std::string& level) {
  const KernelSet set = select_kernels(level);
  nb::dict names;
  names["encode"] = set.encode.level;
  names["encode_affine"] = set.encode_affine.level;
  names["plane_fully_connected"] = set.plane_fully_connected.level;
  names["byte_fully_connected"] = set.byte_fully_connected.level;
  names["word_fully_connected"] = set.word_fully_connected.level;
  names["word_convolution"] = set.word_convolution.level;
  names["float_fully_connected"] = set.float_fully_connected.level;
  names["weight_only_fully_connected"] = set.weight_only_fully_connected.level;
  names["plane_convolution"] = set.plane_convolution.level;
  names["byte_convolution"] = set.byte_convolution.level;
  names["float_convolution"] = set.float_convolution.level;
  return names;
}

nb::dict features() {
  const CpuFeatures cpu = cpu_features();
  nb::dict out;
  out["avx2"] = cpu.avx2, out["avx512"] = cpu.avx512;
  out["avx512_vpopcntdq"] = cpu.vpopcntdq, out["avx512_vnni"] = cpu.vnni;
  return out;
}

// Rows, then columns: (kernel, stride, before, after, dilation).
using PythonAxis = std::array<std::size_t, 5>;

WindowSpec window_of(const PythonAxis& rows, const PythonAxis& columns, std::size_t group = 1) {
  const auto axis = [](const PythonAxis& a) { return AxisSpec{a[0], a[1], a[2], a[3], a[4]}; };
  return {axis(rows), axis(columns), group};
}

void bind_maps(nb::class_<Builder>& builder) {
  builder
      .def("arrange", &Builder::arrange, "x"_a, "channels"_a, "height"_a, "width"_a)
      .def("flatten", &Builder::flatten, "x"_a)
      .def("plane_convolution",
           [](Builder& b, std::size_t x, const PythonAxis& rows, const PythonAxis& columns, std::size_t group,
              const Array<std::uint32_t, 3>& planes, const Array<std::int32_t, 2>& factors,
              const Array<std::int32_t, 1>& offsets, const Array<std::int32_t, 1>& input_factors,
              const PythonEpilogue& epilogue) {
             return b.plane_convolution(x, window_of(rows, columns, group),
                                        {plane_rows(planes), matrix(factors), span(offsets), span(input_factors)},
                                        epilogue.spec());
           },
           "x"_a, "rows"_a, "columns"_a, "group"_a, "planes"_a.noconvert(), "factors"_a.noconvert(),
           "offsets"_a.noconvert(), "input_factors"_a.noconvert(), "epilogue"_a)
      .def("byte_convolution",
           [](Builder& b, std::size_t x, const PythonAxis& rows, const PythonAxis& columns, std::size_t group,
              const Array<std::int8_t, 2>& weights, const Array<std::int32_t, 1>& constant,
              const Array<std::int32_t, 1>& row_factor, const PythonEpilogue& epilogue) {
             return b.byte_convolution(x, window_of(rows, columns, group),
                                       {matrix(weights), span(constant), span(row_factor)}, epilogue.spec());
           },
           "x"_a, "rows"_a, "columns"_a, "group"_a, "weights"_a.noconvert(), "constant"_a.noconvert(),
           "row_factor"_a.noconvert(), "epilogue"_a)
      .def("float_convolution",
           [](Builder& b, std::size_t x, const PythonAxis& rows, const PythonAxis& columns, std::size_t group,
              const Array<float, 2>& weights, const Array<float, 1>& bias) {
             return b.float_convolution(x, window_of(rows, columns, group), matrix(weights), span(bias));
           },
           "x"_a, "rows"_a, "columns"_a, "group"_a, "weights"_a.noconvert(), "bias"_a.noconvert())
      .def("max_pool",
           [](Builder& b, std::size_t x, const PythonAxis& rows, const PythonAxis& columns,
              const Array<std::uint8_t, 1>& ranks) { return b.max_pool(x, window_of(rows, columns), span(ranks)); },
           "x"_a, "rows"_a, "columns"_a, "ranks"_a.noconvert())
      .def("average_pool",
           [](Builder& b, std::size_t x, const PythonAxis& rows, const PythonAxis& columns, bool count_all) {
             return b.average_pool(x, window_of(rows, columns), count_all);
           },
           "x"_a, "rows"_a, "columns"_a, "count_all"_a)
      .def("scale_channels",
           [](Builder& b, std::size_t x, const Array<float, 1>& scale, const Array<float, 1>& shift) {
             return b.scale_channels(x, span(scale), span(shift));
           },
           "x"_a, "scale"_a.noconvert(), "shift"_a.noconvert())
      .def("concatenate", &Builder::concatenate, "x"_a);
}

// Endings of any rule: what layers of words end in, and those of bytes and planes where they have no other.
void bind_endings(nb::module_& module, nb::class_<PythonEpilogue>& epilogue) {
  nb::enum_<Form>(module, "Form").value("planes", Form::planes).value("bytes", Form::bytes).value("words", Form::words);
  nb::enum_<Rule>(module, "Rule")
      .value("shift_up", Rule::shift_up).value("shift_down", Rule::shift_down).value("round_even", Rule::round_even)
      .value("round_up", Rule::round_up).value("round_down", Rule::round_down);
  epilogue
      .def_static("ranks",
                  [](Form form, Array<std::int64_t, 2> thresholds, Array<std::uint16_t, 1> table) {
                    PythonEpilogue one;
                    one.output = Output::other, one.other.rule = Rule::ranks, one.other.form = form;
                    one.wide_thresholds = std::move(thresholds), one.entries = std::move(table);
                    return one;
                  },
                  "form"_a, "thresholds"_a.noconvert(), "table"_a.noconvert(), "table[#{acc > thresholds[o]}].")
      .def_static("shifted",
                  [](Form form, Rule rule, std::int32_t shift, std::int32_t low, std::int32_t high, std::int32_t base) {
                    PythonEpilogue one;
                    one.output = Output::other, one.other.rule = rule, one.other.form = form;
                    one.other.shift = shift, one.other.low = low, one.other.high = high, one.other.base = base;
                    return one;
                  },
                  "form"_a, "rule"_a, "shift"_a, "low"_a, "high"_a, "base"_a,
                  "clip(round(acc 2^-shift), low, high) - base, in integers.")
      .def_static("rounded",
                  [](Form form, Rule rule, Array<double, 1> scale, Array<double, 1> bias, double step, double zero,
                     std::int32_t low, std::int32_t high, std::int32_t base) {
                    PythonEpilogue one;
                    one.output = Output::other, one.other.rule = rule, one.other.form = form;
                    one.scale = std::move(scale), one.bias = std::move(bias);
                    one.other.step = step, one.other.zero = zero;
                    one.other.low = low, one.other.high = high, one.other.base = base;
                    return one;
                  },
                  "form"_a, "rule"_a, "scale"_a.noconvert(), "bias"_a.noconvert(), "step"_a, "zero"_a, "low"_a, "high"_a,
                  "base"_a, "clip(round((scale * acc + bias) / step) + zero, low, high) - base, in float64.")
      .def_static("reals",
                  [](Array<double, 1> scale, Array<double, 1> bias) {
                    PythonEpilogue one;
                    one.output = Output::other, one.other.rule = Rule::real, one.other.form = Form::reals;
                    one.scale = std::move(scale), one.bias = std::move(bias);
                    return one;
                  },
                  "scale"_a.noconvert(), "bias"_a.noconvert(), "float32(scale * acc + bias), from sums of any width.");
}

void bind_words(nb::class_<Builder>& builder) {
  builder
      .def("word_fully_connected",
           [](Builder& b, std::size_t x, std::size_t rows, const Array<std::int16_t, 2>& weights,
              const Array<std::int64_t, 1>& constant, const PythonEpilogue& epilogue) {
             return b.word_fully_connected(x, rows, {matrix(weights), span(constant)}, epilogue.spec());
           },
           "x"_a, "rows"_a, "weights"_a.noconvert(), "constant"_a.noconvert(), "epilogue"_a)
      .def("word_convolution",
           [](Builder& b, std::size_t x, const PythonAxis& rows, const PythonAxis& columns, std::size_t group,
              const Array<std::int16_t, 2>& weights, const Array<std::int64_t, 1>& constant, const PythonEpilogue& epilogue) {
             return b.word_convolution(x, window_of(rows, columns, group), {matrix(weights), span(constant)}, epilogue.spec());
           },
           "x"_a, "rows"_a, "columns"_a, "group"_a, "weights"_a.noconvert(), "constant"_a.noconvert(), "epilogue"_a)
      .def("round",
           [](Builder& b, std::size_t x, Form form, Rule rule, double step, double zero, std::int32_t low, std::int32_t high,
              std::int32_t base) { return b.round(x, {rule, form, step, zero, low, high, base}); },
           "x"_a, "form"_a, "rule"_a, "step"_a, "zero"_a, "low"_a, "high"_a, "base"_a)
      .def("rank",
           [](Builder& b, std::size_t x, const Array<float, 1>& thresholds, const Array<std::int16_t, 1>& table) {
             return b.rank(x, span(thresholds), span(table));
           },
           "x"_a, "thresholds"_a.noconvert(), "table"_a.noconvert())
      .def("look_up_entries",
           [](Builder& b, std::size_t x, Form form, std::int32_t least, const Array<std::uint16_t, 1>& table) {
             return b.look_up_entries(x, form, least, span(table));
           },
           "x"_a, "form"_a, "least"_a, "table"_a.noconvert())
      .def("decode_words",
           [](Builder& b, std::size_t x, std::int32_t least, const Array<float, 1>& table) {
             return b.decode_words(x, least, span(table));
           },
           "x"_a, "least"_a, "table"_a.noconvert())
      .def("add_words",
           [](Builder& b, std::size_t x, std::size_t y, Rule rule, std::int32_t shift, std::int32_t low, std::int32_t high) {
             EndingSpec spec;
             spec.rule = rule, spec.form = Form::words, spec.shift = shift, spec.low = low, spec.high = high;
             return b.add_words(x, y, spec);
           },
           "x"_a, "y"_a, "rule"_a, "shift"_a, "low"_a, "high"_a);
}

void bind_builder(nb::module_& module) {
  nb::class_<PythonEpilogue> epilogue(module, "Epilogue", "How a layer ends.");
  epilogue
      .def_static("planes",
                  [](Array<std::int32_t, 2> thresholds, Array<std::uint8_t, 1> table) {
                    return threshold_epilogue(Output::planes, std::move(thresholds), std::move(table));
                  },
                  "thresholds"_a.noconvert(), "table"_a.noconvert(), "table[#{acc > thresholds[o]}] as packed codes.")
      .def_static("bytes",
                  [](Array<std::int32_t, 2> thresholds, Array<std::uint8_t, 1> table) {
                    return threshold_epilogue(Output::bytes, std::move(thresholds), std::move(table));
                  },
                  "thresholds"_a.noconvert(), "table"_a.noconvert(), "table[#{acc > thresholds[o]}] as bytes.")
      .def_static("affine",
                  [](Array<double, 1> scale, double out_scale, double out_zero, double out_top) {
                    PythonEpilogue epilogue;
                    epilogue.output = Output::affine;
                    epilogue.scale = std::move(scale);
                    epilogue.out_scale = out_scale, epilogue.out_zero = out_zero, epilogue.out_top = out_top;
                    return epilogue;
                  },
                  "scale"_a.noconvert(), "out_scale"_a, "out_zero"_a, "out_top"_a = 255.0,
                  "clip(rint(scale * acc / out_scale) + out_zero, 0, out_top) as bytes.")
      .def_static("real",
                  [](Array<double, 1> scale, Array<double, 1> bias) {
                    PythonEpilogue epilogue;
                    epilogue.scale = std::move(scale), epilogue.bias = std::move(bias);
                    return epilogue;
                  },
                  "scale"_a.noconvert(), "bias"_a.noconvert(), "float32(scale * acc + bias), in float64 until the end.");

  bind_endings(module, epilogue);
  nb::enum_<Function>(module, "Function")
      .value("identity", Function::identity).value("tanh", Function::tanh).value("sigmoid", Function::sigmoid)
      .value("elu", Function::elu).value("exponential", Function::exponential)
      .value("logarithm", Function::logarithm).value("absolute", Function::absolute);
  nb::enum_<Arithmetic>(module, "Arithmetic")
      .value("add", Arithmetic::add).value("subtract", Arithmetic::subtract)
      .value("multiply", Arithmetic::multiply).value("divide", Arithmetic::divide)
      .value("subtract_from", Arithmetic::subtract_from).value("divide_into", Arithmetic::divide_into);

  nb::class_<Builder> builder(module, "Builder", "Puts a Program together; each method returns the number of a new value.");
  bind_maps(builder);
  bind_words(builder);
  builder
      .def(nb::init<std::size_t, const std::string&, std::size_t>(), "features"_a, "level"_a = "",
           "allowed"_a = std::numeric_limits<std::size_t>::max())
      .def("take", &Builder::take, "bytes"_a, "Counts what constants take.")
      .def("encode_planes",
           [](Builder& b, std::size_t x, const Array<float, 1>& thresholds, const Array<std::uint8_t, 1>& table) {
             return b.encode_planes(x, span(thresholds), span(table));
           },
           "x"_a, "thresholds"_a.noconvert(), "table"_a.noconvert())
      .def("encode_bytes",
           [](Builder& b, std::size_t x, const Array<float, 1>& thresholds, const Array<std::uint8_t, 1>& table) {
             return b.encode_bytes(x, span(thresholds), span(table));
           },
           "x"_a, "thresholds"_a.noconvert(), "table"_a.noconvert())
      .def("encode_affine", &Builder::encode_affine, "x"_a, "scale"_a, "zero"_a, "top"_a = 255.0)
      .def("plane_fully_connected",
           [](Builder& b, std::size_t x, const Array<std::uint32_t, 3>& planes, const Array<std::int32_t, 2>& factors,
              const Array<std::int32_t, 1>& offsets, const Array<std::int32_t, 1>& input_factors,
              const PythonEpilogue& epilogue) {
             return b.plane_fully_connected(
                 x, {plane_rows(planes), matrix(factors), span(offsets), span(input_factors)}, epilogue.spec());
           },
           "x"_a, "planes"_a.noconvert(), "factors"_a.noconvert(), "offsets"_a.noconvert(), "input_factors"_a.noconvert(), "epilogue"_a)
      .def("byte_fully_connected",
           [](Builder& b, std::size_t x, const Array<std::int8_t, 2>& weights, const Array<std::int32_t, 1>& constant,
              const Array<std::int32_t, 1>& row_factor, const PythonEpilogue& epilogue) {
             return b.byte_fully_connected(x, {matrix(weights), span(constant), span(row_factor)}, epilogue.spec());
           },
           "x"_a, "weights"_a.noconvert(), "constant"_a.noconvert(), "row_factor"_a.noconvert(), "epilogue"_a)
      .def("float_fully_connected",
           [](Builder& b, std::size_t x, const Array<float, 2>& weights, const Array<float, 1>& bias) {
             return b.float_fully_connected(x, matrix(weights), span(bias));
           },
           "x"_a, "weights"_a.noconvert(), "bias"_a.noconvert())
      .def("weight_only_fully_connected",
           [](Builder& b, std::size_t x, const Array<std::uint32_t, 3>& planes, const Array<float, 2>& factors,
              const Array<float, 1>& offsets, const Array<float, 1>& bias) {
             return b.weight_only_fully_connected(x, {plane_rows(planes), matrix(factors), span(offsets)}, span(bias));
           },
           "x"_a, "planes"_a.noconvert(), "factors"_a.noconvert(), "offsets"_a.noconvert(), "bias"_a.noconvert())
      .def("look_up",
           [](Builder& b, std::size_t x, const Array<std::uint8_t, 1>& table) { return b.look_up(x, span(table)); },
           "x"_a, "table"_a.noconvert())
      .def("decode", [](Builder& b, std::size_t x, const Array<float, 1>& table) { return b.decode(x, span(table)); },
           "x"_a, "table"_a.noconvert())
      .def("activate", &Builder::activate, "x"_a, "function"_a)
      .def("clip", &Builder::clip, "x"_a, "low"_a, "high"_a)
      .def("combine", &Builder::combine, "x"_a, "y"_a, "operation"_a)
      .def("combine_constant",
           [](Builder& b, std::size_t x, const Array<float, 1>& row, Arithmetic operation) {
             return b.combine_constant(x, span(row), operation);
           },
           "x"_a, "row"_a.noconvert(), "operation"_a)
      .def("gather",
           [](Builder& b, std::size_t x, const Array<std::uint32_t, 1>& source, std::size_t channels,
              std::size_t height, std::size_t width) { return b.gather(x, span(source), channels, height, width); },
           "x"_a, "source"_a.noconvert(), "channels"_a, "height"_a, "width"_a)
      .def("softmax", &Builder::softmax, "x"_a, "logarithm"_a = false)
      .def("finish",
           [](Builder& b, std::size_t output, const std::vector<Py_ssize_t>& input_shape,
              const std::vector<Py_ssize_t>& output_shape, std::size_t threads, bool pinned) {
             return new PythonProgram(b.finish(output, threads, pinned), input_shape, output_shape);
           },
           "output"_a, "input_shape"_a, "output_shape"_a, "threads"_a = 1, "pinned"_a = false,
           nb::rv_policy::take_ownership);
}

void bind_program(nb::module_& module) {
  nb::class_<PythonProgram>(module, "Program", nb::dynamic_attr())  // Python keeps there what it was made of
      .def_prop_ro("run", &run_function, "A built-in function; keep it, then a call costs no look-up.")
      .def_prop_ro("run_into", &run_into_function)
      .def("trace", &PythonProgram::trace, "x"_a)
      .def("profile", &PythonProgram::profile, "x"_a, "repeats"_a = 20)
      .def_prop_ro("threads", [](const PythonProgram& p) { return p.program().threads(); })
      .def_prop_ro("arena_bytes", [](const PythonProgram& p) { return p.program().arena_bytes(); })
      .def_prop_ro("constant_bytes", [](const PythonProgram& p) { return p.program().constant_bytes(); })
      .def_prop_ro("work", [](const PythonProgram& p) {
        nb::list work;
        for (const auto& step : p.program().steps()) work.append(nb::make_tuple(step->unit, step->work));
        return work;
      }, "By step: the peak that bounds it (popcount, dot, float, or nothing), and multiply-adds of a sample.")
      .def_prop_ro("steps", [](const PythonProgram& p) {
        nb::list steps;
        for (const auto& step : p.program().steps()) steps.append(nb::make_tuple(step->name, step->kernel));
        return steps;
      });
}

}  // namespace

namespace {

PythonProgram* make_sign_convolution(const std::array<std::size_t, 3>& shape, const PythonAxis& rows,
                                     const PythonAxis& columns, const Array<std::uint32_t, 2>& planes,
                                     const Array<double, 1>& scale, std::size_t threads) {
  const auto& [channels, height, width] = shape;
  auto program = sign_convolution({channels, height, width}, window_of(rows, columns), matrix(planes), span(scale),
                                  "", threads);
  const Value& out = program->output();
  const std::vector<Py_ssize_t> in_shape{static_cast<Py_ssize_t>(height), static_cast<Py_ssize_t>(width),
                                         static_cast<Py_ssize_t>(channels)};
  const std::vector<Py_ssize_t> out_shape{static_cast<Py_ssize_t>(out.height), static_cast<Py_ssize_t>(out.width),
                                          static_cast<Py_ssize_t>(out.channels())};
  return new PythonProgram(std::move(program), in_shape, out_shape);
}

}  // namespace

NB_MODULE(_core, module) {
  nb::register_exception_translator(translate);
  nb::set_leak_warnings(false);  // a thread inside run() when Python ends keeps its program
  bind_builder(module);
  bind_program(module);
  module.def("sign_convolution", &make_sign_convolution, "shape"_a, "rows"_a, "columns"_a, "planes"_a.noconvert(),
             "scale"_a.noconvert(), "threads"_a = 1, nb::rv_policy::take_ownership,
             "A binary layer from [n, h, w, c] to [n, h, w, o], for training.");
  module.def("levels", &available_levels, "Kernel levels of this machine, plainest first.");
  module.def("kernels", &kernels, "level"_a = "", "The level that runs each operation.");
  module.def("cpu_features", &features);
  module.def("measure_peak", &measure_peak, "level"_a = "",
             "Multiply-adds per second of one core: {'popcount': binary, 'dot': bytes, where there is an instruction}.");
}
