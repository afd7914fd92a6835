// Every kernel of the list against a scalar reference that knows nothing of planes or lanes: codes, levels, int64.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "../core/elementwise.h"
#include "../core/float_elements.h"
#include "../core/float_input_layers.h"
#include "../core/layers.h"
#include "check.h"
#include "guarded.h"
#include "layer_case.h"

namespace lowbit::testing {

static void plane_case(const std::string& level, Random& random, unsigned kx, unsigned kw, std::size_t features,
                std::size_t channels, std::size_t rows) {
  // Codes: random, or all equal, which fills or empties whole planes: then all bits of a row agree, or none does.
  const auto codes_of = [&](std::size_t count, unsigned bits) {
    const int pattern = draw(random, 0, 3);
    std::vector<unsigned> codes(count);
    for (unsigned& code : codes) {
      code = pattern == 0 ? 0u : pattern == 1 ? (1u << bits) - 1 : static_cast<unsigned>(draw(random, 0, (1 << bits) - 1));
    }
    return codes;
  };
  const std::vector<unsigned> x = codes_of(rows * features, kx), w = codes_of(channels * features, kw);
  std::vector<std::int32_t> input_factors(kx), factors(channels * kw), offsets(channels, 0);
  for (std::int32_t& factor : input_factors) factor = draw(random, 1, 9);
  for (std::int32_t& factor : factors) factor = draw(random, draw(random, 0, 3) ? 1 : -40, 40);
  if (draw(random, 0, 1)) {
    for (std::int32_t& offset : offsets) offset = draw(random, -9, 9);
  }

  std::vector<std::int64_t> acc(rows * channels, 0);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t o = 0; o < channels; ++o) {
      for (std::size_t n = 0; n < features; ++n) {
        const std::int64_t weight = level_of(w[o * features + n], &factors[o * kw], kw) + offsets[o];
        acc[row * channels + o] += level_of(x[row * features + n], input_factors.data(), kx) * weight;
      }
    }
  }

  const std::size_t words = round_up(features, 32) / 32;
  std::vector<std::uint32_t> planes(channels * kw * words, 0);
  for (std::size_t o = 0; o < channels; ++o) {
    for (std::size_t n = 0; n < features; ++n) {
      for (unsigned j = 0; j < kw; ++j) {
        planes[(o * kw + j) * words + n / 32] |= ((w[o * features + n] >> j) & 1u) << (n % 32);
      }
    }
  }
  const Value in = planes_value(features, kx);
  const Ending end(random, any_output(random), rows, channels, acc);
  run_layer(random, in, x, end, acc, rows, channels,
            describe(level, features, channels, rows, "kx=" + std::to_string(kx) + " kw=" + std::to_string(kw)), [&] {
              const PlaneWeights weights{
                  {planes.data(), channels, kw * words}, {factors.data(), channels, kw}, offsets, input_factors};
              return plane_fully_connected(select_kernels(level), 0, in, weights, end.spec);
            });
}

void test_plane_fully_connected(const std::string& level) {
  Random random(1);
  for (unsigned kx = 1; kx <= 4; ++kx) {
    for (unsigned kw = 1; kw <= 4; ++kw) {
      for (const std::size_t features : kFeatures) {
        for (const std::size_t channels : kChannels) {
          plane_case(level, random, kx, kw, features, channels, pick(random, kRowCounts));
        }
      }
    }
  }
}

