// Layers and elements of 16-bit words against loops over levels in 64 bits; every rule and form of an ending.
#include <functional>

#include "../core/convolution.h"
#include "../core/elementwise.h"
#include "../core/movement.h"
#include "../core/word_codes.h"
#include "../core/word_elements.h"
#include "../core/word_layers.h"
#include "../core/word_pools.h"
#include "map_case.h"

namespace lowbit::testing {
namespace {

constexpr std::int32_t kLeast = std::numeric_limits<std::int16_t>::min(), kMost = std::numeric_limits<std::int16_t>::max();

std::int64_t draw_wide(Random& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

double rounded(Rule rule, double value) {
  return rule == Rule::round_even ? std::nearbyint(value) : std::floor(value + (rule == Rule::round_up ? 0.5 : 0.0));
}

// An ending with the arrays behind it, and what it makes of a sum.
struct AnyEnding {
  EpilogueSpec spec;
  std::vector<std::int64_t> thresholds;
  std::vector<std::uint16_t> table;
  std::vector<double> scale, bias;

  // acc: [rows, channels], so that ties are met. narrow: the sums fit int32.
  AnyEnding(Random& random, std::size_t channels, const std::vector<std::int64_t>& acc) {
    EndingSpec& other = spec.other;
    spec.output = Output::other;
    other.rule = static_cast<Rule>(draw(random, 0, 6));
    other.form = other.rule == Rule::real    ? Form::reals
                 : other.rule == Rule::ranks ? static_cast<Form>(draw(random, 0, 2))
                                             : static_cast<Form>(draw(random, 1, 2));
    const std::int64_t largest = std::abs(*std::max_element(acc.begin(), acc.end(), [](auto a, auto b) { return std::abs(a) < std::abs(b); }));
    if (other.rule == Rule::ranks) draw_thresholds(random, channels, acc);
    if (other.form == Form::bytes) other.low = draw(random, 0, 9), other.high = draw(random, 9, 255), other.base = draw(random, 0, other.low);
    if (other.form == Form::words) other.low = draw(random, kLeast, 0), other.high = draw(random, 0, kMost);
    if (other.rule == Rule::shift_up || other.rule == Rule::shift_down) {
      other.shift = draw(random, largest > 1 << 20 ? 5 : -6, std::min(31, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(largest)))));
    } else if (other.rule != Rule::ranks) {
      for (std::size_t o = 0; o < channels; ++o) {
        scale.push_back(std::ldexp(draw(random, 1, 4000), -9));
        if (draw(random, 0, 3)) bias.push_back(draw(random, -1000, 1000) / 7.0);
      }
      if (bias.size() != channels) bias.clear();
      other.scale = scale, other.bias = bias;
      other.step = std::max(1.0, static_cast<double>(largest) / 1000) * (draw(random, 0, 1) ? 0.25 : 0.3);
    }
  }

  void draw_thresholds(Random& random, std::size_t channels, const std::vector<std::int64_t>& acc) {
    EndingSpec& other = spec.other;
    const int bits = draw(random, 1, other.form == Form::planes ? 4 : 8);
    const std::size_t steps = other.form == Form::planes ? (std::size_t{1} << bits) - 1
                                                         : static_cast<std::size_t>(draw(random, 1, draw(random, 0, 4) ? 20 : 300));
    for (std::size_t o = 0; o < channels; ++o) {
      std::vector<std::int64_t> row(steps);
      for (std::int64_t& t : row) {
        const auto near = static_cast<std::size_t>(draw_wide(random, 0, static_cast<std::int64_t>(acc.size() / channels) - 1)) * channels + o;
        t = acc[near] + draw(random, -2, 2);
        if (draw(random, 0, 20) == 0) t = draw(random, 0, 1) ? std::int64_t{1} << 62 : -(std::int64_t{1} << 62);
      }
      std::sort(row.begin(), row.end());
      thresholds.insert(thresholds.end(), row.begin(), row.end());
    }
    for (std::size_t n = 0; n <= steps; ++n) {
      table.push_back(static_cast<std::uint16_t>(other.form == Form::planes  ? draw(random, 0, (1 << bits) - 1)
                                                 : other.form == Form::bytes ? draw(random, 0, 255)
                                                                             : draw(random, kLeast, kMost)));
    }
    other.thresholds = {thresholds.data(), channels, steps};
    other.table = table;
  }

