// lowbit.engine._core: the builder, the program, and what this machine can do.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <algorithm>
#include <chrono>
#include <limits>

#include "../core/loader.h"
#include "../core/machine.h"
#include "../core/error.h"
#include "../core/program_file.h"
#include "../core/sign_convolution.h"
#include "program.h"
#include "steps.h"

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

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    set_python_error(error);
  }
}

nb::list described_units() {
  nb::list all;
  for (const MachineUnit& unit : units()) all.append(nb::make_tuple(unit.name, unit.level, unit.available));
  return all;
}

nb::list described_levels() {
  nb::list all;
  for (const LevelNeeds& level : level_needs()) all.append(nb::make_tuple(level.name, level.missing, level.refused));
  return all;
}

nb::list described_costs() {
  nb::list all;
  for (const PathCost& cost : path_costs()) {
    const PathTraits& can = traits(cost.path);
    all.append(nb::make_tuple(can.name, cost.level, can.by_bits, can.input_bits, can.weight_bits, cost.fully_connected,
                              cost.convolution, cost.ending));
  }
  return all;
}

nb::tuple described(const Speed& speed) { return nb::make_tuple(speed.work, speed.processor, speed.clock); }

nb::dict features() {
  nb::dict out;
  for (const CpuFeature& feature : cpu_features()) out[feature.name.c_str()] = feature.available;
  return out;
}

// Rows, then columns: (kernel, stride, before, after, dilation).
using PythonAxis = std::array<std::size_t, 5>;

WindowSpec window_of(const PythonAxis& rows, const PythonAxis& columns) {
  const auto axis = [](const PythonAxis& a) { return AxisSpec{a[0], a[1], a[2], a[3], a[4]}; };
  return {axis(rows), axis(columns)};
}

void bind_loader(nb::module_& module) {
  nb::class_<Loader>(module, "Loader", "From the steps of a plan to a Program; they must live until then.")
      .def(nb::init<std::vector<std::size_t>, const std::string&, std::size_t, const std::string&>(), "features"_a, "level"_a = "",
           "allowed"_a = std::numeric_limits<std::size_t>::max(), "path"_a = "")
      .def("take", &Loader::take, "bytes"_a, "Counts what constants take.")
      .def("add", &add_step, "step"_a, "value"_a = "", "why"_a = "", "Adds a step of lowbit.program.steps.")
      .def("finish",
           [](Loader& loader, const std::vector<std::size_t>& outputs,
              const std::vector<std::pair<std::string, std::vector<Py_ssize_t>>>& ports, bool by_rows, std::size_t threads,
              bool pinned) {
             std::vector<PortShape> shapes;
             for (const auto& [where, axes] : ports) shapes.push_back({where, axes});
             return new PythonProgram(loader.finish(outputs, threads, pinned), std::move(shapes), by_rows);
           },
           "outputs"_a, "ports"_a, "by_rows"_a = true, "threads"_a = 1, "pinned"_a = false,
           nb::rv_policy::take_ownership);
}

void bind_program(nb::module_& module) {
  nb::class_<PythonProgram>(module, "Program", nb::dynamic_attr())  // Python keeps there what it was made of
      .def_prop_ro("run", &run_function, "A built-in function; keep it, then a call costs no look-up.")
      .def_prop_ro("run_into", &run_into_function)
      .def("trace", &PythonProgram::trace, "arrays"_a)
      .def("profile", &PythonProgram::profile, "arrays"_a, "repeats"_a = 20)
      .def_prop_ro("threads", [](const PythonProgram& p) { return p.program().threads(); })
      .def_prop_ro("arena_bytes", [](const PythonProgram& p) { return p.program().arena_bytes(); })
      .def_prop_ro("merges_codes", [](const PythonProgram& p) { return p.program().merges_codes(); })
      .def_prop_ro("constant_bytes", [](const PythonProgram& p) { return p.program().constant_bytes(); })
      .def_prop_ro("shared_steps", [](const PythonProgram& p) {
        const auto& steps = p.program().steps();
        const auto shared = std::count_if(steps.begin(), steps.end(), [](const auto& step) { return step->cost >= kWorthHanding; });
        return nb::make_tuple(shared, steps.size());
      }, "How many steps take long enough for one sample that several threads share them, and how many there are.")
      .def_prop_ro("worth_sharing", [](const PythonProgram& p) { return p.program().cost(1) > kWorthSharing; },
                   "Whether several threads share one sample at all.")
      .def_prop_ro("alive_bytes", [](const PythonProgram& p) { return p.program().alive_bytes(); })
      .def_prop_ro("work", [](const PythonProgram& p) {
        nb::list work;
        const std::vector<Value>& values = p.program().values();
        for (const auto& step : p.program().steps()) {
          std::size_t moved = values[step->result].row;
          for (const std::size_t source : step->sources) moved += values[source].row;
          work.append(nb::make_tuple(step->unit, step->work, step->products, step->done, values[step->result].features, step->weight_bytes, moved));
        }
        return work;
      }, "By step: the unit that it uses, or nothing, and of a sample: its multiply-adds, products, multiply-adds with padding, "
         "outputs; bytes of weights, and of values that a sample reads and writes.")
      .def_prop_ro("steps", [](const PythonProgram& p) {
        nb::list steps;
        for (const auto& step : p.program().steps()) steps.append(nb::make_tuple(step->name, step->kernel, step->made, step->why));
        return steps;
      }, "Operation, level of the kernel, value made, and why, where there was a choice.");
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
  const auto axes = [](std::size_t h, std::size_t w, std::size_t c) {
    return std::vector<Py_ssize_t>{0, static_cast<Py_ssize_t>(h), static_cast<Py_ssize_t>(w), static_cast<Py_ssize_t>(c)};
  };
  std::vector<PortShape> ports{{"input", axes(height, width, channels)}, {"output", axes(out.height, out.width, out.channels())}};
  return new PythonProgram(std::move(program), std::move(ports), true);
}

}  // namespace

