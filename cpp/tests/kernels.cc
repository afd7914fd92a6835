// Every kernel of the list against a scalar reference that knows nothing of planes or lanes: codes, levels, int64.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "../core/elementwise.h"
#include "../core/layers.h"
#include "check.h"
#include "guarded.h"

namespace lowbit::testing {
namespace {

using Random = std::mt19937;

std::int32_t draw(Random& random, std::int32_t low, std::int32_t high) {
  return std::uniform_int_distribution<std::int32_t>(low, high)(random);
}

constexpr std::size_t kFeatures[] = {1, 31, 32, 33, 63, 65, 130, 1100};
constexpr std::size_t kChannels[] = {1, 15, 16, 17, 33, 70, 97};
constexpr std::size_t kRowCounts[] = {1, 2, 4, 11};

template <std::size_t kCount>
std::size_t pick(Random& random, const std::size_t (&choices)[kCount]) {
  return choices[static_cast<std::size_t>(draw(random, 0, kCount - 1))];
}

Value planes_value(std::size_t features, unsigned bits) {
  const std::size_t plane = round_up(features, 64) / 8;
  return {Kind::planes, features, bits, bits * plane, plane, 0};
}

Value bytes_value(std::size_t features, unsigned bits) {
  return {Kind::bytes, features, bits, round_up(features, 16), 0, 0};
}

Value real_value(std::size_t features) { return {Kind::real, features, 0, 4 * features, 0, 0}; }

// Codes [rows, features] into a value's own form; padding of bytes gets rubbish, as it may.
void store_codes(const Value& value, const std::vector<unsigned>& codes, std::byte* to) {
  for (std::size_t row = 0; row < codes.size() / value.features; ++row) {
    auto* at = reinterpret_cast<std::uint8_t*>(to + row * value.row);
    std::memset(at, value.kind == Kind::bytes ? 0xa5 : 0, value.row);
    for (std::size_t n = 0; n < value.features; ++n) {
      const unsigned code = codes[row * value.features + n];
      if (value.kind == Kind::bytes) at[n] = static_cast<std::uint8_t>(code);
      for (unsigned i = 0; value.kind == Kind::planes && i < value.bits; ++i) {
        at[i * value.plane + n / 8] |= static_cast<std::uint8_t>(((code >> i) & 1u) << (n % 8));
      }
    }
  }
}

unsigned load_code(const Value& value, std::byte* from, std::size_t row, std::size_t n) {
  return Place{from, &value}.code(row, n);
}

bool padding_is_zero(const Value& value, const std::byte* from, std::size_t rows) {
  for (std::size_t row = 0; row < rows; ++row) {
    for (unsigned i = 0; i < value.bits; ++i) {
      const auto* at = reinterpret_cast<const std::uint8_t*>(from + row * value.row + i * value.plane);
      for (std::size_t n = value.features; n < 8 * value.plane; ++n) {
        if ((unsigned{at[n / 8]} >> (n % 8)) & 1u) return false;
      }
    }
  }
  return true;
}

// Runs one step whose input and output both touch a guard page.
void run_step(Step& step, const Value& in, const Value& out, std::size_t rows, const std::byte* x, std::byte* y) {
  step.result = 1;
  const std::vector<Value> values{in, out};
  Aligned<std::int32_t> sums(kBlockRows);
  step.run({rows, &values, nullptr, sums.data(), const_cast<std::byte*>(x), y, 1, nullptr});
}

// How a layer ends, with the arrays behind it.
struct Ending {
  EpilogueSpec spec;
  std::vector<std::int32_t> thresholds;
  std::vector<std::uint8_t> table;
  std::vector<double> scale, bias;
  unsigned bits = 0;
  Value value{};

  Ending(Random& random, Output output, std::size_t rows, std::size_t channels,
         const std::vector<std::int64_t>& acc) {
    spec.output = output;
    if (output == Output::planes || output == Output::bytes) {
      draw_thresholds(random, rows, channels, acc);
    } else {
      for (std::size_t o = 0; o < channels; ++o) {
        scale.push_back(std::ldexp(draw(random, 1, 4000), -9));
        bias.push_back(draw(random, -1000, 1000) / 7.0);
      }
      spec.scale = scale, spec.bias = bias;
      spec.out_scale = 0.5 * draw(random, 1, 300), spec.out_zero = draw(random, 0, 255);
      value = output == Output::real ? real_value(channels) : bytes_value(channels, 8);
    }
  }