void test_tile_inputs(const std::string& level) {
  Random random(22);
  for (unsigned planes = 1; planes <= 4; ++planes) {
    constexpr std::size_t kRows = 5, kStride = 3 * 64;
    const std::size_t words = 4;
    PlaneLayer layer{};
    layer.input_planes = planes, layer.words = words;
    PlaneTileLayer tiles{};
    tiles.planes = &layer;
    for (std::uint8_t& bit : tiles.input) bit = static_cast<std::uint8_t>(draw(random, 0, 60));
    std::vector<std::uint32_t> bits(kRows * planes * words);
    for (std::uint32_t& word : bits) word = static_cast<std::uint32_t>(random());
    const Guarded x(4 * bits.size(), Against::back), y(kRows * kStride - 64, Against::back);
    std::memcpy(x.data(), bits.data(), 4 * bits.size());
    const Rows rows{kRows, x.data(), 4 * planes * words, 4 * words, nullptr, nullptr, 0, 0};
    select_kernels(level).tile_inputs.run(tiles, rows, y.data(), kStride);
    bool equal = true;
    for (std::size_t n = 0; n < kRows * 32 * words; ++n) {
      const std::size_t row = n / (32 * words), at = n % (32 * words);
      unsigned expected = 0;
      for (unsigned i = 0; i < planes; ++i) expected += (bits[(row * planes + i) * words + at / 32] >> (at % 32) & 1u) * tiles.input[i];
      equal &= y.data()[row * kStride + at] == static_cast<std::byte>(expected);
    }
    CHECK(equal, level + " planes " + std::to_string(planes));
  }
}

// The same layers with many rows.
void test_tile_planes(const std::string& level) {
  Random random(21);
  for (unsigned kx = 1; kx <= 4; ++kx) {
    for (unsigned kw = 1; kw <= 4; ++kw) {
      for (const std::size_t rows : {17u, 32u, 48u, 64u, 90u}) {
        plane_case(level, random, kx, kw, pick(random, kFeatures), pick(random, kChannels), rows);
      }
    }
  }
  for (const std::size_t features : {1600u, 1700u, 3333u}) plane_case(level, random, 2, 2, features, 70, 40);
}

static void byte_case(const std::string& level, Random& random, std::size_t features, std::size_t channels,
               std::size_t rows, const std::string& path = {}, int levels = 0) {
  // Small bytes let a kernel sum in 16 bits, extreme ones would saturate there.
  const unsigned bits = static_cast<unsigned>(draw(random, 1, 8));
  const int reach = draw(random, 0, 1) ? 127 : draw(random, 1, 20);
  const bool extreme = draw(random, 0, 2) == 0;
  std::vector<unsigned> x(rows * features);
  for (unsigned& code : x) code = static_cast<unsigned>(extreme ? (1 << bits) - 1 : draw(random, 0, (1 << bits) - 1));
  std::vector<std::int8_t> w(channels * features);
  for (std::int8_t& weight : w) {
    weight = static_cast<std::int8_t>(extreme ? (draw(random, 0, 9) ? -reach - 1 : reach) : draw(random, -reach - 1, reach));
  }
  for (std::size_t o = 0; levels != 0 && o < channels; ++o) {
    const int step = draw(random, 1, 255 / (levels - 1)), low = draw(random, -128, 127 - step * (levels - 1));
    for (std::size_t n = 0; n < features; ++n) w[o * features + n] = static_cast<std::int8_t>(low + step * draw(random, 0, levels - 1));
  }
  std::vector<std::int32_t> constant(channels), row_factor(channels, 0);
  for (std::int32_t& value : constant) value = draw(random, -100000, 100000);
  if (draw(random, 0, 1)) {
    for (std::int32_t& value : row_factor) value = draw(random, -128, 128);
  }

  std::vector<std::int64_t> acc(rows * channels);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t o = 0; o < channels; ++o) {
      std::int64_t sum = constant[o];
      for (std::size_t n = 0; n < features; ++n) {
        sum += std::int64_t{x[row * features + n]} * (w[o * features + n] + row_factor[o]);
      }
      acc[row * channels + o] = sum;
    }
  }
  const Value in = bytes_value(features, (1u << bits) - 1);
  const Ending end(random, any_output(random), rows, channels, acc);
  run_layer(random, in, x, end, acc, rows, channels, describe(level, features, channels, rows, "bytes"), [&] {
    const ByteWeights weights{{w.data(), channels, features}, constant, row_factor};
    const auto make = levels == 0 ? byte_fully_connected : byte_code_fully_connected;
    return make(select_kernels(level, path), 0, in, weights, end.spec);
  });
}

