#include "elementwise.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "error.h"
#include "following.h"
#include "transpose.h"

namespace lowbit {
namespace {

void require_real(const char* where, const Value& value) {
  require(value.kind == Kind::real, where, "floats", "another kind of value");
}

// Calls encode(rows): of whole samples, or where a map has gaps between its pixels, of the pixels of each sample. Notes NaN
// where it encodes the samples themselves.
template <class Encode>
void each_rows(const Block& block, std::size_t x, std::size_t y, const Encode& encode) {
  const Place in = block.place(x), out = block.place(y);
  bool nan = false;
  if (out.value->dense()) {
    nan = encode({block.rows, in.at, in.value->row, 0, nullptr, out.at, out.value->row, out.value->plane});
  } else {
    for (std::size_t row = 0; row < block.rows; ++row) {
      nan |= encode(Rows{out.value->pixels(), in.at + row * in.value->row, 4 * in.value->channels(), 0, nullptr,
                         out.at + row * out.value->row, out.value->pixel, out.value->plane});
    }
  }
  if (nan && x == 0 && block.nan != nullptr) *block.nan = true;
}

// Features of the rows above.
std::size_t row_features(const Value& output) { return output.dense() ? output.features : output.channels(); }

class EncodeStep final : public Step {
 public:
  [[gnu::cold]] EncodeStep(const KernelSet& kernels, std::size_t x, const Value& input, const Value& result_value, Output output,
             std::span<const float> thresholds, std::span<const std::uint8_t> table)
      : kernel_(kernels.encode), x_(x) {
    const std::size_t levels = table.size();
    require_real(where, input);
    const std::size_t most = output == Output::planes ? std::size_t{1} << kMaxPlanes : kMaxLevels;
    require(std::has_single_bit(levels) && levels >= 2 && levels <= most, where,
            {"a table of 2, 4, … ", most, " codes"}, levels);
    require(thresholds.size() == levels - 1 && std::is_sorted(thresholds.begin(), thresholds.end()) &&
                std::none_of(thresholds.begin(), thresholds.end(), [](float t) { return std::isnan(t); }),
            where, {levels - 1, " rising thresholds"}, thresholds.size());
    require(output == Output::bytes || *std::max_element(table.begin(), table.end()) < levels, where,
            {"codes below ", levels}, "a larger one");
    encoder_ = {};
    encoder_.output = output;
    encoder_.features = row_features(result_value);
    encoder_.bits = static_cast<unsigned>(std::bit_width(levels) - 1);
    encoder_.rank_is_code = true;
    std::copy(thresholds.begin(), thresholds.end(), encoder_.thresholds);
    encoder_.thresholds[levels - 1] = std::numeric_limits<float>::infinity();
    set_grid(thresholds), set_divisor(thresholds);
    std::copy(table.begin(), table.end(), encoder_.table);
    for (std::size_t n = 0; n < levels; ++n) encoder_.rank_is_code &= table[n] == n;
    name = where;
    kernel = kernel_.level;
    cost = static_cast<double>(input.features * levels) / 20;
    finds_nan = true;
  }

  void run(const Block& block) const override {
    each_rows(block, x_, result, [&](const Rows& rows) { return kernel_.run(encoder_, rows); });
  }

 private:
  static constexpr const char* where = "encode";

