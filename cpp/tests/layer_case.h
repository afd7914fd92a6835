// What tests of single steps share: values filled and read element by element, endings with their expected results,
// and buffers that touch guard pages.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "../core/layers.h"
#include "check.h"
#include "guarded.h"

namespace lowbit::testing {

using Random = std::mt19937;

inline std::int32_t draw(Random& random, std::int32_t low, std::int32_t high) {
  return std::uniform_int_distribution<std::int32_t>(low, high)(random);
}

constexpr std::size_t kFeatures[] = {1, 31, 32, 33, 63, 65, 130, 1100};
constexpr std::size_t kChannels[] = {1, 15, 16, 17, 33, 70, 97, 330};
constexpr std::size_t kRowCounts[] = {1, 2, 4, 11};

template <std::size_t kCount>
std::size_t pick(Random& random, const std::size_t (&choices)[kCount]) {
  return choices[static_cast<std::size_t>(draw(random, 0, kCount - 1))];
}

// Codes [rows, features] into a value's own form, maps pixel by pixel; padding of bytes and words gets rubbish, as it may.
inline void store_codes(const Value& value, const std::vector<unsigned>& codes, std::byte* to) {
  for (std::size_t row = 0; row < codes.size() / value.features; ++row) {
    auto* start = reinterpret_cast<std::uint8_t*>(to + row * value.row);
    std::memset(start, value.kind == Kind::planes ? 0 : 0xa5, value.row);
    for (std::size_t m = 0; m < value.features; ++m) {
      const unsigned code = codes[row * value.features + m];
      const std::size_t n = m % value.channels();
      std::uint8_t* at = start + m / value.channels() * value.pixel;
      if (value.kind == Kind::bytes) at[n] = static_cast<std::uint8_t>(code);
      if (value.kind == Kind::words) reinterpret_cast<std::int16_t*>(at)[n] = static_cast<std::int16_t>(code);
      for (unsigned i = 0; value.kind == Kind::planes && i < value.bits; ++i) {
        at[i * value.plane + n / 8] |= static_cast<std::uint8_t>(((code >> i) & 1u) << (n % 8));
      }
    }
  }
}

inline unsigned load_code(const Value& value, std::byte* from, std::size_t row, std::size_t n) {
  const std::size_t channel = n % value.channels();
  if (value.kind == Kind::words) return static_cast<unsigned>(Place{from, &value}.word(row, n / value.channels(), channel));
  return Place{from, &value}.code(row, n / value.channels(), n % value.channels());
}

inline bool padding_is_zero(const Value& value, const std::byte* from, std::size_t rows) {
  for (std::size_t row = 0; row < rows; ++row) {
    for (unsigned i = 0; i < value.bits; ++i) {
      const auto* at = reinterpret_cast<const std::uint8_t*>(from + row * value.row + i * value.plane);
      std::size_t ones = 0;
      for (std::size_t n = 0; n < value.plane; ++n) ones += static_cast<std::size_t>(std::popcount(at[n]));
      for (std::size_t n = 0; n < value.features; ++n) {
        const std::size_t pixel = n / value.channels() * value.pixel, channel = n % value.channels();
        ones -= (unsigned{at[pixel + channel / 8]} >> (channel % 8)) & 1u;
      }
      if (ones != 0) return false;
    }
  }
  return true;
}

// Runs one step whose input and output both touch a guard page; twice, since a layer may go through its weights the other
// way when it is called again.
inline void run_step(Step& step, const Value& in, const Value& out, std::size_t rows, const std::byte* x, std::byte* y) {
  step.result = 1;
  std::vector<Value> values{in, out};
  values[0].port = 0, values[1].port = 1;
  Aligned<std::int32_t> sums(std::max(rows * step.scratch, step.fixed_scratch / sizeof(std::int32_t)));
  std::byte* const ports[] = {const_cast<std::byte*>(x), y};
  const Block block{rows, &values, nullptr, sums.data(), ports, nullptr};
  step.run(block);
  const std::vector<std::byte> first(y, y + rows * out.row);
  std::memset(y, 0, first.size());
  step.run(block);
  CHECK(out.kind == Kind::bytes || std::memcmp(y, first.data(), first.size()) == 0, "the second run differs from the first");
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
         const std::vector<std::int64_t>& acc, bool binary = false) {
    spec.output = output;
    if (output == Output::planes || output == Output::bytes) {
      draw_thresholds(random, rows, channels, acc, binary);
    } else {
      // Scales that meet ties, and any others.
      const bool plain = draw(random, 0, 3) == 0, any = draw(random, 0, 1) == 0;
      for (std::size_t o = 0; o < channels; ++o) {
        scale.push_back(any ? std::uniform_real_distribution<double>(0.01, 2.0)(random) : std::ldexp(draw(random, 1, 4000), -9));
        bias.push_back(plain ? 0.0 : draw(random, -1000, 1000) / 7.0);
      }
      spec.scale = scale, spec.bias = bias;
      spec.out_scale = 0.5 * draw(random, 1, 300), spec.out_zero = draw(random, 0, 255);
      value = output == Output::real ? real_value(channels) : bytes_value(channels, 255);
    }
  }

