// Fully connected steps on codes: their constants are checked, folded and laid out for the kernel once, at load.
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

}  // namespace lowbit
