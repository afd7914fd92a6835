// What tests of convolutions share: shapes, the taps of every output, and accumulators by loops over them.
#pragma once

#include "../core/convolution.h"
#include "layer_case.h"

namespace lowbit::testing {

constexpr std::size_t kMapWidths[] = {1, 3, 15, 16, 31, 32, 33, 63, 64, 65, 97, 130};

struct Shape {
  std::size_t inputs, outputs, height, width, rows;
  WindowSpec window;

  std::size_t depth() const { return inputs / window.group; }
  std::size_t taps() const { return window.rows.kernel * window.columns.kernel; }
  std::string text() const {
    const auto axis = [](const AxisSpec& a) {
      return " k" + std::to_string(a.kernel) + " s" + std::to_string(a.stride) + " p" + std::to_string(a.before) + "," +
             std::to_string(a.after) + " d" + std::to_string(a.dilation);
    };
    return std::to_string(inputs) + "->" + std::to_string(outputs) + " @" + std::to_string(height) + "x" +
           std::to_string(width) + " n" + std::to_string(rows) + " g" + std::to_string(window.group) +
           axis(window.rows) + axis(window.columns);
  }
};

inline std::size_t size(Random& random, std::size_t low, std::size_t high) {
  return static_cast<std::size_t>(draw(random, static_cast<int>(low), static_cast<int>(high)));
}

// Mostly 3 x 3 on small maps; kernels larger than the map, strides, asymmetric padding, dilation; windows of padding alone.
inline Shape any_shape(Random& random) {
  Shape shape{pick(random, kMapWidths), pick(random, kMapWidths), size(random, 1, 7), size(random, 1, 7),
              size(random, 1, 3), {}};
  const auto axis = [&](std::size_t extent) {
    const bool plain = draw(random, 0, 1) == 0;
    AxisSpec spec{plain ? 3u : size(random, 1, 5), plain ? 1u : size(random, 1, 3), 1, 1, plain ? 1u : size(random, 1, 2)};
    if (!plain) spec.before = size(random, 0, 5), spec.after = size(random, 0, 5);
    const std::size_t reach = spec.dilation * (spec.kernel - 1) + 1;
    if (extent + spec.before + spec.after < reach) spec.after = reach - extent - spec.before;
    return spec;
  };
  shape.window.rows = axis(shape.height), shape.window.columns = axis(shape.width);
  return shape;
}

// Calls tap(sample, output pixel, region's number by its taps, input pixel, tap).
struct Outputs {
  std::size_t height, width;
  std::vector<std::vector<std::pair<std::size_t, std::size_t>>> taps;  // by output pixel: input pixel, tap

  explicit Outputs(const Shape& s) {
    const auto count = [](std::size_t extent, const AxisSpec& a) {
      return (extent + a.before + a.after - a.dilation * (a.kernel - 1) - 1) / a.stride + 1;
    };
    height = count(s.height, s.window.rows), width = count(s.width, s.window.columns);
    for (std::size_t p = 0; p < height * width; ++p) {
      auto& list = taps.emplace_back();
      for (std::size_t tap = 0; tap < s.taps(); ++tap) {
        const std::size_t i = tap / s.window.columns.kernel, j = tap % s.window.columns.kernel;
        const std::size_t y = p / width * s.window.rows.stride + i * s.window.rows.dilation - s.window.rows.before;
        const std::size_t x = p % width * s.window.columns.stride + j * s.window.columns.dilation - s.window.columns.before;
        if (y < s.height && x < s.width) list.push_back({y * s.width + x, tap});
      }
    }
  }
};

// Accumulators [sample, output pixel, channel]; level(row, pixel, channel), weight(output, tap, channel of the group).
template <class Level, class Weight>
std::vector<std::int64_t> accumulate(const Shape& s, const Outputs& out, const Level& level, const Weight& weight) {
  std::vector<std::int64_t> acc;
  for (std::size_t row = 0; row < s.rows; ++row) {
    for (const auto& taps : out.taps) {
      for (std::size_t o = 0; o < s.outputs; ++o) {
        std::int64_t sum = 0;
        const std::size_t first = o / (s.outputs / s.window.group) * s.depth();
        for (const auto& [pixel, tap] : taps) {
          for (std::size_t c = 0; c < s.depth(); ++c) sum += level(row, pixel, first + c) * weight(o, tap, c);
        }
        acc.push_back(sum);
      }
    }
  }
  return acc;
}

inline Shape grouped(Random& random, std::size_t group, std::size_t inputs, std::size_t outputs) {
  Shape shape = any_shape(random);
  shape.inputs = group * inputs, shape.outputs = group * outputs, shape.window.group = group;
  return shape;
}

}  // namespace lowbit::testing
