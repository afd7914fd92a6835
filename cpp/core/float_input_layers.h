// Fully connected steps whose inputs are floats: weights of floats, weights alone of low bits, and these in groups of inputs.
#pragma once

#include <memory>
#include <span>

#include "dispatch.h"
#include "fields.h"
#include "matrix.h"
#include "program.h"

namespace lowbit {

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

// `rows` of a sample lie one after another, and so do their results.
std::unique_ptr<Step> float_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                            Matrix<float> weights, std::span<const float> bias, std::size_t rows = 1);

std::unique_ptr<Step> weight_only_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                                  const WeightOnlyWeights& weights, std::span<const float> bias);

// `rows` of a sample as those of floats.
std::unique_ptr<Step> weight_group_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                                   const WeightGroups& weights, std::span<const float> bias, std::size_t rows = 1);

}  // namespace lowbit