  Value value(std::size_t features) const {
    switch (spec.other.form) {
      case Form::planes: return planes_value(features, static_cast<unsigned>(std::bit_width(table.size()) - 1));
      case Form::bytes: return bytes_value(features, 255);
      case Form::words: return words_value(features, word_range(kLeast, kMost));
      default: return real_value(features);
    }
  }

  // As a float's value or an integer.
  double expected(std::size_t channel, std::int64_t acc) const {
    const EndingSpec& other = spec.other;
    if (other.rule == Rule::ranks) {
      const std::int64_t* row = other.thresholds.row(channel);
      const std::uint16_t entry = table[static_cast<std::size_t>(std::count_if(row, row + other.thresholds.columns, [&](auto t) { return acc > t; }))];
      return other.form == Form::words ? static_cast<std::int16_t>(entry) : entry;
    }
    if (other.rule == Rule::shift_up || other.rule == Rule::shift_down) {
      const std::int64_t half = other.rule == Rule::shift_up && other.shift > 0 ? std::int64_t{1} << (other.shift - 1) : 0;
      const std::int64_t moved = other.shift > 0 ? (acc + half) >> other.shift : acc * (std::int64_t{1} << -other.shift);
      return static_cast<double>(std::clamp<std::int64_t>(moved, other.low, other.high) - other.base);
    }
    double real = scale[channel] * static_cast<double>(acc);
    if (!bias.empty()) real += bias[channel];
    if (other.rule == Rule::real) return static_cast<float>(real);
    return std::clamp<double>(rounded(other.rule, real / other.step), other.low, other.high) - other.base;
  }

  double found(const Value& value, std::byte* y, std::size_t row, std::size_t n) const {
    const Place place{y, &value};
    if (value.kind == Kind::real) return place.real(row)[n];
    if (value.kind == Kind::words) return place.word(row, n / value.channels(), n % value.channels());
    return load_code(value, y, row, n);
  }
};

// Levels of an input and weights: of a few bits, or as large as there are, so that sums need 64 bits and products wrap.
struct Levels {
  std::int32_t least, most, reach;

  explicit Levels(Random& random) {
    const int kind = draw(random, 0, 4);
    reach = kind == 0 ? 32767 : kind == 1 ? 5000 : draw(random, 1, 300);
    least = kind == 0 ? kLeast : -draw(random, 0, kind == 1 ? 9000 : 256), most = kind == 0 ? kMost : draw(random, 1, kind == 1 ? 9000 : 256);
  }

  std::vector<std::int16_t> inputs(Random& random, std::size_t count) const { return some(random, count, least, most); }
  std::vector<std::int16_t> weights(Random& random, std::size_t count) const { return some(random, count, -reach - (reach == 32767), reach); }