void test_byte_fully_connected(const std::string& level) {
  Random random(2);
  for (int repeat = 0; repeat < 6; ++repeat) {
    for (const std::size_t features : kFeatures) {
      for (const std::size_t channels : kChannels) byte_case(level, random, features, channels, pick(random, kRowCounts));
    }
  }
}

void test_byte_code_fully_connected(const std::string& level) {
  Random random(22);
  for (const int levels : {2, 3, 4, 5, 15, 16}) {
    for (const std::size_t features : kFeatures) {
      for (const std::size_t channels : kChannels) byte_case(level, random, features, channels, pick(random, kRowCounts), {}, levels);
    }
  }
}

// Also of more rows than a block of tiles has, and of more inputs than it keeps.
void test_tile_fully_connected(const std::string& level) {
  Random random(20);
  for (const std::size_t features : kFeatures) {
    for (const std::size_t channels : kChannels) byte_case(level, random, features, channels, pick(random, kRowCounts), "tiles");
  }
  for (const std::size_t features : {9u, 64u, 1600u, 3333u}) {
    for (const std::size_t rows : {16u, 31u, 32u, 50u, 83u}) byte_case(level, random, features, pick(random, kChannels), rows, "tiles");
  }
}

void test_float_fully_connected(const std::string& level) {
  Random random(3);
  for (const std::size_t features : kFeatures) {
    for (const std::size_t channels : kChannels) {
      const std::size_t rows = pick(random, kRowCounts);
      std::vector<float> w(channels * features), bias(channels);
      for (float& value : w) value = std::ldexp(static_cast<float>(draw(random, -999, 999)), -8);
      for (float& value : bias) value = static_cast<float>(draw(random, -9, 9));
      const Value in = real_value(features), out = real_value(channels);
      const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
      auto* input = reinterpret_cast<float*>(x.data());
      for (std::size_t n = 0; n < rows * features; ++n) input[n] = static_cast<float>(draw(random, -99, 99)) / 8;
      const auto step = float_fully_connected(select_kernels(level), 0, in, {w.data(), channels, features}, bias);
      run_step(*step, in, out, rows, x.data(), y.data());
      bool equal = true;
      for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t o = 0; o < channels; ++o) {
          float sum = bias[o];
          for (std::size_t n = 0; n < features; ++n) sum += input[row * features + n] * w[o * features + n];
          equal &= reinterpret_cast<const float*>(y.data())[row * channels + o] == sum;
        }
      }
      CHECK(equal, describe(level, features, channels, rows, "float"));
    }
  }
}

// Small multiples of powers of two: every order of summation gives the same floats.
static void weight_only_case(const std::string& level, Random& random, unsigned bits, std::size_t features,
                             std::size_t channels, std::size_t rows, bool doubling) {
  const std::size_t words = round_up(features, 32) / 32;
  std::vector<std::uint32_t> planes(channels * bits * words, 0);
  std::vector<unsigned> codes(channels * features);
  for (std::size_t n = 0; n < codes.size(); ++n) {
    codes[n] = static_cast<unsigned>(draw(random, 0, (1 << bits) - 1));
    for (unsigned j = 0; j < bits; ++j) {
      planes[(n / features * bits + j) * words + n % features / 32] |= ((codes[n] >> j) & 1u) << (n % features % 32);
    }
  }
  std::vector<float> factors(channels * bits), offsets(draw(random, 0, 1) ? channels : 0), bias(channels);
  for (float& factor : factors) factor = static_cast<float>(draw(random, 1, 9));
  for (std::size_t n = 0; doubling && n < factors.size(); ++n) {
    if (n % bits != 0) factors[n] = 2 * factors[n - 1];
  }
  for (float& offset : offsets) offset = static_cast<float>(draw(random, -9, 9));
  for (float& value : bias) value = static_cast<float>(draw(random, -9, 9));
  const Value in = real_value(features), out = real_value(channels);
  const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
  auto* input = reinterpret_cast<float*>(x.data());
  for (std::size_t n = 0; n < rows * features; ++n) input[n] = static_cast<float>(draw(random, -99, 99)) / 8;
  const auto step = weight_only_fully_connected(
      select_kernels(level), 0, in, {{planes.data(), channels, bits * words}, {factors.data(), channels, bits}, offsets},
      bias);
  run_step(*step, in, out, rows, x.data(), y.data());
  bool equal = true;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t o = 0; o < channels; ++o) {
      double sum = bias[o];
      for (std::size_t n = 0; n < features; ++n) {
        double level_of_code = offsets.empty() ? 0 : offsets[o];
        for (unsigned j = 0; j < bits; ++j) {
          level_of_code += (codes[o * features + n] >> j) & 1u ? factors[o * bits + j] : -factors[o * bits + j];
        }
        sum += level_of_code * input[row * features + n];
      }
      equal &= reinterpret_cast<const float*>(y.data())[row * channels + o] == static_cast<float>(sum);
    }
  }
  CHECK(equal, describe(level, features, channels, rows, "weight-only bits=" + std::to_string(bits)));
}

