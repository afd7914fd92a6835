// Convolutions of every kernel level against a scalar reference that knows only taps, channels and levels.
#include "../core/convolution.h"
#include "layer_case.h"
#include "map_case.h"

namespace lowbit::testing {
namespace {

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
  // The larger ones do not fit the words in which sums of few planes are made.
  const int unit = !binary && draw(random, 0, 3) == 0 ? 50 : 1;
  for (std::int32_t& factor : factors) factor = unit * draw(random, binary || draw(random, 0, 9) ? 1 : -40, 40);
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

void byte_case(const std::string& level, Random& random, const Shape& s, const std::string& path = {}) {
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
    return byte_convolution(select_kernels(level, path), 0, in, result, s.window,
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

void test_tile_convolution(const std::string& level) {
  Random random(16);
  for (int repeat = 0; repeat < 120; ++repeat) byte_case(level, random, any_shape(random), "tiles");
  byte_case(level, random, grouped(random, 2, 8, 16), "tiles");  // which is none for tiles
}

void test_float_convolution(const std::string& level) {
  Random random(13);
  for (int repeat = 0; repeat < 60; ++repeat) float_case(level, random, any_shape(random));
  for (const std::size_t group : {2u, 5u, 17u, 40u}) {
    for (const std::size_t depth : {1u, 2u}) {
      for (const std::size_t outputs : {1u, 3u}) float_case(level, random, grouped(random, group, depth, outputs));
    }
  }
}

// Whole groups of sixteen channels and what is left of one; inputs and outputs touch guard pages.
void test_byte_depthwise(const std::string& level) {
  Random random(14);
  for (const std::size_t channels : {2u, 4u, 8u, 12u, 15u, 16u, 17u, 20u, 24u, 32u, 36u, 64u, 100u}) {
    for (int repeat = 0; repeat < 6; ++repeat) {
      Shape shape = grouped(random, channels, 1, 1);
      if (repeat % 2 == 0) shape.width += 64 / channels * size(random, 0, 3);  // lines of which pixels fill a vector, or not quite
      byte_case(level, random, shape);
    }
  }
}

void test_float_depthwise(const std::string& level) {
  Random random(15);
  for (const std::size_t channels : {2u, 8u, 15u, 16u, 17u, 36u, 64u}) {
    for (int repeat = 0; repeat < 6; ++repeat) float_case(level, random, grouped(random, channels, 1, 1));
  }
}

}  // namespace lowbit::testing
