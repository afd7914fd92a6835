// Means of 16-bit words, their sums and lines, for all levels of kernels: loops that the compiler makes vectors of.
#include <cstddef>

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

inline std::int32_t clipped_word(std::int32_t value, std::int32_t low, std::int32_t high) {
  const std::int32_t above = value < low ? low : value;
  return above > high ? high : above;
}

// Channels whose sums are kept together.
constexpr std::size_t kTogether = 128;

template <class Sum>
inline void sum_taps(const std::int16_t* x, const std::uint32_t* taps, std::size_t tap_count, std::size_t pixel,
                     std::size_t count, Sum* sum) {
  for (std::size_t c = 0; c < count; ++c) sum[c] = 0;
  for (std::size_t t = 0; t < tap_count; ++t) {
    const std::int16_t* at = x + taps[t] * pixel;
    for (std::size_t c = 0; c < count; ++c) sum[c] += at[c];
  }
}

// Sums that fit int32: divided by a product and a shift, which WordMean has the numbers for.
inline void mean_narrow(const WordMean& mean, const std::int32_t* sum, std::size_t count, std::int16_t* y) {
  const auto factor = static_cast<std::int32_t>(mean.factor), raise = mean.raise;
  for (std::size_t c = 0; c < count; ++c) {
    const auto raised = static_cast<std::uint32_t>(sum[c] * factor + raise);
    const auto whole = static_cast<std::int32_t>(std::uint64_t{raised} * mean.magic >> mean.shift) - mean.less;
    y[c] = static_cast<std::int16_t>(clipped_word(whole, mean.low, mean.high));
  }
}

// Any shift; sums without one have instructions of their own.
inline void add_shifted(const WordAdder& adder, const std::int16_t* a, const std::int16_t* b, std::int16_t* y, std::size_t count) {
  const std::int32_t up = 1 << adder.left;
  for (std::size_t n = 0; n < count; ++n) {
    const std::int32_t sum = ((a[n] + b[n] + adder.half) >> adder.right) * up;
    y[n] = static_cast<std::int16_t>(clipped_word(sum, adder.low, adder.high));
  }
}

inline void mean_wide(const WordMean& mean, const std::int64_t* sum, std::size_t count, std::int16_t* y) {
  for (std::size_t c = 0; c < count; ++c) {
    const std::int64_t over = sum[c] * mean.factor + mean.half, whole = over / mean.divisor;
    const std::int64_t floor = whole - (over % mean.divisor < 0 ? 1 : 0);
    const std::int64_t above = floor < mean.low ? mean.low : floor;
    y[c] = static_cast<std::int16_t>(above > mean.high ? mean.high : above);
  }
}

}  // namespace

// Nothing is below zero when it loses its fraction.
void line_words(const WordLine& line, const std::int16_t* x, std::uint8_t* y, std::size_t count) {
  for (std::size_t n = 0; n < count; ++n) {
    const float at = static_cast<float>(x[n]) * line.rate + line.first;
    const float above = at > line.low ? at : line.low, kept = above < line.high ? above : line.high;
    y[n] = static_cast<std::uint8_t>(static_cast<std::int32_t>(kept));
  }
}

void average_words(const WordMean& mean, const std::int16_t* x, const std::uint32_t* taps, std::size_t tap_count,
                   std::size_t pixel, std::size_t channels, std::int16_t* y) {
  for (std::size_t first = 0; first < channels; first += kTogether) {
    const std::size_t count = channels - first < kTogether ? channels - first : kTogether;
    if (mean.wide) {
      std::int64_t sum[kTogether];
      sum_taps(x + first, taps, tap_count, pixel, count, sum);
      mean_wide(mean, sum, count, y + first);
    } else {
      std::int32_t sum[kTogether];
      sum_taps(x + first, taps, tap_count, pixel, count, sum);
      mean_narrow(mean, sum, count, y + first);
    }
  }
}

}  // namespace lowbit::LOWBIT_NAMESPACE
