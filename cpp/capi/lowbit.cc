#include "lowbit.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "../core/error.h"
#include "../core/names.h"
#include "../core/program_file.h"
#include "../core/trace.h"
#include "content.h"

namespace lowbit {
namespace {

constexpr float kExact = 16'777'216;  // the largest integer that float32 holds beside all smaller ones
constexpr std::size_t kMemory = static_cast<std::size_t>(std::min<std::uint64_t>(std::uint64_t{4} << 30, SIZE_MAX / 2));
constexpr const char* kInPlanes = "popcount";  // the path that tells codes of equal levels apart

[[noreturn]] void misused(const char* where, const std::string& expected, const std::string& found) {
  throw Error(Error::Kind::usage, "this cannot be meant", where, expected, found, "See lowbit.h.");
}

// Of this thread; a text that does not fit is cut.
thread_local char last_error[2048];

lowbit_status fail(lowbit_status status, const char* text) {
  std::snprintf(last_error, sizeof last_error, "%s", text);
  return status;
}

lowbit_status fail(const Error& error) {
  std::snprintf(last_error, sizeof last_error, "%s: %s; expected %s; found %s. %s", error.where.c_str(), error.what(),
                error.expected.c_str(), error.found.c_str(), error.remedy.c_str());
  switch (error.kind) {
    case Error::Kind::usage: return LOWBIT_ERROR_USAGE;
    case Error::Kind::memory: return LOWBIT_ERROR_MEMORY;
    case Error::Kind::file: return LOWBIT_ERROR_FILE;
    case Error::Kind::data: return LOWBIT_ERROR_DATA;
    default: return LOWBIT_ERROR_UNSUPPORTED;
  }
}

// No exception goes further.
template <class Call>
lowbit_status guarded(const Call& call) {
  try {
    call();
    return LOWBIT_OK;
  } catch (const Error& error) {
    return fail(error);
  } catch (const std::bad_alloc&) {
    return fail(LOWBIT_ERROR_MEMORY, "the machine lacks the memory for this");
  } catch (const std::length_error&) {
    return fail(LOWBIT_ERROR_MEMORY, "this would take more memory than there can be");
  } catch (const std::exception& error) {
    return fail(LOWBIT_ERROR_INTERNAL, error.what());
  } catch (...) {
    return fail(LOWBIT_ERROR_INTERNAL, "an exception of an unknown kind");
  }
}

std::size_t element_bytes(lowbit_type type) { return type == LOWBIT_INT64 ? 8 : type == LOWBIT_BOOL ? 1 : 4; }

void to_floats(const void* from, lowbit_type type, std::size_t count, float* to) {
  bool fits = true;
  const auto take = [&]<class T>(const T* numbers) {
    for (std::size_t n = 0; n < count; ++n) {
      if constexpr (sizeof(T) > 1) fits = fits && numbers[n] >= -static_cast<T>(kExact) && numbers[n] <= static_cast<T>(kExact);
      to[n] = sizeof(T) > 1 ? static_cast<float>(numbers[n]) : static_cast<float>(numbers[n] != 0);
    }
  };
  type == LOWBIT_INT64   ? take(static_cast<const std::int64_t*>(from))
  : type == LOWBIT_INT32 ? take(static_cast<const std::int32_t*>(from))
                         : take(static_cast<const std::uint8_t*>(from));
  if (!fits) {
    throw Error(Error::Kind::data, "integers are larger than the engine holds", "input", "-16777216 to 16777216", "larger ones",
                "Give others.");
  }
}

void from_floats(const float* from, lowbit_type type, std::size_t count, void* to) {
  // What no integer stands for, NaN too, is the least one.
  const auto give = [&]<class T>(T* numbers) {
    constexpr float kLimit = sizeof(T) == 8 ? 9.2e18f : 2.1e9f;
    for (std::size_t n = 0; n < count; ++n) {
      numbers[n] = from[n] > -kLimit && from[n] < kLimit ? static_cast<T>(from[n]) : std::numeric_limits<T>::min();
    }
  };
  if (type == LOWBIT_BOOL) {
    for (std::size_t n = 0; n < count; ++n) static_cast<std::uint8_t*>(to)[n] = from[n] != 0;
  } else {
    type == LOWBIT_INT64 ? give(static_cast<std::int64_t*>(to)) : give(static_cast<std::int32_t*>(to));
  }
}

}  // namespace
}  // namespace lowbit

using namespace lowbit;

// A program with what callers ask of it. The program's lock guards what is below.
struct lowbit_program {
  struct End {
    std::string name;
    lowbit_type type;
    std::vector<std::int64_t> shape;
    std::size_t elements;
  };