namespace {

nb::tuple described(const records::Port& port) { return nb::make_tuple(port.name, port.type, port.shape, port.lengths); }

nb::list described(const std::vector<records::Port>& ports) {
  nb::list all;
  for (const records::Port& port : ports) all.append(described(port));
  return all;
}

std::vector<PortShape> shapes_of(const records::Network& network) {
  std::vector<PortShape> shapes;
  const auto add = [&](const char* kind, const std::vector<records::Port>& ports) {
    for (const records::Port& port : ports) {
      PortShape shape{ports.size() == 1 ? kind : std::string(kind) + " " + port.name, {}};
      if (network.batched) shape.axes.push_back(1);
      for (const std::size_t length : port.lengths) shape.axes.push_back(static_cast<Py_ssize_t>(length));
      shapes.push_back(std::move(shape));
    }
  };
  add("input", network.inputs), add("output", network.outputs);
  return shapes;
}

// A program file -> a program, and what lowbit.engine.opened makes of the rest.
nb::tuple open_program(const nb::bytes& content, const std::string& where, const std::string& level, std::size_t allowed,
                       const std::string& path, std::size_t threads, bool pinned) {
  const std::span bytes(static_cast<const std::byte*>(content.data()), content.size());
  const records::Network network = read_program_file(bytes, where, allowed);
  auto* program = new PythonProgram(load_program(network, where, {threads, level, allowed, path, pinned}), shapes_of(network), network.by_rows);
  nb::object owned = nb::cast(program, nb::rv_policy::take_ownership);
  nb::list results;
  nb::dict notes;
  for (const records::PlannedStep& step : network.steps) {
    const nb::bytes codes(step.codes.data(), step.codes.size_bytes());
    results.append(nb::make_tuple(step.value, step.type, step.shape, step.least, codes));
  }
  for (const records::Note& note : network.notes) notes[note.key.c_str()] = note.text;
  return nb::make_tuple(owned, described(network.inputs), described(network.outputs), results, network.batched, network.by_rows, notes);
}

}  // namespace

NB_MODULE(_core, module) {
  nb::register_exception_translator(translate);
  nb::set_leak_warnings(false);  // a thread inside run() when Python ends keeps its program
  bind_loader(module);
  bind_program(module);
  module.def("sign_convolution", &make_sign_convolution, "shape"_a, "rows"_a, "columns"_a, "planes"_a.noconvert(),
             "scale"_a.noconvert(), "threads"_a = 1, nb::rv_policy::take_ownership,
             "A binary layer from [n, h, w, c] to [n, h, w, o], for training.");
  module.def("open", &open_program, "content"_a, "where"_a, "level"_a = "", "allowed"_a = std::numeric_limits<std::size_t>::max(),
             "path"_a = "", "threads"_a = 1, "pinned"_a = false, "A program file's program, and what it says of it.");
  module.def("file_lines", &program_file_lines, "Every struct of a program file, to compare with lowbit.program.file.");
  module.def("levels", &available_levels, "Kernel levels of this machine, plainest first.");
  module.def("step_fields", &step_fields, "The fields of every step, to compare with lowbit.program.steps.");
  module.def("cpu_features", &features, "The features that kernel levels need, and whether this machine has them.");
  module.def("units", &described_units, "What can be measured: unit, level, whether this machine has it.");
  module.def("level_needs", &described_levels, "All levels, and the features that this machine lacks for them.");
  module.def("path_costs", &described_costs, "The table of paths: path, level, whether it goes by bits, bits of inputs and weights; costs of layers, convolutions, endings.");
  module.def("measure_unit", [](const std::string& unit, const std::string& level, double seconds) {
    return described(measure_unit(unit, level, seconds));
  }, "unit"_a, "level"_a, "seconds"_a, "Multiply-adds of the quickest attempt, seconds of the processor, and by the clock.");
  module.def("measure_reading", [](const std::string& level, std::size_t bytes, double seconds) {
    return described(measure_reading(level, bytes, seconds));
  }, "level"_a, "bytes"_a, "seconds"_a, "The same of reading so many bytes again and again.");
  module.def("measure_handing", &measure_handing, "threads"_a, "seconds"_a, "Seconds that handing nothing to threads takes at least.");
  module.def("give_back", [] {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
  }, "Gives the system what is free, as after loading a large network.");
}