void test_weight_only_fully_connected(const std::string& level) {
  Random random(6);
  for (unsigned bits = 1; bits <= 8; ++bits) {
    for (const std::size_t features : kFeatures) {
      for (const std::size_t channels : kChannels) {
        weight_only_case(level, random, bits, features, channels, pick(random, kRowCounts), false);
      }
    }
  }
}

void test_weight_code_fully_connected(const std::string& level) {
  Random random(7);
  for (unsigned bits = 3; bits <= 8; ++bits) {
    for (const std::size_t features : kFeatures) {
      for (const std::size_t channels : kChannels) {
        weight_only_case(level, random, bits, features, channels, pick(random, kRowCounts), true);
      }
    }
  }
}

// Multiples of an eighth and powers of two: sums are exact in any order, in digits as well.
static void weight_group_case(const std::string& level, Random& random, unsigned bits, std::size_t features, std::size_t channels,
                              std::size_t group, std::size_t rows) {
  const std::size_t words = round_up(features, 32) / 32, groups = (features + group - 1) / group;
  std::vector<std::uint32_t> planes(channels * bits * words, 0);
  std::vector<unsigned> codes(channels * features);
  for (std::size_t n = 0; n < codes.size(); ++n) {
    codes[n] = static_cast<unsigned>(draw(random, 0, (1 << bits) - 1));
    for (unsigned j = 0; j < bits; ++j) {
      planes[(n / features * bits + j) * words + n % features / 32] |= ((codes[n] >> j) & 1u) << (n % features % 32);
    }
  }
  std::vector<float> factors(channels * groups), offsets(draw(random, 0, 1) ? channels * groups : 0), bias(channels);
  for (float& factor : factors) factor = static_cast<float>(1 << draw(random, 0, 2));
  for (float& offset : offsets) offset = static_cast<float>(draw(random, -3, 3));
  for (float& value : bias) value = static_cast<float>(draw(random, -9, 9));
  const Value in = real_value(features), out = real_value(channels);
  const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
  auto* input = reinterpret_cast<float*>(x.data());
  for (std::size_t n = 0; n < rows * features; ++n) input[n] = static_cast<float>(draw(random, -40, 40)) / 8;
  const auto step = weight_group_fully_connected(select_kernels(level), 0, in,
                                                 {{planes.data(), channels, bits * words},
                                                  {factors.data(), channels, groups},
                                                  {offsets.data(), offsets.empty() ? 0 : channels, groups},
                                                  group},
                                                 bias);
  run_step(*step, in, out, rows, x.data(), y.data());
  bool equal = true;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t o = 0; o < channels; ++o) {
      double sum = bias[o];
      for (std::size_t n = 0; n < features; ++n) {
        const std::size_t of = o * groups + n / group;
        const double code = static_cast<double>(codes[o * features + n]) - (1 << (bits - 1));
        sum += (factors[of] * code + (offsets.empty() ? 0 : offsets[of])) * input[row * features + n];
      }
      equal &= reinterpret_cast<const float*>(y.data())[row * channels + o] == static_cast<float>(sum);
    }
  }
  CHECK(equal, describe(level, features, channels, rows, "weight groups of " + std::to_string(group) + " bits=" + std::to_string(bits)));
}