  // A line a + c step with t_c <= a + c step < next(t_c) for all c: it exists where the steps that any two thresholds
  // allow have one in common. Its middle leaves room for the kernel's rounding. The kernel's rank rises with x, so if it is
  // right at every threshold and at the next float, it is right everywhere.
  void set_grid(std::span<const float> thresholds) {
    const std::size_t count = thresholds.size();
    const auto low = [&](std::size_t c) { return double{thresholds[c]}; };
    const auto high = [&](std::size_t c) { return double{std::nextafter(thresholds[c], HUGE_VALF)}; };
    double least = 0, most = HUGE_VAL, first_low = -HUGE_VAL, first_high = HUGE_VAL;
    for (std::size_t c = 1; c < count; ++c) {
      for (std::size_t b = 0; b < c; ++b) {
        const auto apart = static_cast<double>(c - b);
        least = std::max(least, (low(c) - high(b)) / apart), most = std::min(most, (high(c) - low(b)) / apart);
      }
    }
    const double step = (least + most) / 2;
    for (std::size_t c = 0; c < count; ++c) {
      const double before = static_cast<double>(c) * step;
      first_low = std::max(first_low, low(c) - before), first_high = std::min(first_high, high(c) - before);
    }
    encoder_.rate = 1 / step, encoder_.first = (first_low + first_high) / 2 / step;
    encoder_.grid = std::isfinite(encoder_.rate) && std::isfinite(encoder_.first);
    encoder_.exact = encoder_.grid;
    for (std::size_t c = 0; c < count && encoder_.grid; ++c) {
      const double at = low(c) * encoder_.rate - encoder_.first, above = high(c) * encoder_.rate - encoder_.first;
      const auto rank = static_cast<double>(c);
      encoder_.exact = encoder_.exact && at <= rank && above > rank;
      encoder_.grid = std::abs(at - rank) < 0.5;
    }
  }

  // Files of other runtimes divide by a float32 and round. The rank of a quotient rises with x, too, so it is right if it is at
  // every threshold and at the next float. Thresholds are within half a unit in the last place of multiples of the divisor, so
  // few floats come into question.
  void set_divisor(std::span<const float> thresholds) {
    if (encoder_.bits <= kMaxPlanes) return;
    const std::size_t last = thresholds.size() - 1, middle = last / 2;
    auto divisor = static_cast<float>((double{thresholds[last]} - double{thresholds[0]}) / static_cast<double>(last));
    divisor = std::nextafter(std::nextafter(divisor, 0.0f), 0.0f);
    if (!(divisor > 0) || !std::isfinite(divisor)) return;
    for (int candidate = 0; candidate < 5; ++candidate, divisor = std::nextafter(divisor, HUGE_VALF)) {
      const float offset = static_cast<float>(middle) - std::nearbyint(thresholds[middle] / divisor);
      const auto rank = [&](float x) { return std::nearbyint(x / divisor) + offset; };
      bool right = std::isfinite(offset);
      for (std::size_t c = 0; c <= last && right; ++c) {
        const auto below = static_cast<float>(c);
        right = rank(thresholds[c]) <= below && rank(std::nextafter(thresholds[c], HUGE_VALF)) > below;
      }
      if (!right) continue;
      encoder_.divisor = divisor, encoder_.offset = offset;
      return;
    }
  }

  Kernel<encode_kernel> kernel_;
  std::size_t x_;
  Encoder encoder_{};
};

class AffineEncodeStep final : public Step {
 public:
  [[gnu::cold]] AffineEncodeStep(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output, double scale,
                   double zero, double top)
      : kernel_(kernels.encode_affine), x_(x), encoder_{row_features(output), scale, zero, top, 0} {
    require_real(where, input);
    require(scale > 0 && std::isfinite(scale) && std::isfinite(zero) && top >= 0 && top <= 255, where,
            "a positive scale and codes within a byte", "others");
    if (is_whole()) encoder_.rate = rate_of_floats(scale, -zero, top - zero);
    name = where;
    kernel = kernel_.level;
    cost = static_cast<double>(input.features);
    finds_nan = true;
  }

  void run(const Block& block) const override {
    each_rows(block, x_, result, [&](const Rows& rows) { return kernel_.run(encoder_, rows); });
  }

  bool follows(Following& what) const override {
    what.encodes = true, what.scale = encoder_.scale, what.zero = encoder_.zero, what.top = encoder_.top;
    what.encoder = &encoder_, what.encode = kernel_.run;
    return is_whole();
  }

 private:
  static constexpr const char* where = "encode_affine";

  bool is_whole() const {
    return std::nearbyint(encoder_.zero) == encoder_.zero && std::abs(encoder_.zero) < 0x1p30 && std::nearbyint(encoder_.top) == encoder_.top;
  }