 private:
  static std::vector<std::int16_t> some(Random& random, std::size_t count, std::int32_t low, std::int32_t high) {
    const int pattern = draw(random, 0, 3);
    std::vector<std::int16_t> all(count);
    for (std::int16_t& one : all) {
      one = static_cast<std::int16_t>(pattern == 0 ? low : pattern == 1 ? (draw(random, 0, 9) ? high : low) : draw(random, low, high));
    }
    return all;
  }
};

std::vector<std::int64_t> constants(Random& random, std::size_t count) {
  std::vector<std::int64_t> all(count);
  for (std::int64_t& one : all) one = draw(random, -100000, 100000);
  return all;
}

void store_levels(const Value& value, const std::vector<std::int16_t>& levels, std::byte* to) {
  store_codes(value, std::vector<unsigned>(levels.begin(), levels.end()), to);
}

void fully_connected_case(const std::string& level, Random& random, std::size_t features, std::size_t channels, std::size_t samples) {
  const Levels levels(random);
  const std::size_t rows = draw(random, 0, 2) ? 1 : static_cast<std::size_t>(draw(random, 2, 9));
  const auto x = levels.inputs(random, samples * rows * features), w = levels.weights(random, channels * features);
  const auto constant = constants(random, channels);
  std::vector<std::int64_t> acc;
  for (std::size_t row = 0; row < samples * rows; ++row) {
    for (std::size_t o = 0; o < channels; ++o) {
      std::int64_t sum = constant[o];
      for (std::size_t n = 0; n < features; ++n) sum += std::int64_t{x[row * features + n]} * w[o * features + n];
      acc.push_back(sum);
    }
  }
  AnyEnding end(random, channels, acc);
  while (rows > 1 && end.spec.other.form == Form::planes) end = AnyEnding(random, channels, acc);
  const Value in = words_value(rows * features, word_range(levels.least, levels.most)), out = end.value(rows * channels);
  const Against against = draw(random, 0, 1) ? Against::front : Against::back;
  const Guarded from(samples * in.row, against), to(samples * out.row, against);
  store_levels(in, x, from.data());
  EpilogueSpec spec = end.spec;  // spans of an ending that was moved
  spec.other.thresholds.data = end.thresholds.data(), spec.other.table = end.table, spec.other.scale = end.scale, spec.other.bias = end.bias;
  const auto step = word_fully_connected(select_kernels(level), 0, in, out, rows, {{w.data(), channels, features}, constant}, spec);
  run_step(*step, in, out, samples, from.data(), to.data());
  bool equal = true;
  for (std::size_t n = 0; n < acc.size(); ++n) {
    const std::size_t each = rows * channels;
    equal &= end.found(out, to.data(), n / each, n % each) == end.expected(n % channels, acc[n]);
  }
  const std::string what = describe(level, features, channels, samples, "words, rows=" + std::to_string(rows) + " rule=" +
                                    std::to_string(static_cast<int>(spec.other.rule)) + " form=" + std::to_string(static_cast<int>(spec.other.form)));
  CHECK(equal, what);
  if (out.kind == Kind::planes) CHECK(padding_is_zero(out, to.data(), samples), what);
}

void convolution_case(const std::string& level, Random& random, const Shape& s) {
  const Outputs out(s);
  const Levels levels(random);
  const std::size_t each = s.taps() * s.depth(), pixels = out.taps.size();
  const auto x = levels.inputs(random, s.rows * s.height * s.width * s.inputs), w = levels.weights(random, s.outputs * each);
  const auto constant = constants(random, s.outputs);
  auto acc = accumulate(
      s, out,
      [&](std::size_t row, std::size_t pixel, std::size_t c) { return std::int64_t{x[(row * s.height * s.width + pixel) * s.inputs + c]}; },
      [&](std::size_t o, std::size_t tap, std::size_t c) { return std::int64_t{w[o * each + tap * s.depth() + c]}; });
  for (std::size_t n = 0; n < acc.size(); ++n) acc[n] += constant[n % s.outputs];
  const AnyEnding end(random, s.outputs, acc);
  const Value in = map_value(Kind::words, word_range(levels.least, levels.most), s.inputs, s.height, s.width);
  const Value flat = end.value(1), result = map_value(flat.kind, flat.range(), s.outputs, out.height, out.width);
  const Against against = draw(random, 0, 1) ? Against::front : Against::back;
  const Guarded from(s.rows * in.row, against), to(s.rows * result.row, against);
  store_levels(in, x, from.data());
  // Biases of every region apart, all alike: what a layer whose input has an offset gives.
  const WindowPlan plan("test", in, s.window);
  std::vector<double> by_region;
  for (std::size_t r = 0; r < plan.region_count(); ++r) by_region.insert(by_region.end(), end.bias.begin(), end.bias.end());
  EpilogueSpec spec = end.spec;
  if (draw(random, 0, 1)) spec.other.bias = by_region;
  const auto step = word_convolution(select_kernels(level), 0, in, result, s.window, {{w.data(), s.outputs, each}, constant}, spec);
  run_step(*step, in, result, s.rows, from.data(), to.data());
  bool equal = true;
  for (std::size_t n = 0; n < acc.size(); ++n) {
    equal &= end.found(result, to.data(), n / s.outputs / pixels, n % (s.outputs * pixels)) == end.expected(n % s.outputs, acc[n]);
  }
  const std::string what = level + " " + s.text() + " words rule=" + std::to_string(static_cast<int>(spec.other.rule)) + " form=" +
                           std::to_string(static_cast<int>(spec.other.form));
  CHECK(equal, what);
  if (result.kind == Kind::planes) CHECK(padding_is_zero(result, to.data(), s.rows), what);
}

// Runs a step on floats that hit ties, ends, infinities and NaN.
std::vector<float> some_floats(Random& random, std::size_t count, double step) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float special[] = {infinity, -infinity, std::numeric_limits<float>::quiet_NaN(), -0.0f, 1e30f, -1e30f, 1e-40f, 0.49999997f};
  std::vector<float> all(count);
  for (float& one : all) {
    const int kind = draw(random, 0, 39);
    const float tie = static_cast<float>(step * (draw(random, -300, 300) + 0.5));
    one = kind < 8 ? special[kind] : kind < 20 ? tie : kind < 26 ? std::nextafter(tie, kind < 23 ? infinity : -infinity)
                   : static_cast<float>(step * draw(random, -80000, 80000) / 7);
  }
  return all;
}

