// Convolutions of maps, direct on the map: no copy of windows, taps outside the map skipped.
#pragma once

#include "layers.h"
#include "window.h"

namespace lowbit {

// Thresholds and biases of `epilogue`, and constants of bytes, may be those of all regions in turn:
// [regions * channels, ...].
// Weights: rows flattened in the order (kernel row, kernel column, input channel of the group), packed densely.
// `output` is the map that the step fills.

std::unique_ptr<Step> plane_convolution(const KernelSet& kernels, std::size_t x, const Value& input,
                                        const Value& output, const WindowSpec& window, const PlaneWeights& weights,
                                        const EpilogueSpec& epilogue);

std::unique_ptr<Step> byte_convolution(const KernelSet& kernels, std::size_t x, const Value& input,
                                       const Value& output, const WindowSpec& window, const ByteWeights& weights,
                                       const EpilogueSpec& epilogue);

std::unique_ptr<Step> float_convolution(const KernelSet& kernels, std::size_t x, const Value& input,
                                        const Value& output, const WindowSpec& window, Matrix<float> weights,
                                        std::span<const float> bias);

}  // namespace lowbit
