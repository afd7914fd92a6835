// Which way of computing a layer's products is the cheapest here, by the table of paths (paths.inc). Nothing is measured.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ending.h"

namespace lowbit {

enum class Path : std::uint8_t {
#define LOWBIT_PATH(path, ...) path,
#include "paths.inc"
};

// A row of the table.
struct PathTraits {
  const char* name;
  Form values;
  unsigned input_bits, weight_bits;
  bool by_bits;
  unsigned together, sum_bits;
};
inline constexpr PathTraits kPaths[] = {
#define LOWBIT_PATH(path, values, input_bits, weight_bits, by_bits, together, sum_bits) \
  {#path, Form::values, input_bits, weight_bits, by_bits, together, sum_bits},
#include "paths.inc"
};
inline constexpr std::size_t kPathCount = std::size(kPaths);
constexpr const PathTraits& traits(Path path) { return kPaths[static_cast<std::size_t>(path)]; }

// What a level's kernels of a path take; see paths.inc.
struct PathCost {
  Path path;
  const char* level;
  double fully_connected, convolution, ending;
};

// What a layer multiplies.
struct Products {
  bool convolution = false;
  std::size_t channels = 1, taps = 1;  // of inputs: a row, or the pixels of a window
  unsigned input_bits = 1, weight_bits = 1;
};

// The paths of some kernels.
class Paths final {
 public:
  Paths() = default;  // none
  // Of the levels that may run, plainest first; `forced` names a path that layers take where they can, or is empty. Throws Error
  // where no kernel of these levels has that path, or where what LOWBIT_COSTS names holds no costs.
  Paths(const std::vector<std::string>& levels, const std::string& forced);

  // Whether some kernel has it.
  bool has(Path path) const { return costs_[static_cast<std::size_t>(path)].has_value(); }
  bool forced() const { return forced_.has_value(); }
  // Whether layers may take it: it is there, and no other is forced.
  bool may(Path path) const { return has(path) && (!forced_ || *forced_ == path); }

  // Of one output, from its products to its end; infinite where the path cannot. That of a forced path is nothing.
  double cost(Path path, const Products& products) const;

  // What so many multiply-adds of a path that some kernel has take, about.
  double nanoseconds(Path path, bool convolution, double done) const {
    const PathCost& cost = *costs_[static_cast<std::size_t>(path)];
    return done * (convolution ? cost.convolution : cost.fully_connected) / 1000;
  }

  // The cheapest of all whose inputs lie in `values`.
  Path best(Form values, const Products& products) const;

 private:
  std::array<std::optional<PathCost>, kPathCount> costs_;
  std::optional<Path> forced_;
};

// The rows of the table for this processor, with what LOWBIT_COSTS puts in their place.
std::vector<PathCost> path_costs();

}  // namespace lowbit