template <class Found>
void compare(const Value& out, std::size_t rows, const std::string& what, const Found& same) {
  bool equal = true;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t n = 0; n < out.features; ++n) equal &= same(row, n);
  }
  CHECK(equal, what);
}

}  // namespace

void test_word_fully_connected(const std::string& level) {
  Random random(31);
  for (int repeat = 0; repeat < 5; ++repeat) {
    for (const std::size_t features : kFeatures) {
      for (const std::size_t channels : kChannels) fully_connected_case(level, random, features, channels, pick(random, kRowCounts));
    }
  }
}

void test_word_convolution(const std::string& level) {
  Random random(32);
  for (int repeat = 0; repeat < 120; ++repeat) convolution_case(level, random, any_shape(random));
  for (const std::size_t group : {2u, 3u, 5u, 17u, 40u}) {
    for (const std::size_t depth : {1u, 2u, 5u, 8u}) convolution_case(level, random, grouped(random, group, depth, depth % 3 + 1));
  }
}

void test_round_words(const std::string& level) {
  Random random(33);
  for (int repeat = 0; repeat < 100; ++repeat) {
    const std::size_t features = pick(random, kFeatures), rows = pick(random, kRowCounts);
    const Form form = draw(random, 0, 1) ? Form::words : Form::bytes;
    RounderSpec spec{static_cast<Rule>(draw(random, 3, 5)), form, draw(random, 0, 1) ? std::ldexp(1.0, -draw(random, 0, 15)) : 0.1, 0, 255, 0};
    if (draw(random, 0, 1)) spec.low = spec.base = -draw(random, 0, 255), spec.high += spec.base;
    if (form == Form::words) spec.low = draw(random, kLeast, 0), spec.high = draw(random, 0, kMost), spec.base = 0;
    const bool map = draw(random, 0, 1) && features <= 130;
    const Value in = map ? map_value(Kind::real, 0, features, 2, 3) : real_value(features);
    const Kind kind = form == Form::words ? Kind::words : Kind::bytes;
    const unsigned range = form == Form::words ? word_range(spec.low, spec.high) : 255;
    const Value out = map ? map_value(kind, range, features, 2, 3) : form == Form::words ? words_value(features, range) : bytes_value(features, 255);
    const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
    const std::vector<float> values = some_floats(random, rows * in.features, spec.step);
    std::memcpy(x.data(), values.data(), 4 * values.size());
    const auto step = round_floats(select_kernels(level), 0, in, out, spec);
    run_step(*step, in, out, rows, x.data(), y.data());
    compare(out, rows, describe(level, features, 0, rows, "round rule=" + std::to_string(static_cast<int>(spec.rule))), [&](std::size_t row, std::size_t n) {
      const double value = values[row * in.features + n];
      const double whole = rounded(spec.rule, value / spec.step);
      const double clipped = std::isnan(whole) ? spec.low : std::clamp<double>(whole, spec.low, spec.high);
      return static_cast<std::int32_t>(load_code(out, y.data(), row, n)) == static_cast<std::int32_t>(clipped) - spec.base;
    });
  }
}

