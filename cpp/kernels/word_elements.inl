// Means of 16-bit words, their sums and lines, one text for every level of kernels over vectors.inl.
#include <cstddef>

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

// Groups of channels whose sums are kept together: enough that no addition waits for the one before.
constexpr std::size_t kTogether = 4 / kVectors;

template <std::size_t kGroups>
inline void sum_taps(const std::int16_t* x, const std::uint32_t* taps, std::size_t tap_count, std::size_t pixel, std::size_t count,
                     Group* sum) {
  for (std::size_t g = 0; g < kGroups; ++g) sum[g] = same(0);
  for (std::size_t t = 0; t < tap_count; ++t) {
    const std::int16_t* at = x + taps[t] * pixel;
#pragma GCC unroll 4
    for (std::size_t g = 0; g < kGroups; ++g) sum[g] = sum[g] + load_words(at + g * kGroup, count);
  }
}

// Sums that fit int32: divided by a product and a shift, which WordMean has the numbers for.
inline Group mean_narrow(const WordMean& mean, const Group& sum) {
  const Group raised = sum * same(static_cast<std::int32_t>(mean.factor)) + same(mean.raise);
  std::uint32_t lanes[kGroup], whole[kGroup];
  __builtin_memcpy(lanes, &raised, sizeof lanes);
  for (std::size_t n = 0; n < kGroup; ++n) whole[n] = static_cast<std::uint32_t>(std::uint64_t{lanes[n]} * mean.magic >> mean.shift);
  return clipped(read_as<Group>(whole) - same(mean.less), mean.low, mean.high);
}

// Any shift; sums without one have instructions of their own.
[[gnu::noinline]] void add_shifted(const WordAdder& adder, const std::int16_t* a, const std::int16_t* b, std::int16_t* y, std::size_t count) {
  for (std::size_t n = 0; n < count; n += kGroup) {
    const Group sum = load_words(a + n, count - n) + load_words(b + n, count - n) + same(adder.half);
    const Group moved = (sum >> adder.right) * same(1 << adder.left);
    store_words(reinterpret_cast<std::byte*>(y + n), clipped(moved, adder.low, adder.high), count - n);
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
  const Floats low = Floats{} + line.low, high = Floats{} + line.high;
  for (std::size_t first = 0; first < count; first += kGroup) {
    const Group words = load_words(x + first, count - first);
    const Group codes = each([&](std::size_t n) {
      const Floats at = __builtin_convertvector(words.part[n], Floats) * line.rate + line.first;
      const Floats above = at > low ? at : low, kept = above < high ? above : high;
      return __builtin_convertvector(kept, Integers);
    });
    store_first(reinterpret_cast<std::byte*>(y + first), bytes_of(codes), count - first);
  }
}

namespace {

void average_wide(const WordMean& mean, const std::int16_t* x, const std::uint32_t* taps, std::size_t tap_count, std::size_t pixel,
                  std::size_t count, std::int16_t* y) {
  std::int64_t sum[kGroup] = {};
  for (std::size_t t = 0; t < tap_count; ++t) {
    for (std::size_t c = 0; c < count; ++c) sum[c] += x[taps[t] * pixel + c];
  }
  mean_wide(mean, sum, count, y);
}

template <std::size_t kGroups>
[[gnu::noinline]] void average_narrow(const WordMean& mean, const std::int16_t* x, const std::uint32_t* taps, std::size_t tap_count,
                                      std::size_t pixel, std::size_t count, std::int16_t* y) {
  Group sum[kGroups];
  sum_taps<kGroups>(x, taps, tap_count, pixel, count, sum);
  for (std::size_t g = 0; g < kGroups; ++g) {
    store_words(reinterpret_cast<std::byte*>(y + g * kGroup), mean_narrow(mean, sum[g]), count);
  }
}

}  // namespace

void average_words(const WordMean& mean, const std::int16_t* x, const std::uint32_t* taps, std::size_t tap_count,
                   std::size_t pixel, std::size_t channels, std::int16_t* y) {
  for (std::size_t first = 0; first < channels;) {
    const std::size_t left = channels - first, count = left < kGroup ? left : kGroup;
    const bool many = kTogether > 1 && !mean.wide && left >= kTogether * kGroup;
    (mean.wide ? average_wide : many ? average_narrow<kTogether> : average_narrow<1>)(mean, x + first, taps, tap_count, pixel, count, y + first);
    first += many ? kTogether * kGroup : count;
  }
}

}  // namespace lowbit::LOWBIT_NAMESPACE
