// The product of a binary layer while it is trained: real maps in and out, as its engine's kernel counts it.
#pragma once

#include "layers.h"
#include "window.h"

namespace lowbit {

struct MapShape {
  std::size_t channels, height, width;
};

// y = scale_o sum s(x) s(w) over the valid taps, s(x) = +1 for x >= 0, else -1: exact sums, one rounding to float32.
// Maps lie pixel by pixel, channels innermost, in input and output. `planes`: signs of the weights, one row per
// channel in the order (kernel row, kernel column, input channel).
std::unique_ptr<Program> sign_convolution(const MapShape& shape, const WindowSpec& window,
                                          Matrix<std::uint32_t> planes, std::span<const double> scale,
                                          const std::string& level, std::size_t threads);

}  // namespace lowbit
