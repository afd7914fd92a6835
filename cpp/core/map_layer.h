// What layers on maps share.
#pragma once

#include <vector>

#include "finish.h"
#include "matrix.h"
#include "program.h"
#include "window.h"

namespace lowbit {

// Checks that a window over a map, with so many weights a channel, gives the output.
void check_shape(const char* where, const Value& input, const Value& output, const WindowSpec& window,
                 const WindowPlan& plan, std::size_t weights);

// One ending for all regions, or one for each where the specification tells them apart, or `apart` says so. wide: see Finish.
std::vector<Finish> endings_of(const char* where, std::size_t channels, std::size_t regions, const EpilogueSpec& spec,
                               bool apart, bool wide = false);

// What sixteen channels of a grouped convolution read of a pixel: the units of four bytes that any of them needs; the
// others' weights are zero there.
struct GroupUnits {
  std::size_t count;                 // the same for all
  std::vector<std::uint32_t> shift;  // bytes to the first one, by sixteen channels; empty where there is one group
};

GroupUnits group_units(const Value& input, std::size_t channels, std::size_t group, std::size_t lanes);

// [channels][taps][depth] -> [groups][taps][units][16][lanes], lanes elements to a unit, and `spare` more units
template <std::size_t lanes, class T>
Aligned<T> packed_taps(const Matrix<T>& weights, std::size_t depth, std::size_t group, const GroupUnits& units,
                        std::size_t spare = 0) {
  const std::size_t channels = weights.rows, each = weights.columns / depth * units.count;
  Aligned<T> packed((groups_of(channels) * each + spare) * kGroup * lanes);
  for (std::size_t o = 0; o < channels; ++o) {
    const std::size_t shift = units.shift.empty() ? 0 : units.shift[o / kGroup] * lanes / 4;
    const std::size_t start = o / (channels / group) * depth - shift;
    for (std::size_t n = 0; n < weights.columns; ++n) {
      const std::size_t at = start + n % depth, unit = n / depth * units.count + at / lanes;
      packed[((o / kGroup * each + unit) * kGroup + o % kGroup) * lanes + at % lanes] = weights.row(o)[n];
    }
  }
  return packed;
}

// Whether every output channel reads the input channel of its number alone.
inline bool is_depthwise(const Value& input, const Value& output, const WindowSpec& window) {
  return window.group > 1 && window.group == input.channels() && window.group == output.channels();
}

// Of a depthwise layer: a unit for each tap, and where sixteen channels begin in a pixel whose elements have so many bytes.
GroupUnits depthwise_units(std::size_t channels, std::size_t element);

// [channels][taps] -> the quads of a DepthwiseLayer; of few channels those of as many pixels as 64 lanes hold.
Aligned<std::int8_t> unpacked_quads(const Matrix<std::int8_t>& weights);

// [channels][columns] -> [groups][columns][16]
template <class To, class From>
Aligned<To> packed_lanes(const Matrix<From>& weights) {
  Aligned<To> packed(groups_of(weights.rows) * weights.columns * kGroup);
  for (std::size_t o = 0; o < weights.rows; ++o) {
    for (std::size_t n = 0; n < weights.columns; ++n) {
      packed[(o / kGroup * weights.columns + n) * kGroup + o % kGroup] = weights.row(o)[n];
    }
  }
  return packed;
}

}  // namespace lowbit