void test_weight_group_fully_connected(const std::string& level) {
  Random random(8);
  for (unsigned bits = 1; bits <= 8; ++bits) {
    for (const std::size_t features : kFeatures) {
      for (const std::size_t group : {std::size_t{1}, std::size_t{32}, std::size_t{48}, std::size_t{200}, features}) {
        weight_group_case(level, random, bits, features, pick(random, kChannels), group, pick(random, kRowCounts));
      }
    }
  }
}

void test_holds_nan(const std::string& level) {
  const auto holds_nan = select_kernels(level).holds_nan.run;
  const float most = std::numeric_limits<float>::max(), infinity = std::numeric_limits<float>::infinity();
  const float numbers[] = {0.0f, -0.0f, most, -most, infinity, -infinity, std::numeric_limits<float>::denorm_min()};
  for (std::size_t count = 0; count <= 70; ++count) {
    const Guarded memory(4 * count, Against::back);
    auto* x = reinterpret_cast<float*>(memory.data());
    for (std::size_t n = 0; n < count; ++n) x[n] = numbers[n % std::size(numbers)];
    CHECK(!holds_nan(x, count), level + " numbers " + std::to_string(count));
    for (std::size_t n = 0; n < count; ++n) {
      const float before = x[n];
      for (const std::uint32_t bits : {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0xffffffffu}) {
        std::memcpy(x + n, &bits, sizeof bits);
        CHECK(holds_nan(x, count), level + " NaN at " + std::to_string(n) + " of " + std::to_string(count));
      }
      x[n] = before;
    }
  }
}

void test_encode(const std::string& level) {
  Random random(4);
  const float infinity = std::numeric_limits<float>::infinity();
  for (unsigned bits = 1; bits <= 8; ++bits) {
    for (const std::size_t features : kFeatures) {
      for (const Output output : {Output::planes, Output::bytes}) {
        if (output == Output::planes && bits > kMaxPlanes) continue;
        const std::size_t rows = pick(random, kRowCounts), count = (std::size_t{1} << bits) - 1;
        std::vector<float> thresholds(count);
        const int kind_of_grid = draw(random, 0, 3);  // even to the last bit, almost even, none, or a float32 quotient's
        const double spacing = std::exp(draw(random, -40, 40) / 10.0);
        for (std::size_t c = 0; c < count; ++c) {
          const float even = (static_cast<float>(c) + static_cast<float>(draw(random, -30, 30)) / 99) / 16 - 4;
          thresholds[c] = kind_of_grid == 0   ? static_cast<float>((static_cast<double>(c) - 7.5) * spacing)
                          : kind_of_grid == 1 ? even
                                              : static_cast<float>(draw(random, -5, 5));
        }
        const auto divisor = static_cast<float>(spacing), offset = static_cast<float>(draw(random, 0, static_cast<int>(count)));
        const auto quotient = [&](float value) { return std::nearbyint(value / divisor) + offset; };
        for (std::size_t c = 0; c < count && kind_of_grid == 3; ++c) {
          const auto below = static_cast<float>(c);
          float& at = thresholds[c];
          at = (below + 0.5f - offset) * divisor;
          while (quotient(at) > below) at = std::nextafter(at, -infinity);
          while (quotient(std::nextafter(at, infinity)) <= below) at = std::nextafter(at, infinity);
        }
        std::sort(thresholds.begin(), thresholds.end());
        std::vector<std::uint8_t> table(count + 1);
        std::iota(table.begin(), table.end(), std::uint8_t{0});
        if (draw(random, 0, 1)) std::shuffle(table.begin(), table.end(), random);
        const Value in = real_value(features);
        const Value out = output == Output::planes ? planes_value(features, bits) : bytes_value(features, (1u << bits) - 1);
        const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
        auto* input = reinterpret_cast<float*>(x.data());
        const float special[] = {infinity, -infinity, std::numeric_limits<float>::quiet_NaN(), -0.0f};
        for (std::size_t n = 0; n < rows * features; ++n) {
          const int kind = draw(random, 0, 30);
          const float tie = thresholds[static_cast<std::size_t>(draw(random, 0, static_cast<int>(count) - 1))];
          input[n] = kind < 4    ? special[kind]
                     : kind < 9  ? tie
                     : kind < 12 ? std::nextafter(tie, kind < 10 ? infinity : -infinity)
                                 : static_cast<float>(draw(random, -70, 70)) / 12;
        }
        const auto step = encode(select_kernels(level), 0, in, out, thresholds, table);
        run_step(*step, in, out, rows, x.data(), y.data());
        bool equal = true;
        for (std::size_t n = 0; n < rows * features; ++n) {
          const auto rank = static_cast<std::size_t>(
              std::count_if(thresholds.begin(), thresholds.end(), [&](float t) { return input[n] > t; }));
          equal &= load_code(out, y.data(), n / features, n % features) == table[rank];
        }
        CHECK(equal, describe(level, features, 0, rows, "bits=" + std::to_string(bits)));
        if (output == Output::planes) CHECK(padding_is_zero(out, y.data(), rows), level);
      }
    }
  }
}

