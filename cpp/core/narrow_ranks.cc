#include "narrow_ranks.h"

#include <algorithm>
#include <limits>

#include "matrix.h"

namespace lowbit {
namespace {

// Thresholds lie within so much of the middle, so that sums far outside do not end as words of thresholds.
constexpr std::int64_t kWithin = 32000;
constexpr std::int16_t kNever = std::numeric_limits<std::int16_t>::max();

// Where sums of the n-th channel of a pair lie in a vector of words.
std::size_t place_of(std::size_t n) { return n % kGroup / 4 * 8 + n / kGroup * 4 + n % 4; }

// Thresholds of a channel; no sum is above or below their bounds, whatever lies beyond.
struct Steps {
  const std::int32_t* first;
  std::size_t count;
  std::int64_t reach;

  Steps(const Epilogue& e, std::size_t o, std::int64_t all)
      : first(e.thresholds + o / kGroup * ((std::size_t{1} << e.bits) - 1) * kGroup + o % kGroup), count((std::size_t{1} << e.bits) - 1), reach(all) {}

  std::int64_t operator[](std::size_t c) const { return std::clamp<std::int64_t>(first[c * kGroup], -reach - 1, reach); }
  bool upper() const { return count == kNarrowSteps && (*this)[kNarrowSteps / 2 - 1] < -reach; }
};

// What is always exceeded is for no word to tell.
void narrow_channel(const Epilogue& e, std::size_t o, const Steps& steps, NarrowRanks& ranks) {
  const std::size_t n = o % kNarrow, first = ranks.upper ? kNarrowSteps / 2 : 0, last = steps.count - 1;
  const std::int64_t middle = (steps[first] + steps[last]) >> 1;
  int shift = 0;
  while ((steps[last] - middle) >> shift > kWithin) ++shift;
  ranks.start[n] = static_cast<std::int32_t>(e.constant[o] - middle), ranks.shift[n] = shift;
  if (shift > 0) ranks.shifted |= std::uint32_t{1} << place_of(n);
  for (std::size_t c = first; c <= last; ++c) ranks.thresholds[c][place_of(n)] = static_cast<std::int16_t>((steps[c] - middle) >> shift);
}

// Lets the second group of a pair be the first one.
void repeat_group(NarrowRanks& ranks) {
  ranks.alone = true;
  for (std::size_t n = 0; n < kGroup; ++n) {
    const std::size_t place = place_of(n), other = place_of(n + kGroup);
    ranks.start[n + kGroup] = ranks.start[n], ranks.shift[n + kGroup] = ranks.shift[n];
    for (auto& thresholds : ranks.thresholds) thresholds[other] = thresholds[place];
    ranks.shifted |= (ranks.shifted >> place & 1) << other;
  }
}

}  // namespace

Aligned<NarrowRanks> set_narrow_ranks(Epilogue& e, std::int64_t reach) {
  const bool fits = e.output == Output::bytes && e.bits <= 4 && e.row_factor == nullptr && reach < std::int64_t{1} << 30;
  if (!fits) return {};
  NarrowRanks none{};
  std::fill_n(none.thresholds[0], kNarrowSteps * kNarrow, kNever);
  Aligned<NarrowRanks> pairs(round_up(e.channels, kBlock * kGroup) / kNarrow, none);
  for (std::size_t o = 0; o < e.channels; ++o) {
    NarrowRanks& ranks = pairs[o / kNarrow];
    if (o % kNarrow == 0) ranks.upper = true;
    ranks.upper = ranks.upper && Steps(e, o, reach).upper();
  }
  for (std::size_t o = 0; o < e.channels; ++o) narrow_channel(e, o, Steps(e, o, reach), pairs[o / kNarrow]);
  if (groups_of(e.channels) % 2 == 1) repeat_group(pairs[e.channels / kNarrow]);
  e.narrow = pairs.data();
  return pairs;
}

}  // namespace lowbit