TEST(rank_floats) {
  Random random(34);
  for (const std::size_t features : kFeatures) {
    const std::size_t count = static_cast<std::size_t>(draw(random, 1, 5000));
    std::vector<float> thresholds(count);
    for (float& t : thresholds) t = static_cast<float>(0.1 * (draw(random, -300, 300) + 0.5));
    std::sort(thresholds.begin(), thresholds.end());
    std::vector<std::int16_t> table(count + 1);
    for (std::int16_t& word : table) word = static_cast<std::int16_t>(draw(random, kLeast, kMost));
    const Value in = real_value(features), out = words_value(features, word_range(kLeast, kMost));
    const Guarded x(2 * in.row, Against::back), y(2 * out.row, Against::back);
    const std::vector<float> values = some_floats(random, 2 * features, 0.1);
    std::memcpy(x.data(), values.data(), 4 * values.size());
    const auto step = rank_floats(0, in, thresholds, table);
    run_step(*step, in, out, 2, x.data(), y.data());
    compare(out, 2, "rank", [&](std::size_t row, std::size_t n) {
      const float value = values[row * features + n];
      const auto rank = std::count_if(thresholds.begin(), thresholds.end(), [&](float t) { return value > t; });
      return Place{y.data(), &out}.word(row, 0, n) == table[static_cast<std::size_t>(rank)];
    });
  }
}

TEST(look_up_entries_and_decode) {
  Random random(35);
  for (int repeat = 0; repeat < 60; ++repeat) {
    const bool from_words = draw(random, 0, 1) != 0, to_words = draw(random, 0, 1) != 0, map = draw(random, 0, 1) != 0;
    const std::int32_t least = from_words ? draw(random, kLeast, 0) : 0, most = from_words ? draw(random, 0, kMost) : 255;
    const std::size_t channels = static_cast<std::size_t>(draw(random, 1, 40)), rows = 2;
    const auto value = [&](bool words, unsigned range) {
      const Kind kind = words ? Kind::words : Kind::bytes;
      return map ? map_value(kind, range, channels, 3, 2) : words ? words_value(channels, range) : bytes_value(channels, range);
    };
    const Value in = value(from_words, from_words ? word_range(least, most) : 255), out = value(to_words, to_words ? word_range(kLeast, kMost) : 255);
    std::vector<std::uint16_t> table(static_cast<std::size_t>(most - least + 1));
    for (std::uint16_t& entry : table) entry = static_cast<std::uint16_t>(draw(random, 0, to_words ? 65535 : 255));
    std::vector<unsigned> levels(rows * in.features);
    for (unsigned& one : levels) one = static_cast<unsigned>(draw(random, 0, 3) ? draw(random, least, most) : draw(random, 0, 1) ? least : most);
    const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
    store_codes(in, levels, x.data());
    const auto step = look_up_entries(select_kernels(""), 0, in, out, least, table);
    run_step(*step, in, out, rows, x.data(), y.data());
    compare(out, rows, "look_up_entries", [&](std::size_t row, std::size_t n) {
      const std::uint16_t entry = table[levels[row * in.features + n] - static_cast<unsigned>(least)];
      return static_cast<std::uint16_t>(load_code(out, y.data(), row, n)) == entry;
    });
    if (!from_words) continue;
    std::vector<float> reals(table.begin(), table.end());
    const Value floats = map ? map_value(Kind::real, 0, channels, 3, 2) : real_value(channels);
    const Guarded z(rows * floats.row, Against::back);
    const auto decode = decode_words(0, in, least, reals);
    run_step(*decode, in, floats, rows, x.data(), z.data());
    compare(floats, rows, "decode_words", [&](std::size_t row, std::size_t n) {
      return Place{z.data(), &floats}.real(row)[n] == reals[levels[row * in.features + n] - static_cast<unsigned>(least)];
    });
  }
}

