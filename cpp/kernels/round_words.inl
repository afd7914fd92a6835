// Floats to the nearest level, one text for every level of kernels over vectors.inl.
#include <cstddef>

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

// Powers of two as steps: x / step is exact in float32, and so is what its floor leaves, so that half up is decided exactly.
// The floor is that of an integer, as there is an instruction for that everywhere; a NaN becomes the lowest level.
inline Group round_exactly(const Rounder& rounder, const Reals& x) {
  const float rate = static_cast<float>(1 / rounder.step), half = rounder.rule == Rule::round_up ? 0.5f : 2.0f;
  const Floats low = Floats{} + static_cast<float>(rounder.low), high = Floats{} + static_cast<float>(rounder.high);
  return each([&](std::size_t n) {
    const Floats scaled = x.part[n] * rate, above = scaled > low ? scaled : low, kept = above < high ? above : high;
    const Integers whole = __builtin_convertvector(kept, Integers);
    const Integers floor = whole + (__builtin_convertvector(whole, Floats) > kept);  // a truth is -1
    return floor - (kept - __builtin_convertvector(floor, Floats) >= half);
  });
}

inline Group round_doubles(const Rounder& rounder, const Reals& x) {
  const double half = rounder.rule == Rule::round_up ? 0.5 : 0.0;
  return each_half(x, [&](Doubles value, std::size_t) {
    const Doubles scaled = value / rounder.step;
    if (rounder.rule == Rule::round_even) return integers_nearest(clipped(scaled, rounder.low, rounder.high));
    return integers_below(clipped(scaled + half, rounder.low, rounder.high));
  });
}

}  // namespace

bool round_words(const Rounder& rounder, const Rows& rows) {
  Mask nan{};
  for (std::size_t row = 0; row < rows.count; ++row) {
    const std::byte* x = rows.x + row * rows.x_row;
    std::byte* y = rows.y + row * rows.y_row;
    for (std::size_t first = 0; first < rounder.features; first += kGroup) {
      const std::size_t count = rounder.features - first;
      const Reals value = load_first(x + 4 * first, count);
      nan = either(nan, unordered(value, value));
      const Group entry = (rounder.exact ? round_exactly(rounder, value) : round_doubles(rounder, value)) - same(rounder.base);
      if (rounder.form == Form::words) store_words(y + 2 * first, entry, count);
      else store_first(y + first, bytes_of(entry), count);
    }
  }
  return bits_of(nan) != 0;
}

}  // namespace lowbit::LOWBIT_NAMESPACE
