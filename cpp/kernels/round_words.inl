// Floats to the nearest level, for all levels of kernels: a loop that the compiler makes vectors of.
#include <cstddef>

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

// Powers of two as steps: x / step is exact in float32, and so is what its floor leaves, so that half up is decided exactly.
// The floor is that of an integer, as there is an instruction for that everywhere; a NaN becomes the lowest level.
template <class Code>
bool round_exactly(const Rounder& rounder, const float* x, std::size_t count, Code* y) {
  const float rate = static_cast<float>(1 / rounder.step);
  const float low = static_cast<float>(rounder.low), high = static_cast<float>(rounder.high);
  const float half = rounder.rule == Rule::round_up ? 0.5f : 2.0f;
  int nan = 0;
  for (std::size_t n = 0; n < count; ++n) {
    const float scaled = x[n] * rate, above = scaled > low ? scaled : low, kept = above < high ? above : high;
    const auto whole = static_cast<std::int32_t>(kept);
    const std::int32_t floor = whole - (static_cast<float>(whole) > kept ? 1 : 0);
    const std::int32_t rounded = floor + (kept - static_cast<float>(floor) >= half ? 1 : 0);
    nan |= x[n] != x[n] ? 1 : 0;
    y[n] = static_cast<Code>(rounded - rounder.base);
  }
  return nan != 0;
}

template <class Code>
bool round_doubles(const Rounder& rounder, const float* x, std::size_t count, Code* y) {
  const double half = rounder.rule == Rule::round_up ? 0.5 : 0.0;
  const bool even = rounder.rule == Rule::round_even;
  int nan = 0;
  for (std::size_t n = 0; n < count; ++n) {
    const double scaled = static_cast<double>(x[n]) / rounder.step;
    nan |= x[n] != x[n];
    const double rounded = even ? __builtin_rint(scaled) : __builtin_floor(scaled + half);
    const double above = rounded > rounder.low ? rounded : rounder.low;
    y[n] = static_cast<Code>(static_cast<std::int32_t>(above > rounder.high ? rounder.high : above) - rounder.base);
  }
  return nan != 0;
}

template <class Code>
bool round_row(const Rounder& rounder, const float* x, std::size_t count, std::byte* y) {
  auto* codes = reinterpret_cast<Code*>(y);
  return rounder.exact ? round_exactly(rounder, x, count, codes) : round_doubles(rounder, x, count, codes);
}

}  // namespace

bool round_words(const Rounder& rounder, const Rows& rows) {
  bool nan = false;
  for (std::size_t row = 0; row < rows.count; ++row) {
    const auto* x = reinterpret_cast<const float*>(rows.x + row * rows.x_row);
    std::byte* y = rows.y + row * rows.y_row;
    nan |= rounder.form == Form::words ? round_row<std::int16_t>(rounder, x, rounder.features, y)
                                       : round_row<std::uint8_t>(rounder, x, rounder.features, y);
  }
  return nan;
}

}  // namespace lowbit::LOWBIT_NAMESPACE