  // Thresholds at accumulators that occur, so that ties are met, and at both ends of int32.
  void draw_thresholds(Random& random, std::size_t rows, std::size_t channels, const std::vector<std::int64_t>& acc,
                       bool binary) {
    bits = static_cast<unsigned>(draw(random, 1, binary ? 1 : spec.output == Output::planes || draw(random, 0, 3) ? 4 : 8));
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
    if (!binary && draw(random, 0, 1) == 0) std::shuffle(table.begin(), table.end(), random);
    spec.thresholds = {thresholds.data(), channels, count};
    spec.table = table;
    value = spec.output == Output::planes ? planes_value(channels, bits) : bytes_value(channels, (1u << bits) - 1);
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

inline void check_ending(const Ending& end, const std::vector<std::int64_t>& acc, std::size_t rows, std::size_t channels,
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

inline std::string describe(const std::string& level, std::size_t features, std::size_t channels, std::size_t rows,
                     const std::string& more) {
  return level + " features=" + std::to_string(features) + " channels=" + std::to_string(channels) +
         " rows=" + std::to_string(rows) + " " + more;
}

inline Output any_output(Random& random) { return static_cast<Output>(draw(random, 0, 3)); }

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

inline std::int64_t level_of(unsigned code, const std::int32_t* factors, unsigned bits) {
  std::int64_t level = 0;
  for (unsigned i = 0; i < bits; ++i) level += ((code >> i) & 1u) ? factors[i] : -factors[i];
  return level;
}

// (In the macro of those who use this, `level` would be replaced after a dot as well.)
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

// One test for each kernel of the list: test_<operation>(level).
void test_holds_nan(const std::string& level);
void test_encode(const std::string& level);
void test_encode_affine(const std::string& level);
void test_round_words(const std::string& level);
void test_add_words(const std::string& level);
void test_average_words(const std::string& level);
void test_rank_words(const std::string& level);
void test_line_words(const std::string& level);
void test_word_fully_connected(const std::string& level);
void test_word_convolution(const std::string& level);
void test_plane_fully_connected(const std::string& level);
void test_byte_fully_connected(const std::string& level);
void test_byte_code_fully_connected(const std::string& level);
void test_tile_fully_connected(const std::string& level);
void test_tile_inputs(const std::string& level);
void test_tile_planes(const std::string& level);
void test_float_fully_connected(const std::string& level);
void test_weight_only_fully_connected(const std::string& level);
void test_weight_group_fully_connected(const std::string& level);
void test_weight_code_fully_connected(const std::string& level);
void test_plane_convolution(const std::string& level);
void test_byte_convolution(const std::string& level);
void test_tile_convolution(const std::string& level);
void test_byte_depthwise(const std::string& level);
void test_float_depthwise(const std::string& level);
void test_float_convolution(const std::string& level);
void test_apply_function(const std::string& level);
void test_reduce(const std::string& level);
void test_softmax(const std::string& level);

}  // namespace lowbit::testing
