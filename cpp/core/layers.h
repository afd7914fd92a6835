// Fully connected steps: their constants are checked, folded and laid out for the kernel once, at load.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>

#include "dispatch.h"
#include "plane_factors.h"
#include "program.h"

namespace lowbit {

struct ByteWeights {
  Matrix<std::int8_t> weights;               // [channels, n]
  std::span<const std::int32_t> constant;    // [channels]
  std::span<const std::int32_t> row_factor;  // [channels], or empty
  LOWBIT_FIELDS(ByteWeights, weights, constant, row_factor)
};

struct WeightOnlyWeights {
  Matrix<std::uint32_t> planes;    // [channels, planes * words]
  Matrix<float> factors;           // [channels, planes]
  std::span<const float> offsets;  // [channels], or empty
};

struct WeightGroups {
  Matrix<std::uint32_t> planes;    // [channels, planes * words]
  Matrix<float> factors, offsets;  // [channels, groups of inputs]; no offsets: none
  std::size_t group;               // inputs that share a factor
  LOWBIT_FIELDS(WeightGroups, planes, factors, offsets, group)
};

// The least and the largest sum that weights can give with bytes from 0 to `top`.
struct Extremes {
  std::int64_t low = 0, high = 0;

  void add(std::int64_t weight, unsigned top) { (weight < 0 ? low : high) += weight * std::int64_t{top}; }
  // Whether what it ends as, with a constant, fits an accumulator.
  bool fit(std::int64_t constant) const {
    return constant + low > -kAccumulatorLimit && constant + high < kAccumulatorLimit;
  }
  // The most that it is from zero then.
  std::int64_t reach(std::int64_t constant) const { return std::max(std::abs(constant + low), std::abs(constant + high)); }
};

std::unique_ptr<Step> plane_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                            const PlaneWeights& weights, const EpilogueSpec& epilogue);

std::unique_ptr<Step> byte_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                           const ByteWeights& weights, const EpilogueSpec& epilogue);

// The same by codes of few bits; null where weights have more than sixteen levels, not evenly spaced, or no kernel has it.
std::unique_ptr<Step> byte_code_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                                const ByteWeights& weights, const EpilogueSpec& epilogue);

// `rows` of a sample lie one after another, and so do their results.
std::unique_ptr<Step> float_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                            Matrix<float> weights, std::span<const float> bias, std::size_t rows = 1);

std::unique_ptr<Step> weight_only_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                                  const WeightOnlyWeights& weights, std::span<const float> bias);

// `rows` of a sample as those of floats.
std::unique_ptr<Step> weight_group_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                                   const WeightGroups& weights, std::span<const float> bias, std::size_t rows = 1);

}  // namespace lowbit