  Kernel<encode_affine_kernel> kernel_;
  std::size_t x_;
  AffineEncoder encoder_;
};

class LookUpStep final : public Step {
 public:
  [[gnu::cold]] LookUpStep(const KernelSet& kernels, std::size_t x, const Value& input, std::span<const std::uint8_t> table)
      : kernel_(kernels.look_up), x_(x), features_(input.pixel == 0 ? input.features : input.row) {
    require(input.kind == Kind::bytes && table.size() == table_.size(), "look_up", "bytes and a table of 256",
            table.size());
    std::copy(table.begin(), table.end(), table_.begin());
    name = "look_up";
    kernel = kernel_.level;
    cost = static_cast<double>(features_) / 2;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    for (std::size_t row = 0; row < block.rows; ++row) {
      kernel_.run(table_.data(), in.bytes(row), out.bytes(row), features_);
    }
  }

  bool follows(Following& what) const override {
    const bool first = what.low == -std::numeric_limits<float>::infinity() && what.high == -what.low;
    what.table = table_.data();
    return first;
  }

 private:
  Kernel<look_up_kernel> kernel_;
  std::size_t x_, features_;
  std::array<std::uint8_t, 256> table_{};
};

class DecodeStep final : public Step {
 public:
  [[gnu::cold]] DecodeStep(std::size_t x, const Value& input, std::span<const float> table) : x_(x) {
    const std::size_t codes = input.kind == Kind::planes ? std::size_t{1} << input.bits : table_.size();
    require(input.kind != Kind::real && table.size() == codes, "decode", "codes and their levels",
            {table.size(), " levels"});
    std::copy(table.begin(), table.end(), table_.begin());
    name = "decode";
    kernel = "portable";
    cost = static_cast<double>(input.features) * 2;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    for (std::size_t row = 0; row < block.rows; ++row) {
      for (std::size_t p = 0; p < in.value->pixels(); ++p) {
        pixel(in, row, p, out.real(row) + p * in.value->channels());
      }
    }
  }

 private:
  void pixel(const Place& in, std::size_t row, std::size_t p, float* y) const {
    const std::size_t channels = in.value->channels();
    if (in.value->kind == Kind::bytes) {
      const std::uint8_t* x = in.bytes(row) + p * in.value->pixel;
      for (std::size_t n = 0; n < channels; ++n) y[n] = table_[x[n]];
    } else {
      for (std::size_t n = 0; n < channels; ++n) y[n] = table_[in.code(row, p, n)];
    }
  }

  std::size_t x_;
  std::array<float, 256> table_{};
};

class ConstantStep final : public Step {
 public:
  [[gnu::cold]] explicit ConstantStep(std::span<const float> numbers) : numbers_(numbers.begin(), numbers.end()) {
    name = "constant";
    kernel = "portable";
    once = true;
  }

  void run(const Block& block) const override {
    const Place out = block.place(result);
    for (std::size_t row = 0; row < block.rows; ++row) std::copy(numbers_.begin(), numbers_.end(), out.real(row));
  }

 private:
  std::vector<float> numbers_;
};

}  // namespace

[[gnu::cold]] std::unique_ptr<Step> encode(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                             std::span<const float> thresholds, std::span<const std::uint8_t> table) {
  const Output kind = output.kind == Kind::planes ? Output::planes : Output::bytes;
  return std::make_unique<EncodeStep>(kernels, x, input, output, kind, thresholds, table);
}

[[gnu::cold]] std::unique_ptr<Step> encode_affine(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                    double scale, double zero, double top) {
  return std::make_unique<AffineEncodeStep>(kernels, x, input, output, scale, zero, top);
}

[[gnu::cold]] std::unique_ptr<Step> look_up(const KernelSet& kernels, std::size_t x, const Value& input,
                              std::span<const std::uint8_t> table) {
  return std::make_unique<LookUpStep>(kernels, x, input, table);
}

[[gnu::cold]] std::unique_ptr<Step> decode(std::size_t x, const Value& input, std::span<const float> table) {
  return std::make_unique<DecodeStep>(x, input, table);
}

[[gnu::cold]] std::unique_ptr<Step> constant(std::span<const float> numbers) { return std::make_unique<ConstantStep>(numbers); }

}  // namespace lowbit