// Matrices that are transposed, of every kind of value.
TEST(gather_transposed) {
  Random random(37);
  for (const std::size_t rows : {1u, 2u, 7u, 16u, 28u, 67u}) {
    for (const std::size_t columns : {1u, 3u, 8u, 28u, 65u}) {
      const std::size_t count = rows * columns;
      std::vector<std::uint32_t> source(count);
      for (std::size_t n = 0; n < count; ++n) source[n] = static_cast<std::uint32_t>(n % rows * columns + n / rows);
      for (const Value& value : {words_value(count, word_range(0, 255)), bytes_value(count, 255)}) {
        const Guarded x(2 * value.row, Against::back), y(2 * value.row, Against::back);
        std::vector<unsigned> codes(2 * count);
        for (unsigned& code : codes) code = static_cast<unsigned>(draw(random, 0, 255));
        store_codes(value, codes, x.data());
        const auto step = gather(0, value, value, source, 0);
        run_step(*step, value, value, 2, x.data(), y.data());
        compare(value, 2, "gather " + std::to_string(rows) + " x " + std::to_string(columns), [&](std::size_t row, std::size_t n) {
          return load_code(value, y.data(), row, n) == codes[row * count + source[n]];
        });
      }
    }
  }
}

// The same value twice, its only input: what is read lies against a guard page. Most sums are not shifted.
void test_add_words(const std::string& level) {
  Random random(36);
  for (int repeat = 0; repeat < 80; ++repeat) {
    const std::size_t features = pick(random, kFeatures);
    EndingSpec spec;
    spec.rule = draw(random, 0, 1) ? Rule::shift_up : Rule::shift_down, spec.form = Form::words;
    spec.shift = draw(random, 0, 1) ? 0 : draw(random, -14, 15), spec.low = draw(random, kLeast, 0), spec.high = draw(random, 0, kMost);
    const Value in = words_value(features, word_range(kLeast, kMost)), out = words_value(features, word_range(spec.low, spec.high));
    std::vector<unsigned> levels(features);
    for (unsigned& one : levels) one = static_cast<unsigned>(draw(random, 0, 5) ? draw(random, kLeast, kMost) : kLeast);
    const Guarded x(in.row, Against::back), y(out.row, Against::back);
    store_codes(in, levels, x.data());
    const auto step = add_words(select_kernels(level), 0, 0, in, in, spec);
    run_step(*step, in, out, 1, x.data(), y.data());
    compare(out, 1, describe(level, features, 0, 1, "add_words shift=" + std::to_string(spec.shift)), [&](std::size_t row, std::size_t n) {
      const std::int64_t sum = 2 * std::int64_t{static_cast<std::int32_t>(levels[n])};
      const std::int64_t half = spec.rule == Rule::shift_up && spec.shift > 0 ? std::int64_t{1} << (spec.shift - 1) : 0;
      const std::int64_t moved = spec.shift > 0 ? (sum + half) >> spec.shift : sum * (std::int64_t{1} << -spec.shift);
      return Place{y.data(), &out}.word(row, 0, n) == std::clamp<std::int64_t>(moved, spec.low, spec.high);
    });
  }
}

