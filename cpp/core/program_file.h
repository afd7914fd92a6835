// A program as a file, docs/formats/program.md: one loader for everybody, which trusts nothing that it reads.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "program.h"
#include "steps.h"

namespace lowbit {

// What numbers the caller's arrays may be; inside all are float32.
inline constexpr char kPortTypes[] = "float32 | int32 | int64 | bool";

// What a file holds; its Python side is lowbit/program/file.py.
namespace records {

// An input or an output: its shape as the network says it, with names where lengths are open, and what one row of a run holds.
struct Port {
  std::string name, type;
  std::vector<std::string> shape;
  std::vector<std::size_t> lengths;
  LOWBIT_FIELDS(Port, name, type, shape, lengths)
};

// One step; for traces, the network's value that it makes with its shape and type, and the codes that bytes and words from
// `least` on stand for.
struct PlannedStep {
  std::vector<std::size_t> sources;
  steps::Any operation;
  std::string value, type;
  std::vector<std::size_t> shape;
  std::int32_t least;
  std::span<const std::uint16_t> codes;
  std::string why;
  LOWBIT_FIELDS(PlannedStep, sources, operation, value, type, shape, least, codes, why)
};

// Something that is known of the network, such as how its input was normalized.
struct Note {
  std::string key, text;
  LOWBIT_FIELDS(Note, key, text)
};

// `results`: the values that are the outputs. `batched`: the first axis of all values is the batch. `by_rows`: that of inputs and
// outputs counts samples; otherwise a run is one sample.
struct Network {
  std::string name;
  std::vector<Port> inputs, outputs;
  std::vector<PlannedStep> steps;
  std::vector<std::size_t> results;
  bool batched, by_rows;
  std::vector<Note> notes;
  std::size_t array_bytes = 0;  // of all arrays that it names: found while it is read
  LOWBIT_FIELDS(Network, name, inputs, outputs, steps, results, batched, by_rows, notes)
};

}  // namespace records

struct LoadOptions {
  std::size_t threads = 1;
  std::string level;  // of kernels; empty: as in select_kernels
  std::size_t allowed = std::numeric_limits<std::size_t>::max();  // bytes that it may take
  std::string path;   // of layers of low bits; empty: the cheapest of each
  bool pinned = false;
};

// Reads the records of a file; arrays point into `content`, which begins at a multiple of 8 and must live as long. Messages call
// it `where`. Throws Error: file, unsupported; TooLarge.
records::Network read_program_file(std::span<const std::byte> content, const std::string& where, std::size_t allowed);

// Makes the program; the content may go afterwards.
std::unique_ptr<Program> load_program(const records::Network& network, const std::string& where, const LoadOptions& options);

// What the file must declare of every struct, for a test.
std::vector<std::string> program_file_lines();

}  // namespace lowbit