void test_encode_affine(const std::string& level) {
  Random random(5);
  for (const std::size_t features : kFeatures) {
    const std::size_t rows = pick(random, kRowCounts);
    const double scale = draw(random, 0, 1) ? 0.25 : 0.1, zero = draw(random, 0, 255);
    const double top = draw(random, 0, 1) ? 255 : 15;
    const Value in = real_value(features), out = bytes_value(features, 255);
    const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
    auto* input = reinterpret_cast<float*>(x.data());
    for (std::size_t n = 0; n < rows * features; ++n) {
      input[n] = static_cast<float>(draw(random, -300, 300)) / 8;  // at scale 1/4 half of them are ties
      if (draw(random, 0, 30) == 0) input[n] = std::numeric_limits<float>::quiet_NaN();
      if (draw(random, 0, 30) == 0) input[n] = 1e30f;
    }
    const auto step = encode_affine(select_kernels(level), 0, in, out, scale, zero, top);
    run_step(*step, in, out, rows, x.data(), y.data());
    bool equal = true;
    for (std::size_t n = 0; n < rows * features; ++n) {
      const double code = std::nearbyint(static_cast<double>(input[n]) / scale) + zero;
      const auto expected = std::isnan(code) ? 0u : static_cast<unsigned>(std::clamp(code, 0.0, top));
      equal &= load_code(out, y.data(), n / features, n % features) == expected;
    }
    CHECK(equal, describe(level, features, 0, rows, "affine"));
  }
}

void test_look_up(const std::string& level) {
  Random random(6);
  std::array<std::uint8_t, 256> table;
  for (std::uint8_t& entry : table) entry = static_cast<std::uint8_t>(draw(random, 0, 255));
  for (const std::size_t features : {1u, 63u, 64u, 65u, 256u, 1000u}) {
    const Value value = bytes_value(features, 255);
    const Guarded x(value.row, Against::back), y(value.row, Against::back);
    auto* codes = reinterpret_cast<std::uint8_t*>(x.data());
    for (std::size_t n = 0; n < value.row; ++n) codes[n] = static_cast<std::uint8_t>(n % 256);
    const auto step = look_up(select_kernels(level), 0, value, table);
    run_step(*step, value, value, 1, x.data(), y.data());
    bool equal = true;
    for (std::size_t n = 0; n < features; ++n) equal &= y.data()[n] == static_cast<std::byte>(table[n % 256]);
    CHECK(equal, describe(level, features, 0, 1, "look_up"));
  }
}

