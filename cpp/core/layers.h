// Fully connected steps: their constants are checked, folded and laid out for the kernel once, at load.
#pragma once

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
};

std::unique_ptr<Step> plane_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                            const PlaneWeights& weights, const EpilogueSpec& epilogue);

std::unique_ptr<Step> byte_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                           const ByteWeights& weights, const EpilogueSpec& epilogue);

std::unique_ptr<Step> float_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                            Matrix<float> weights, std::span<const float> bias);

}  // namespace lowbit