// Small maps, and some so large, or moved so far to the left, that sums need 64 bits; words at both ends.
void test_average_words(const std::string& level) {
  Random random(38);
  for (int repeat = 0; repeat < 150; ++repeat) {
    Shape s = any_shape(random);
    s.inputs = s.outputs = draw(random, 0, 9) ? pick(random, kMapWidths) : 260, s.window.group = 1;
    if (repeat % 10 == 0) s.height = s.window.rows.kernel = 190, s.width = s.window.columns.kernel = 200, s.inputs = 3, s.rows = 1, s.window = {{190}, {200}};
    const Outputs out(s);
    if (std::any_of(out.taps.begin(), out.taps.end(), [](const auto& taps) { return taps.empty(); })) continue;
    EndingSpec spec;
    spec.rule = draw(random, 0, 1) ? Rule::shift_up : Rule::shift_down, spec.form = Form::words;
    spec.shift = draw(random, 0, 2) ? draw(random, -3, 3) : draw(random, -15, 15);
    spec.low = draw(random, 0, 3) ? kLeast : draw(random, kLeast, 0), spec.high = draw(random, 0, 3) ? kMost : draw(random, 0, kMost);
    const bool all = draw(random, 0, 1) != 0;
    const std::int32_t reach = draw(random, 0, 2) ? kMost : draw(random, 1, 3000);
    const Value in = map_value(Kind::words, word_range(-reach - (reach == kMost), reach), s.inputs, s.height, s.width);
    const Value result = map_value(Kind::words, word_range(spec.low, spec.high), s.inputs, out.height, out.width);
    std::vector<unsigned> words(s.rows * in.features);
    const int pattern = draw(random, 0, 4);
    for (unsigned& word : words) word = static_cast<unsigned>(pattern == 0 ? in.least() : pattern == 1 ? in.most() : draw(random, in.least(), in.most()));
    const Against against = draw(random, 0, 1) ? Against::front : Against::back;
    const Guarded x(s.rows * in.row, against), y(s.rows * result.row, against);
    store_codes(in, words, x.data());
    const auto step = average_words(select_kernels(level), 0, in, result, s.window, all, spec);
    run_step(*step, in, result, s.rows, x.data(), y.data());
    compare(result, s.rows, level + " " + s.text() + " average_words shift=" + std::to_string(spec.shift), [&](std::size_t row, std::size_t n) {
      const auto& taps = out.taps[n / s.inputs];
      __int128 sum = 0;
      for (const auto& [pixel, tap] : taps) sum += static_cast<std::int32_t>(words[row * in.features + pixel * s.inputs + n % s.inputs]);
      __int128 divisor = static_cast<__int128>(all ? s.taps() : taps.size()) << std::max(spec.shift, 0);
      sum *= std::int64_t{1} << std::max(-spec.shift, 0);
      if (spec.rule == Rule::shift_up) sum = 2 * sum + divisor, divisor *= 2;
      const __int128 floor = sum / divisor - (sum % divisor < 0 ? 1 : 0);
      const std::int32_t mean = floor < spec.low ? spec.low : floor > spec.high ? spec.high : static_cast<std::int32_t>(floor);
      return Place{y.data(), &result}.word(row, n / s.inputs, n % s.inputs) == mean;
    });
  }
}

// Thresholds at words that occur, at both ends, and beyond what any word is, in every form, of maps and of rows.
void test_rank_words(const std::string& level) {
  Random random(39);
  for (int repeat = 0; repeat < 200; ++repeat) {
    const std::size_t features = pick(random, kFeatures), rows = pick(random, kRowCounts);
    const bool map = draw(random, 0, 1) && features <= 130;
    const auto form = static_cast<Form>(draw(random, 0, 2));
    const std::size_t steps = form == Form::planes ? (std::size_t{1} << draw(random, 1, 4)) - 1 : static_cast<std::size_t>(draw(random, 0, 15));
    const std::int32_t least = draw(random, 0, 1) ? kLeast : draw(random, kLeast, 0), most = draw(random, 0, 1) ? kMost : draw(random, 0, kMost);
    const auto shaped = [&](Kind kind, unsigned range) {
      return map                    ? map_value(kind, range, features, 2, 3)
             : kind == Kind::words  ? words_value(features, range)
             : kind == Kind::planes ? planes_value(features, range)
                                    : bytes_value(features, range);
    };
    const Value in = shaped(Kind::words, word_range(least, most));
    std::vector<unsigned> words(rows * in.features);
    for (unsigned& word : words) word = static_cast<unsigned>(draw(random, 0, 3) ? draw(random, least, most) : draw(random, 0, 1) ? least : most);
    std::vector<std::int32_t> thresholds(steps);
    for (std::int32_t& t : thresholds) {
      const std::int32_t ends[] = {least - 1, least, most - 1, most, kLeast - 1, kMost + 1};
      t = draw(random, 0, 2) ? static_cast<std::int32_t>(words[static_cast<std::size_t>(draw(random, 0, static_cast<int>(words.size()) - 1))]) + draw(random, -1, 1)
                             : ends[draw(random, 0, 5)];
    }
    std::sort(thresholds.begin(), thresholds.end());
    std::vector<std::uint16_t> table(steps + 1);
    const int top = form == Form::planes ? static_cast<int>(steps) : form == Form::bytes ? 255 : 65535;
    const bool plain = draw(random, 0, 1) != 0;
    for (std::size_t n = 0; n <= steps; ++n) table[n] = static_cast<std::uint16_t>(plain ? n : static_cast<std::size_t>(draw(random, 0, top)));
    const Kind kind = form == Form::planes ? Kind::planes : form == Form::bytes ? Kind::bytes : Kind::words;
    const Value out = shaped(kind, kind == Kind::planes ? static_cast<unsigned>(std::bit_width(steps)) : kind == Kind::bytes ? 255 : word_range(kLeast, kMost));
    const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
    store_codes(in, words, x.data());
    const auto step = rank_words(select_kernels(level), 0, in, out, thresholds, table);
    run_step(*step, in, out, rows, x.data(), y.data());
    const std::string what = describe(level, features, 0, rows, "rank_words form=" + std::to_string(static_cast<int>(form)) + " steps=" + std::to_string(steps));
    compare(out, rows, what, [&](std::size_t row, std::size_t n) {
      const auto word = static_cast<std::int32_t>(words[row * in.features + n]);
      const auto rank = std::count_if(thresholds.begin(), thresholds.end(), [&](std::int32_t t) { return word > t; });
      return static_cast<std::uint16_t>(load_code(out, y.data(), row, n)) == table[static_cast<std::size_t>(rank)];
    });
    if (out.kind == Kind::planes) CHECK(padding_is_zero(out, y.data(), rows), what);
  }
}