  // Thresholds at accumulators that occur, so that ties are met, and at both ends of int32.
  void draw_thresholds(Random& random, std::size_t rows, std::size_t channels, const std::vector<std::int64_t>& acc) {
    bits = static_cast<unsigned>(draw(random, 1, spec.output == Output::planes || draw(random, 0, 3) ? 4 : 8));
    const std::size_t count = (std::size_t{1} << bits) - 1;
    for (std::size_t o = 0; o < channels; ++o) {
      std::vector<std::int32_t> row(count);
      for (std::int32_t& t : row) {
        const auto near = static_cast<std::size_t>(draw(random, 0, static_cast<int>(rows) - 1)) * channels + o;
        t = static_cast<std::int32_t>(acc[near]) + draw(random, -2, 2);
        if (draw(random, 0, 20) == 0) t = std::numeric_limits<std::int32_t>::min();
        if (draw(random, 0, 20) == 0) t = std::numeric_limits<std::int32_t>::max();
      }
      std::sort(row.begin(), row.end());
      thresholds.insert(thresholds.end(), row.begin(), row.end());
    }
    table.resize(count + 1);
    std::iota(table.begin(), table.end(), std::uint8_t{0});
    if (draw(random, 0, 1) == 0) std::shuffle(table.begin(), table.end(), random);
    spec.thresholds = {thresholds.data(), channels, count};
    spec.table = table;
    value = spec.output == Output::planes ? planes_value(channels, bits) : bytes_value(channels, bits);
  }

  unsigned expected_code(std::size_t channel, std::int64_t acc) const {
    if (spec.output == Output::affine) {
      const double code = std::nearbyint(scale[channel] * static_cast<double>(acc) / spec.out_scale) + spec.out_zero;
      return static_cast<unsigned>(std::clamp(code, 0.0, spec.out_top));
    }
    const std::int32_t* row = spec.thresholds.row(channel);
    return table[static_cast<std::size_t>(std::count_if(row, row + spec.thresholds.columns,
                                                        [&](std::int32_t t) { return acc > t; }))];
  }
};

void check_ending(const Ending& end, const std::vector<std::int64_t>& acc, std::size_t rows, std::size_t channels,
                  std::byte* y, const std::string& what) {
  bool equal = true;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t o = 0; o < channels; ++o) {
      const std::int64_t sum = acc[row * channels + o];
      if (end.spec.output == Output::real) {
        float found;
        std::memcpy(&found, y + row * end.value.row + 4 * o, sizeof found);
        equal &= found == static_cast<float>(end.scale[o] * static_cast<double>(sum) + end.bias[o]);
      } else {
        equal &= load_code(end.value, y, row, o) == end.expected_code(o, sum);
      }
    }
  }
  CHECK(equal, what);
  if (end.spec.output == Output::planes) CHECK(padding_is_zero(end.value, y, rows), what);
}

std::string describe(const std::string& level, std::size_t features, std::size_t channels, std::size_t rows,
                     const std::string& more) {
  return level + " features=" + std::to_string(features) + " channels=" + std::to_string(channels) +
         " rows=" + std::to_string(rows) + " " + more;
}

Output any_output(Random& random) { return static_cast<Output>(draw(random, 0, 3)); }

template <class MakeStep>
void run_layer(Random& random, const Value& in, const std::vector<unsigned>& codes, const Ending& end,
               const std::vector<std::int64_t>& acc, std::size_t rows, std::size_t channels, const std::string& what,
               const MakeStep& make) {
  const Against against = draw(random, 0, 1) ? Against::front : Against::back;
  const Guarded x(rows * in.row, against), y(rows * end.value.row, against);
  store_codes(in, codes, x.data());
  const std::unique_ptr<Step> step = make();
  run_step(*step, in, end.value, rows, x.data(), y.data());
  check_ending(end, acc, rows, channels, y.data(), what);
}

