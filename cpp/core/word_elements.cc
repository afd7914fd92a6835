#include "word_elements.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "error.h"
#include "share.h"
#include "word_rows.h"

namespace lowbit {
namespace {

void require_real(const char* where, const Value& value) {
  require(value.kind == Kind::real, where, "floats", "another kind of value");
}

void note_nan(const Block& block, std::size_t x, bool nan) {
  if (nan && x == 0 && block.nan != nullptr) *block.nan = true;
}

class RoundStep final : public Step {
 public:
  RoundStep(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output, const RounderSpec& spec)
      : kernel_(kernels.round_words), x_(x) {
    require_real(where, input);
    const bool rounds = spec.rule == Rule::round_even || spec.rule == Rule::round_up || spec.rule == Rule::round_down;
    require(rounds && spec.step > 0 && std::isfinite(spec.step), where, "a positive step", "others");
    const bool whole = output.dense() && input.dense();
    int exponent = 0;
    const bool power = std::frexp(spec.step, &exponent) == 0.5 && exponent > -100 && exponent < 100;
    const bool exact = power && spec.rule != Rule::round_even;
    rounder_ = {whole ? output.features : output.channels(), spec.rule, spec.form, spec.step, spec.low, spec.high, spec.base, exact};
    name = where;
    kernel = kernel_.level;
    cost = static_cast<double>(input.features) / 2;
    finds_nan = true;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    const std::size_t pixels = out.value->dense() ? 1 : out.value->pixels();
    bool nan = false;
    for (std::size_t row = 0; row < block.rows; ++row) {
      nan |= kernel_.run(rounder_, {pixels, in.at + row * in.value->row, 4 * rounder_.features, 0, nullptr,
                                    out.at + row * out.value->row, out.value->pixel, 0});
    }
    note_nan(block, x_, nan);
  }

 private:
  static constexpr const char* where = "round";

  Kernel<round_words_kernel> kernel_;
  std::size_t x_;
  Rounder rounder_{};
};

class RankStep final : public Step {
 public:
  RankStep(std::size_t x, const Value& input, std::span<const float> thresholds, std::span<const std::int16_t> table)
      : x_(x), thresholds_(thresholds.begin(), thresholds.end()), table_(table.begin(), table.end()) {
    require_real(name = "rank", input);
    require(table.size() == thresholds.size() + 1 && std::is_sorted(thresholds.begin(), thresholds.end()) &&
                std::none_of(thresholds.begin(), thresholds.end(), [](float t) { return std::isnan(t); }),
            name, "rising thresholds, one less than words", thresholds.size());
    kernel = "portable";
    cost = static_cast<double>(input.features) * 4;
    finds_nan = true;
  }

  void run(const Block& block) const override {
    bool nan = false;
    each_row<float, std::int16_t>(block, x_, result, [&](const float* x, std::int16_t* y, std::size_t count) {
      for (std::size_t n = 0; n < count; ++n) {
        nan |= x[n] != x[n];
        y[n] = table_[static_cast<std::size_t>(std::lower_bound(thresholds_.begin(), thresholds_.end(), x[n]) - thresholds_.begin())];
      }
    });
    note_nan(block, x_, nan);
  }

 private:
  std::size_t x_;
  std::vector<float> thresholds_;
  std::vector<std::int16_t> table_;
};

// Levels are mostly multiples of a step, which float32 rounds as it did in the table: then there is none.
class DecodeWordsStep final : public Step {
 public:
  DecodeWordsStep(std::size_t x, const Value& input, std::int32_t least, std::span<const float> table) : x_(x), least_(least) {
    name = "decode";
    require(input.kind == Kind::words, name, "words", "another kind of value");
    require_covered(name, input, least, table.size());
    const std::int64_t one = std::int64_t{1} - least;
    if (one >= 0 && one < static_cast<std::int64_t>(table.size())) step_ = table[static_cast<std::size_t>(one)];
    for (std::size_t n = 0; n < table.size() && table_.empty(); ++n) {
      const float level = static_cast<float>(static_cast<std::int32_t>(n) + least) * step_;
      if (std::bit_cast<std::uint32_t>(level) != std::bit_cast<std::uint32_t>(table[n])) table_.assign(table.begin(), table.end());
    }
    kernel = "portable";
    cost = static_cast<double>(input.features) / (table_.empty() ? 4 : 1);
  }