const float kSpecial[] = {0.0f, -0.0f, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::denorm_min()};

void fill_floats(Random& random, float* x, std::size_t count) {
  for (std::size_t n = 0; n < count; ++n) {
    const int kind = draw(random, 0, 30);
    x[n] = kind < 6 ? kSpecial[kind] : static_cast<float>(draw(random, -1000, 1000)) / 97;
  }
}

bool same(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (std::isnan(a) && std::isnan(b)); }

void test_arithmetic(const std::string& level) {
  Random random(8);
  const auto expected = [](Arithmetic operation, float a, float b) {
    switch (operation) {
      case Arithmetic::add: return a + b;
      case Arithmetic::subtract: return a - b;
      case Arithmetic::multiply: return a * b;
      case Arithmetic::divide: return a / b;
      case Arithmetic::subtract_from: return b - a;
      default: return b / a;
    }
  };
  for (const std::size_t count : {1u, 15u, 16u, 17u, 40u, 1000u}) {
    for (int kind = 0; kind <= static_cast<int>(Arithmetic::divide_into); ++kind) {
      const auto operation = static_cast<Arithmetic>(kind);
      const bool one = draw(random, 0, 1) == 1, in_place = draw(random, 0, 1) == 1;
      const Guarded x(4 * count, Against::back), other(4 * (one ? 1 : count), Against::back), y(4 * count, Against::back);
      auto *a = reinterpret_cast<float*>(x.data()), *b = reinterpret_cast<float*>(other.data());
      fill_floats(random, a, count), fill_floats(random, b, one ? 1 : count);
      const std::vector<float> before(a, a + count);
      float* out = in_place ? a : reinterpret_cast<float*>(y.data());
      select_kernels(level).arithmetic.run(operation, a, b, one, out, count);
      bool equal = true;
      for (std::size_t n = 0; n < count; ++n) equal &= same(out[n], expected(operation, before[n], b[one ? 0 : n]));
      CHECK(equal, describe(level, count, 0, 1, "arithmetic " + std::to_string(kind)));
    }
  }
}

void test_clip(const std::string& level) {
  Random random(9);
  for (const std::size_t count : {1u, 15u, 16u, 17u, 40u, 1000u}) {
    const Guarded x(4 * count, Against::back), y(4 * count, Against::back);
    auto *a = reinterpret_cast<float*>(x.data()), *out = reinterpret_cast<float*>(y.data());
    fill_floats(random, a, count);
    const float low = count % 2 == 0 ? -std::numeric_limits<float>::infinity() : 0.0f, high = 6.5f;
    select_kernels(level).clip.run(low, high, a, out, count);
    bool equal = true;
    for (std::size_t n = 0; n < count; ++n) equal &= same(out[n], a[n] < low ? low : a[n] > high ? high : a[n]);
    CHECK(equal, describe(level, count, 0, 1, "clip"));
  }
}

TEST(peaks_do_something_and_readers_end) {
  const Guarded room(4096, Against::back);
  const std::vector<std::string> levels = available_levels();
  const auto here = [&](const char* level) { return std::find(levels.begin(), levels.end(), level) != levels.end(); };
#define LOWBIT_PEAK(unit, level) \
  if (here(#level)) CHECK(level::unit##_peak(10) > 0 || std::string(#unit) == "float", #unit " " #level);
#define LOWBIT_READER(level) \
  if (here(#level)) level::read_all(room.data(), 4096);
#include "../kernels/kernels.inc"
}


#define LOWBIT_KERNEL(operation, level)                         \
  const Registered registered_##operation##_##level(            \
      #operation " " #level,                                    \
      on(#level, [](const KernelSet& set) { return ran_by(set.operation); }, test_##operation));
#include "../kernels/kernels.inc"

}  // namespace lowbit::testing
