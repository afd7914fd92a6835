#include "word_pools.h"

#include <bit>

#include "error.h"
#include "share.h"

namespace lowbit {
namespace {

constexpr std::int64_t kNarrow = std::int64_t{1} << 31;

// How `count` words of a window, none of them beyond `largest`, become their mean.
WordMean mean_of(std::size_t count, std::int64_t largest, const EndingSpec& spec) {
  WordMean mean{};
  const bool up = spec.rule == Rule::shift_up;
  mean.divisor = static_cast<std::int64_t>(count) << std::max(spec.shift, 0);
  mean.factor = std::int64_t{1} << std::max(-spec.shift, 0);
  if (up) mean.half = mean.divisor, mean.factor *= 2, mean.divisor *= 2;
  mean.low = spec.low, mean.high = spec.high;
  const std::int64_t reach = static_cast<std::int64_t>(count) * largest * mean.factor;
  const std::int64_t less = reach / mean.divisor + 1, raise = mean.half + less * mean.divisor;
  mean.wide = reach + raise >= kNarrow;
  if (mean.wide) return mean;
  mean.less = static_cast<std::int32_t>(less), mean.raise = static_cast<std::int32_t>(raise);
  // With d <= 2^k: magic = floor(2^(31 + k) / d) + 1 is at most 2^32 - 1 where d is no power of two, and d magic exceeds
  // 2^(31 + k) by at most d <= 2^k, which n < 2^31 times cannot lift over the next multiple of 2^(31 + k).
  const auto divisor = static_cast<std::uint64_t>(mean.divisor);
  mean.shift = static_cast<unsigned>(31 + std::bit_width(divisor - 1));
  mean.magic = static_cast<std::uint32_t>((std::uint64_t{1} << mean.shift) / divisor + 1);
  return mean;
}

class AverageWordsStep final : public Step {
 public:
  AverageWordsStep(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output, const WindowSpec& window,
                   bool count_all, const EndingSpec& spec)
      : kernel_(kernels.average_words), x_(x), plan_(where, input, window) {
    require(input.kind == Kind::words && output.kind == Kind::words && output.channels() == input.channels() &&
                output.height == plan_.height() && output.width == plan_.width(),
            where, "maps of words", "others");
    const bool shifts = spec.rule == Rule::shift_up || spec.rule == Rule::shift_down;
    require(shifts && spec.form == Form::words && spec.base == 0 && std::abs(spec.shift) < 16, where, "a mean in words", "others");
    spec.check_range(where, 0);
    const std::int64_t largest = std::max(-std::int64_t{input.least()}, std::int64_t{input.most()});
    for (std::size_t r = 0; r < plan_.region_count(); ++r) {
      require(plan_.taps(r) > 0, where, "windows that see the map", "one that sees padding alone");
      means_.push_back(mean_of(count_all ? plan_.taps() : plan_.taps(r), largest, spec));
    }
    name = where;
    kernel = kernel_.level;
    cost = static_cast<double>(output.pixels() * plan_.taps() * input.channels()) / 8;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    const std::size_t channels = in.value->channels(), pixel = in.value->pixel / sizeof(std::int16_t);
    const std::size_t to = out.value->pixel / sizeof(std::int16_t);
    share_outputs(block, cost, [&](std::size_t part, std::size_t parts) {
      for (std::size_t row = 0; row < block.rows; ++row) {
        for (std::size_t r = 0; r < plan_.region_count(); ++r) {
          plan_.each_pixel(r, part, parts, [&](const std::vector<std::uint32_t>& taps, std::size_t first, std::size_t at) {
            kernel_.run(means_[r], in.words(row) + first * pixel, taps.data(), taps.size(), pixel, channels, out.words(row) + at * to);
          });
        }
      }
    });
  }

 private:
  static constexpr const char* where = "average_words";

  Kernel<average_words_kernel> kernel_;
  std::size_t x_;
  WindowPlan plan_;
  std::vector<WordMean> means_;  // by region
};

}  // namespace

std::unique_ptr<Step> average_words(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                    const WindowSpec& window, bool count_all, const EndingSpec& spec) {
  return std::make_unique<AverageWordsStep>(kernels, x, input, output, window, count_all, spec);
}

}  // namespace lowbit