std::int64_t level_of(unsigned code, const std::int32_t* factors, unsigned bits) {
  std::int64_t level = 0;
  for (unsigned i = 0; i < bits; ++i) level += ((code >> i) & 1u) ? factors[i] : -factors[i];
  return level;
}

void plane_case(const std::string& level, Random& random, unsigned kx, unsigned kw, std::size_t features,
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

void byte_case(const std::string& level, Random& random, std::size_t features, std::size_t channels,
               std::size_t rows) {
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
  const Value in = bytes_value(features, bits);
  const Ending end(random, any_output(random), rows, channels, acc);
  run_layer(random, in, x, end, acc, rows, channels, describe(level, features, channels, rows, "bytes"), [&] {
    const ByteWeights weights{{w.data(), channels, features}, constant, row_factor};
    return byte_fully_connected(select_kernels(level), 0, in, weights, end.spec);
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

void test_encode(const std::string& level) {
  Random random(4);
  const float infinity = std::numeric_limits<float>::infinity();
  for (unsigned bits = 1; bits <= 8; ++bits) {
    for (const std::size_t features : kFeatures) {
      for (const Output output : {Output::planes, Output::bytes}) {
        if (output == Output::planes && bits > kMaxPlanes) continue;
        const std::size_t rows = pick(random, kRowCounts), count = (std::size_t{1} << bits) - 1;
        std::vector<float> thresholds(count);
        for (float& t : thresholds) t = static_cast<float>(draw(random, -5, 5));
        std::sort(thresholds.begin(), thresholds.end());
        std::vector<std::uint8_t> table(count + 1);
        std::iota(table.begin(), table.end(), std::uint8_t{0});
        if (draw(random, 0, 1)) std::shuffle(table.begin(), table.end(), random);
        const Value in = real_value(features);
        const Value out = output == Output::planes ? planes_value(features, bits) : bytes_value(features, bits);
        const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
        auto* input = reinterpret_cast<float*>(x.data());
        const float special[] = {infinity, -infinity, std::numeric_limits<float>::quiet_NaN(), -0.0f};
        for (std::size_t n = 0; n < rows * features; ++n) {
          const int kind = draw(random, 0, 30);
          input[n] = kind < 4 ? special[kind] : static_cast<float>(draw(random, -12, 12)) / 2;  // ties are frequent
        }
        const auto step = encode(select_kernels(level), 0, in, output, thresholds, table);
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
    const Value in = real_value(features), out = bytes_value(features, 8);
    const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
    auto* input = reinterpret_cast<float*>(x.data());
    for (std::size_t n = 0; n < rows * features; ++n) {
      input[n] = static_cast<float>(draw(random, -300, 300)) / 8;  // at scale 1/4 half of them are ties
      if (draw(random, 0, 30) == 0) input[n] = std::numeric_limits<float>::quiet_NaN();
      if (draw(random, 0, 30) == 0) input[n] = 1e30f;
    }
    const auto step = encode_affine(select_kernels(level), 0, in, scale, zero, top);
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

void test_popcount_peak(const std::string& level) { CHECK(select_kernels(level).popcount_peak.run(10) > 0, level); }

void test_dot_peak(const std::string& level) { CHECK(select_kernels(level).dot_peak.run(10) > 0, level); }

// (In the macro below, `level` would be replaced after a dot as well.)
template <class Function>
std::string ran_by(const Kernel<Function>& kernel) {
  return kernel.level;
}

// A level that this machine lacks is skipped, and says so.
template <class Entry>
std::function<void()> on(const char* level, Entry entry, void (*test)(const std::string&)) {
  return [=] {
    const std::vector<std::string> levels = available_levels();
    if (std::find(levels.begin(), levels.end(), level) == levels.end()) {
      std::printf("skipped: no %s here\n", level);
      return;
    }
    CHECK(entry(select_kernels(level)) == level, "dispatch");
    test(level);
  };
}

#define LOWBIT_KERNEL(operation, level)                         \
  const Registered registered_##operation##_##level(            \
      #operation " " #level,                                    \
      on(#level, [](const KernelSet& set) { return ran_by(set.operation); }, test_##operation));
#include "../kernels/kernels.inc"

}  // namespace
}  // namespace lowbit::testing
