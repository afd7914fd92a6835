// Fully connected steps: their constants are checked, folded and laid out for the kernel once, at load.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>

#include "dispatch.h"
#include "program.h"

namespace lowbit {

template <class T>
struct Matrix {
  const T* data;
  std::size_t rows, columns;

  const T* row(std::size_t n) const { return data + n * columns; }
};

// How a layer ends, as the caller says it; see Epilogue.
struct EpilogueSpec {
  Output output = Output::real;
  Matrix<std::int32_t> thresholds{};       // planes, bytes: [channels, 2^bits - 1]
  std::span<const std::uint8_t> table{};   // planes, bytes: [2^bits]
  std::span<const double> scale{}, bias{};  // affine, real: [channels]
  double out_scale = 1, out_zero = 0, out_top = 255;
};

// Factors of planes: level of a code = sum of factor * sign, weights plus an integer offset.
struct PlaneWeights {
  Matrix<std::uint32_t> planes;              // [channels, weight planes * words]
  Matrix<std::int32_t> factors;              // [channels, weight planes]
  std::span<const std::int32_t> offsets;     // [channels], or empty
  std::span<const std::int32_t> input_factors;  // [input planes]
};

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