// Tables that rise evenly, as 8-bit encoders of words do, some with a byte that is off the line, and others; against the table.
void test_line_words(const std::string& level) {
  Random random(40);
  std::size_t lines = 0;
  for (int repeat = 0; repeat < 60; ++repeat) {
    const std::int32_t least = draw(random, 0, 1) ? kLeast : draw(random, -9000, 0), most = draw(random, 0, 1) ? kMost : draw(random, 1, 9000);
    const double width = draw(random, 0, 3) ? std::exp(draw(random, -10, 60) / 10.0) : draw(random, 1, 300), first = draw(random, -3000, 3000) / 7.0;
    const std::int32_t low = draw(random, 0, 2) ? 0 : draw(random, 1, 90), high = draw(random, 0, 2) ? 255 : draw(random, 90, 254);
    std::vector<std::uint16_t> table;
    for (std::int32_t word = least; word <= most; ++word) {
      table.push_back(static_cast<std::uint16_t>(std::clamp<double>(std::nearbyint((word - first) / width) + 100, low, high)));
    }
    if (draw(random, 0, 4) == 0) table[static_cast<std::size_t>(draw(random, 0, static_cast<int>(table.size()) - 1))] ^= 1;
    const std::size_t channels = pick(random, kFeatures), rows = 2;
    const bool map = draw(random, 0, 1) && channels <= 130;
    const Value in = map ? map_value(Kind::words, word_range(least, most), channels, 3, 2) : words_value(channels, word_range(least, most));
    const Value out = map ? map_value(Kind::bytes, 255, channels, 3, 2) : bytes_value(channels, 255);
    std::vector<unsigned> words(rows * in.features);
    for (unsigned& word : words) word = static_cast<unsigned>(draw(random, 0, 5) ? draw(random, least, most) : draw(random, 0, 1) ? least : most);
    const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
    store_codes(in, words, x.data());
    const auto step = look_up_entries(select_kernels(level), 0, in, out, least, table);
    if (step->kernel == level) ++lines;
    run_step(*step, in, out, rows, x.data(), y.data());
    compare(out, rows, level + " line_words width=" + std::to_string(width), [&](std::size_t row, std::size_t n) {
      return load_code(out, y.data(), row, n) == table[static_cast<std::size_t>(static_cast<std::int32_t>(words[row * in.features + n]) - least)];
    });
  }
  CHECK(lines >= 20, level + " lines are found: " + std::to_string(lines));
}

}  // namespace lowbit::testing