  lowbit_program(std::span<const std::byte> content, const std::string& where, const LoadOptions& options) {
    records::Network network = read_program_file(content, where, options.allowed);
    program = load_program(network, where, options);
    by_rows = network.by_rows;
    for (const records::Port& port : network.inputs) ends.push_back(end_of(port, network));
    for (const records::Port& port : network.outputs) ends.push_back(end_of(port, network));
    notes = std::move(network.notes);
    ports.resize(ends.size());
    plain = std::all_of(ends.begin(), ends.end(), [](const End& end) { return end.type == LOWBIT_FLOAT32; });
    for (const End& end : ends) rows_of.emplace_back(plain ? 0 : block_rows() * end.elements);
  }

  static End end_of(const records::Port& port, const records::Network& network) {
    End end{port.name, static_cast<lowbit_type>(find_name(kPortTypes, port.type)), {}, 1};
    if (network.batched) end.shape.push_back(1);
    for (const std::size_t length : port.lengths) end.shape.push_back(static_cast<std::int64_t>(length)), end.elements *= length;
    if (network.by_rows) end.shape[0] = LOWBIT_ROWS;
    return end;
  }

  std::size_t block_rows() const { return by_rows ? program->block_rows() : 1; }

  void check(std::size_t rows, const void* const* in, const void* const* out) const {
    if (!by_rows && rows != 1) misused("rows", "1: this network takes one sample a run", std::to_string(rows));
    if (in == nullptr || out == nullptr) misused("lowbit_run", "arrays of pointers", "NULL");
    for (std::size_t n = 0; n < ends.size() && rows != 0; ++n) {
      if ((n < program->inputs() ? in[n] : out[n - program->inputs()]) == nullptr) misused(ends[n].name.c_str(), "an array", "NULL");
    }
  }

  // Of float32 alone: as the caller has it.
  void run_plain(std::size_t rows, const void* const* in, void* const* out) {
    const std::size_t inputs = program->inputs();
    for (std::size_t n = 0; n < inputs; ++n) ports[n] = static_cast<std::byte*>(const_cast<void*>(in[n]));
    for (std::size_t n = inputs; n < ends.size(); ++n) ports[n] = static_cast<std::byte*>(out[n - inputs]);
    program->run(ports, rows);
  }

  // Integers go through rooms of floats, block by block.
  void run_typed(std::size_t rows, const void* const* in, void* const* out) {
    const std::size_t inputs = program->inputs();
    for (std::size_t first = 0; first < rows; first += block_rows()) {
      const std::size_t count = std::min(block_rows(), rows - first);
      const auto at = [&](std::size_t n) { return first * ends[n].elements * element_bytes(ends[n].type); };
      for (std::size_t n = 0; n < ends.size(); ++n) {
        const bool own = ends[n].type != LOWBIT_FLOAT32;
        auto* given = n < inputs ? static_cast<std::byte*>(const_cast<void*>(in[n])) : static_cast<std::byte*>(out[n - inputs]);
        ports[n] = own ? reinterpret_cast<std::byte*>(rows_of[n].data()) : given + at(n);
        if (own && n < inputs) to_floats(given + at(n), ends[n].type, count * ends[n].elements, rows_of[n].data());
      }
      program->run(ports, count);
      for (std::size_t n = inputs; n < ends.size(); ++n) {
        if (ends[n].type == LOWBIT_FLOAT32) continue;
        from_floats(rows_of[n].data(), ends[n].type, count * ends[n].elements, static_cast<std::byte*>(out[n - inputs]) + at(n));
      }
    }
  }

  std::unique_ptr<Program> program;
  bool by_rows, plain = true;
  std::vector<End> ends;  // inputs, then outputs
  std::vector<records::Note> notes;
  std::vector<std::byte*> ports;
  std::vector<std::vector<float>> rows_of;  // by port, where not all are float32
};

namespace {

LoadOptions options_of(const lowbit_options* given) {
  lowbit_options chosen = LOWBIT_OPTIONS;
  // A caller that was compiled before `path` came gives a shorter struct.
  const std::size_t size = given == nullptr ? 0 : given->size;
  if (given != nullptr && size != sizeof chosen && size != offsetof(lowbit_options, path)) {
    misused("options.size", "that of LOWBIT_OPTIONS", std::to_string(size));
  }
  if (given != nullptr) std::memcpy(&chosen, given, size);
  LoadOptions options;
  options.threads = chosen.threads, options.allowed = chosen.memory == 0 ? kMemory : chosen.memory, options.pinned = chosen.pin_workers != 0;
  if (chosen.kernels != nullptr) options.level = chosen.kernels;
  if (chosen.path != nullptr) options.path = chosen.path;
  if (chosen.codes_apart != 0) options.path = kInPlanes;
  return options;
}

lowbit_status port_of(const lowbit_program* program, std::size_t number, std::size_t first, std::size_t count, lowbit_port* port) {
  return guarded([&] {
    if (program == nullptr || port == nullptr) misused("port", "a program and a place for the answer", "NULL");
    if (number >= count) misused("number", "less than " + std::to_string(count), std::to_string(number));
    const lowbit_program::End& end = program->ends[first + number];
    *port = {end.name.c_str(), end.type, end.shape.size(), end.shape.data(), end.elements};
  });
}

void check_new(const void* content, lowbit_program** program) {
  if (program == nullptr) misused("program", "a place for it", "NULL");
  *program = nullptr;
  if (content == nullptr) misused("lowbit_open", "a file", "NULL");
}

}  // namespace