  void run(const Block& block) const override {
    each_row<std::int16_t, float>(block, x_, result, [&](const std::int16_t* x, float* y, std::size_t count) {
      if (table_.empty()) return multiply(x, y, count);
      for (std::size_t n = 0; n < count; ++n) y[n] = table_[static_cast<std::size_t>(x[n] - least_)];
    });
  }

 private:
  void multiply(const std::int16_t* x, float* y, std::size_t count) const {
    typedef std::int16_t Words __attribute__((vector_size(8)));
    typedef std::int32_t Integers __attribute__((vector_size(16)));
    typedef float Floats __attribute__((vector_size(16)));
    std::size_t n = 0;
    for (; n + 4 <= count; n += 4) {
      Words words;
      std::memcpy(&words, x + n, sizeof words);
      const Floats levels = __builtin_convertvector(__builtin_convertvector(words, Integers), Floats) * step_;
      std::memcpy(y + n, &levels, sizeof levels);
    }
    for (; n < count; ++n) y[n] = static_cast<float>(x[n]) * step_;
  }

  std::size_t x_;
  std::int32_t least_;
  float step_ = 0;
  std::vector<float> table_;  // or none
};

class AddWordsStep final : public Step {
 public:
  AddWordsStep(const KernelSet& kernels, std::size_t x, std::size_t y, const Value& input, const Value& other, const EndingSpec& spec)
      : kernel_(kernels.add_words), x_(x), y_(y),
        adder_{std::max(spec.shift, 0), std::max(-spec.shift, 0),
               spec.rule == Rule::shift_up && spec.shift > 0 ? 1 << (spec.shift - 1) : 0, spec.low, spec.high} {
    name = "add_words";
    require(input.kind == Kind::words && other.kind == Kind::words && input.features == other.features && input.row == other.row &&
                input.pixel == other.pixel,
            name, "words of one shape", "others");
    require(spec.form == Form::words && spec.base == 0 && spec.low <= spec.high && adder_.right < 16 && adder_.left < 15 &&
                spec.low >= std::numeric_limits<std::int16_t>::min() && spec.high <= std::numeric_limits<std::int16_t>::max(),
            name, "a sum in words", "others");
    kernel = kernel_.level;
    cost = static_cast<double>(input.features) / 20;
  }

  // Gaps between pixels are added like all else: nobody reads them.
  void run(const Block& block) const override {
    const Place a = block.place(x_), b = block.place(y_), out = block.place(result);
    for (std::size_t row = 0; row < block.rows; ++row) {
      kernel_.run(adder_, a.words(row), b.words(row), out.words(row), a.value->row / sizeof(std::int16_t));
    }
  }

 private:
  Kernel<add_words_kernel> kernel_;
  std::size_t x_, y_;
  WordAdder adder_;
};

}  // namespace

std::unique_ptr<Step> round_floats(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                   const RounderSpec& spec) {
  return std::make_unique<RoundStep>(kernels, x, input, output, spec);
}

std::unique_ptr<Step> rank_floats(std::size_t x, const Value& input, std::span<const float> thresholds,
                                  std::span<const std::int16_t> table) {
  return std::make_unique<RankStep>(x, input, thresholds, table);
}

std::unique_ptr<Step> decode_words(std::size_t x, const Value& input, std::int32_t least, std::span<const float> table) {
  return std::make_unique<DecodeWordsStep>(x, input, least, table);
}

std::unique_ptr<Step> add_words(const KernelSet& kernels, std::size_t x, std::size_t y, const Value& input, const Value& other,
                                const EndingSpec& spec) {
  return std::make_unique<AddWordsStep>(kernels, x, y, input, other, spec);
}

}  // namespace lowbit
