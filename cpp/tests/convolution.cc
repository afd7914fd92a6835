// Convolutions of every kernel level against a scalar reference that knows only taps, channels and levels.
#include "../core/convolution.h"
#include "layer_case.h"

namespace lowbit::testing {
namespace {

constexpr std::size_t kChannels[] = {1, 3, 15, 16, 31, 32, 33, 63, 64, 65, 97, 130};

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

std::size_t size(Random& random, std::size_t low, std::size_t high) {
  return static_cast<std::size_t>(draw(random, static_cast<int>(low), static_cast<int>(high)));
}

// Mostly 3 x 3 on small maps; kernels larger than the map, strides, asymmetric padding, dilation; windows of padding alone.
Shape any_shape(Random& random) {
  Shape shape{pick(random, kChannels), pick(random, kChannels), size(random, 1, 7), size(random, 1, 7),
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

// As run_layer, for a map: an ending for `channels` sees every output pixel as a row.
template <class MakeStep>
void run_map(Random& random, const Value& in, const std::vector<unsigned>& codes, const Ending& end, const Outputs& out,
             const Shape& s, const std::vector<std::int64_t>& acc, const std::string& what, const MakeStep& make) {
  const Value result = map_value(end.value.kind, end.value.range(), s.outputs, out.height, out.width);
  const Against against = draw(random, 0, 1) ? Against::front : Against::back;
  const Guarded x(s.rows * in.row, against), y(s.rows * result.row, against);
  store_codes(in, codes, x.data());
  const std::unique_ptr<Step> step = make(result);
  run_step(*step, in, result, s.rows, x.data(), y.data());
  bool equal = true;
  const std::size_t pixels = out.taps.size();
  for (std::size_t n = 0; n < acc.size(); ++n) {
    const std::size_t row = n / s.outputs / pixels, element = n % (s.outputs * pixels), o = n % s.outputs;
    if (end.spec.output == Output::real) {
      float found;
      std::memcpy(&found, y.data() + row * result.row + 4 * element, sizeof found);
      equal &= found == static_cast<float>(end.scale[o] * static_cast<double>(acc[n]) + end.bias[o]);
    } else {
      equal &= load_code(result, y.data(), row, element) == end.expected_code(o, acc[n]);
    }
  }
  CHECK(equal, what);
  if (result.kind == Kind::planes) CHECK(padding_is_zero(result, y.data(), s.rows), what);
}

// `binary`: one plane each, and from one threshold straight to one plane.
void plane_case(const std::string& level, Random& random, unsigned kx, unsigned kw, const Shape& s, bool binary = false) {
  const Outputs out(s);
  const std::size_t each = s.taps() * s.depth();
  std::vector<unsigned> x(s.rows * s.height * s.width * s.inputs), w(s.outputs * each);
  for (unsigned& code : x) code = static_cast<unsigned>(draw(random, 0, (1 << kx) - 1));
  for (unsigned& code : w) code = static_cast<unsigned>(draw(random, 0, (1 << kw) - 1));
  std::vector<std::int32_t> input_factors(kx), factors(s.outputs * kw), offsets(s.outputs, 0);
  for (std::int32_t& factor : input_factors) factor = draw(random, 1, 9);
  for (std::int32_t& factor : factors) factor = draw(random, binary || draw(random, 0, 9) ? 1 : -40, 40);
  if (!binary && s.window.group == 1 && draw(random, 0, 1)) {
    for (std::int32_t& offset : offsets) offset = draw(random, -9, 9);
  }
  const auto acc = accumulate(
      s, out,
      [&](std::size_t row, std::size_t pixel, std::size_t c) {
        return level_of(x[(row * s.height * s.width + pixel) * s.inputs + c], input_factors.data(), kx);
      },
      [&](std::size_t o, std::size_t tap, std::size_t c) {
        return level_of(w[o * each + tap * s.depth() + c], &factors[o * kw], kw) + offsets[o];
      });
  const std::size_t words = round_up(each, 32) / 32;
  std::vector<std::uint32_t> planes(s.outputs * kw * words, 0);
  for (std::size_t n = 0; n < w.size(); ++n) {
    for (unsigned j = 0; j < kw; ++j) {
      planes[(n / each * kw + j) * words + n % each / 32] |= ((w[n] >> j) & 1u) << (n % each % 32);
    }
  }
  const Value in = map_value(Kind::planes, kx, s.inputs, s.height, s.width);
  const Output output = binary ? Output::planes : any_output(random);
  const Ending end(random, output, acc.size() / s.outputs, s.outputs, acc, binary);
  const std::string what = level + " " + s.text() + " kx=" + std::to_string(kx) + " kw=" + std::to_string(kw);
  run_map(random, in, x, end, out, s, acc, what, [&](const Value& result) {
    const std::span<const std::int32_t> some = s.window.group == 1 ? std::span(offsets) : std::span(offsets).first(0);
    const PlaneWeights weights{
        {planes.data(), s.outputs, kw * words}, {factors.data(), s.outputs, kw}, some, input_factors};
    return plane_convolution(select_kernels(level), 0, in, result, s.window, weights, end.spec);
  });
}

void byte_case(const std::string& level, Random& random, const Shape& s) {
  const Outputs out(s);
  const unsigned bits = static_cast<unsigned>(draw(random, 1, 8));
  const std::size_t each = s.taps() * s.depth();
  std::vector<unsigned> x(s.rows * s.height * s.width * s.inputs);
  for (unsigned& code : x) code = static_cast<unsigned>(draw(random, 0, (1 << bits) - 1));
  std::vector<std::int8_t> w(s.outputs * each);
  const int reach = draw(random, 0, 1) ? 127 : 7;
  for (std::int8_t& weight : w) weight = static_cast<std::int8_t>(draw(random, -reach - 1, reach));
  std::vector<std::int32_t> constant(s.outputs), row_factor(s.outputs, 0);
  for (std::int32_t& value : constant) value = draw(random, -1000, 1000);
  if (s.window.group == 1 && draw(random, 0, 1)) {
    for (std::int32_t& value : row_factor) value = draw(random, -128, 128);
  }
  const std::int32_t lowest = draw(random, 0, 1) ? 0 : draw(random, -128, 0);
  auto acc = accumulate(
      s, out,
      [&](std::size_t row, std::size_t pixel, std::size_t c) {
        return std::int64_t{x[(row * s.height * s.width + pixel) * s.inputs + c]} + lowest;
      },
      [&](std::size_t o, std::size_t tap, std::size_t c) { return w[o * each + tap * s.depth() + c] + row_factor[o]; });
  for (std::size_t n = 0; n < acc.size(); ++n) acc[n] += constant[n % s.outputs];
  // X = u + lowest, so that a region's constant has lowest * the sum of its weights.
  const Value in = map_value(Kind::bytes, (1u << bits) - 1, s.inputs, s.height, s.width);
  const WindowPlan plan("test", in, s.window);
  std::vector<std::int32_t> constants;
  for (std::size_t r = 0; r < (lowest == 0 ? 1 : plan.region_count()); ++r) {
    for (std::size_t o = 0; o < s.outputs; ++o) {
      std::int32_t sum = 0;
      for (const std::size_t tap : plan.valid(r)) {
        for (std::size_t c = 0; c < s.depth(); ++c) sum += w[o * each + tap * s.depth() + c] + row_factor[o];
      }
      constants.push_back(constant[o] + lowest * sum);
    }
  }
  const Ending end(random, any_output(random), acc.size() / s.outputs, s.outputs, acc);
  run_map(random, in, x, end, out, s, acc, level + " " + s.text() + " bytes", [&](const Value& result) {
    const std::span<const std::int32_t> some =
        s.window.group == 1 ? std::span(row_factor) : std::span(row_factor).first(0);
    return byte_convolution(select_kernels(level), 0, in, result, s.window,
                            {{w.data(), s.outputs, each}, constants, some}, end.spec);
  });
}

void float_case(const std::string& level, Random& random, const Shape& s) {
  const Outputs out(s);
  const std::size_t each = s.taps() * s.depth();
  std::vector<float> w(s.outputs * each), bias(s.outputs);
  for (float& value : w) value = std::ldexp(static_cast<float>(draw(random, -99, 99)), -4);
  for (float& value : bias) value = static_cast<float>(draw(random, -9, 9));
  const Value in = map_value(Kind::real, 0, s.inputs, s.height, s.width);
  const Value result = map_value(Kind::real, 0, s.outputs, out.height, out.width);
  const Guarded x(s.rows * in.row, Against::back), y(s.rows * result.row, Against::back);
  auto* input = reinterpret_cast<float*>(x.data());
  for (std::size_t n = 0; n < s.rows * in.features; ++n) input[n] = static_cast<float>(draw(random, -99, 99)) / 8;
  const auto step =
      float_convolution(select_kernels(level), 0, in, result, s.window, {w.data(), s.outputs, each}, bias);
  run_step(*step, in, result, s.rows, x.data(), y.data());
  bool equal = true;
  for (std::size_t row = 0; row < s.rows; ++row) {
    for (std::size_t p = 0; p < out.taps.size(); ++p) {
      for (std::size_t o = 0; o < s.outputs; ++o) {
        float sum = bias[o];
        const std::size_t first = o / (s.outputs / s.window.group) * s.depth();
        for (const auto& [pixel, tap] : out.taps[p]) {
          for (std::size_t c = 0; c < s.depth(); ++c) {
            sum += input[(row * s.height * s.width + pixel) * s.inputs + first + c] * w[o * each + tap * s.depth() + c];
          }
        }
        equal &= reinterpret_cast<const float*>(y.data())[(row * out.taps.size() + p) * s.outputs + o] == sum;
      }
    }
  }
  CHECK(equal, level + " " + s.text() + " float");
}

Shape grouped(Random& random, std::size_t group, std::size_t inputs, std::size_t outputs) {
  Shape shape = any_shape(random);
  shape.inputs = group * inputs, shape.outputs = group * outputs, shape.window.group = group;
  return shape;
}

}  // namespace

void test_plane_convolution(const std::string& level) {
  Random random(11);
  for (unsigned kx = 1; kx <= 4; ++kx) {
    for (unsigned kw = 1; kw <= 4; ++kw) {
      for (int repeat = 0; repeat < (kx * kw == 1 ? 60 : 8); ++repeat) plane_case(level, random, kx, kw, any_shape(random));
    }
  }
  for (int repeat = 0; repeat < 80; ++repeat) plane_case(level, random, 1, 1, any_shape(random), true);
  for (int repeat = 0; repeat < 10; ++repeat) {
    plane_case(level, random, 1, 1, grouped(random, 2, 32, 16), true);
    plane_case(level, random, 1, 1, grouped(random, 2, 64, 16), true);
    plane_case(level, random, 1 + static_cast<unsigned>(repeat) % 2, 1, grouped(random, 2, 32, 16));
  }
}

void test_byte_convolution(const std::string& level) {
  Random random(12);
  for (int repeat = 0; repeat < 120; ++repeat) byte_case(level, random, any_shape(random));
  for (const std::size_t group : {2u, 3u, 5u, 17u, 40u}) {
    for (const std::size_t depth : {1u, 2u, 5u, 8u}) byte_case(level, random, grouped(random, group, depth, depth % 3 + 1));
  }
}

void test_float_convolution(const std::string& level) {
  Random random(13);
  for (int repeat = 0; repeat < 60; ++repeat) float_case(level, random, any_shape(random));
  for (const std::size_t group : {2u, 5u, 17u}) float_case(level, random, grouped(random, group, 2, 3));
}

}  // namespace lowbit::testing