const char* lowbit_version(void) { return LOWBIT_VERSION; }

const char* lowbit_error(void) { return last_error; }

lowbit_status lowbit_open(const char* path, const lowbit_options* options, lowbit_program** program) {
  return guarded([&] {
    check_new(path, program);
    const MappedFile file(path);
    *program = new lowbit_program(file.content(), path, options_of(options));
  });
}

lowbit_status lowbit_open_memory(const void* content, size_t size, const lowbit_options* options, lowbit_program** program) {
  return guarded([&] {
    check_new(content, program);
    const auto* bytes = static_cast<const std::byte*>(content);
    std::vector<std::uint64_t> copy;
    if (reinterpret_cast<std::uintptr_t>(content) % sizeof(std::uint64_t) != 0) {
      copy.resize(size / sizeof(std::uint64_t) + 1);
      std::memcpy(copy.data(), content, size);
      bytes = reinterpret_cast<const std::byte*>(copy.data());
    }
    *program = new lowbit_program({bytes, size}, "memory", options_of(options));
  });
}

void lowbit_close(lowbit_program* program) { delete program; }

size_t lowbit_inputs(const lowbit_program* program) { return program == nullptr ? 0 : program->program->inputs(); }

size_t lowbit_outputs(const lowbit_program* program) { return program == nullptr ? 0 : program->program->outputs(); }

lowbit_status lowbit_input(const lowbit_program* program, size_t number, lowbit_port* port) {
  return port_of(program, number, 0, lowbit_inputs(program), port);
}

lowbit_status lowbit_output(const lowbit_program* program, size_t number, lowbit_port* port) {
  return port_of(program, number, lowbit_inputs(program), lowbit_outputs(program), port);
}

const char* lowbit_note(const lowbit_program* program, const char* key) {
  if (program == nullptr || key == nullptr) return nullptr;
  for (const records::Note& note : program->notes) {
    if (note.key == key) return note.text.c_str();
  }
  return nullptr;
}

lowbit_status lowbit_run(lowbit_program* program, size_t rows, const void* const* inputs, void* const* outputs) {
  return guarded([&] {
    if (program == nullptr) misused("program", "one that is open", "NULL");
    program->check(rows, inputs, outputs);
    const std::lock_guard guard(program->program->lock());
    program->plain ? program->run_plain(rows, inputs, outputs) : program->run_typed(rows, inputs, outputs);
  });
}

lowbit_status lowbit_trace(lowbit_program* program, size_t rows, const void* const* inputs, lowbit_visit* visit, void* context) {
  return guarded([&] {
    if (program == nullptr || visit == nullptr) misused("lowbit_trace", "an open program and a function", "NULL");
    Program& core = *program->program;
    std::vector<std::vector<float>> floats(program->ends.size());
    std::vector<std::byte*> ports;
    std::vector<void*> results;
    for (std::size_t n = 0; n < floats.size(); ++n) floats[n].resize(rows * program->ends[n].elements);
    for (auto& room : floats) ports.push_back(reinterpret_cast<std::byte*>(room.data())), results.push_back(room.data());
    program->check(rows, inputs, results.data() + core.inputs());
    for (std::size_t n = 0; n < core.inputs(); ++n) {
      const lowbit_program::End& end = program->ends[n];
      if (end.type == LOWBIT_FLOAT32) {
        std::copy_n(static_cast<const float*>(inputs[n]), floats[n].size(), floats[n].data());
      } else {
        to_floats(inputs[n], end.type, floats[n].size(), floats[n].data());
      }
    }
    std::vector<std::vector<std::byte>> made;
    std::vector<std::byte*> at;
    for (const auto& step : core.steps()) {
      const Value& value = core.values()[step->result];
      made.emplace_back(rows * value.features * traced_bytes(value));
      at.push_back(made.back().data());
    }
    trace(core, ports, rows, at);
    for (std::size_t n = 0; n < made.size(); ++n) {
      const Step& step = *core.steps()[n];
      const Value& value = core.values()[step.result];
      const lowbit_type type = value.kind == Kind::real ? LOWBIT_FLOAT32 : value.kind == Kind::words ? LOWBIT_INT16 : LOWBIT_UINT8;
      visit(context, step.made.c_str(), type, value.features, made[n].data());
    }
  });
}
