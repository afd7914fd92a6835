#include "following.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "kernel.h"
#include "program.h"

namespace lowbit {
namespace {

// Half to even, of less than 2^51.
double nearest(double x) {
  constexpr double kShift = 0x1.8p52;
  return x + kShift - kShift;
}

// Both ways to round are off by less than this, in units of the result.
constexpr double kNear = 1e-9;
// With such a rate, and so large a rest, 32 bits become 32 bits.
constexpr double kMostRate = 0.25, kMostRest = 0x1p30;

bool fits(const Epilogue& e, double rate) {
  for (std::size_t o = 0; o < e.channels; ++o) {
    const double rest = e.bias == nullptr ? 0 : std::abs(e.bias[o] * rate);
    if (!(std::abs(e.scale[o] * rate) <= kMostRate && rest <= kMostRest)) return false;
  }
  return true;
}

std::int32_t code_of(const Following& next, float x) {
  return static_cast<std::int32_t>(std::clamp(std::nearbyint(static_cast<double>(x) / next.scale) + next.zero, 0.0, next.top));
}

bool encode(Epilogue& e, const Following& next) {
  if (e.output != Output::real || !fits(e, 1 / next.scale)) return false;
  const double rate = rate_of_floats(next.scale, -next.zero, next.top - next.zero);
  if (rate == 0) return false;
  e.output = Output::affine, e.single = true, e.out_rate = rate;
  e.out_zero = static_cast<std::int32_t>(next.zero);
  // Codes rise with floats, so bounds of floats are bounds of codes.
  e.out_low = code_of(next, next.low) - e.out_zero, e.out_high = code_of(next, next.high) - e.out_zero;
  return true;
}

// The line within half a unit of every entry, but for those at the ends that the clip gives.
struct Line {
  float rate, first;
  std::int32_t low, high;

  std::int32_t at(std::int32_t code) const {
    return std::clamp(static_cast<std::int32_t>(std::nearbyint(static_cast<float>(code) * rate + first)), low, high);
  }
};

// As steps allow: (low of b - high of a) / (b - a) <= rate <= (high of b - low of a) / (b - a) for all a < b.
std::optional<Line> line_through(const std::uint8_t* table, std::size_t count, std::int32_t zero) {
  const Line none{0, 0, table[0], table[count - 1]};
  std::size_t begin = 0, end = count;
  while (begin + 1 < count && table[begin + 1] == table[0]) ++begin;
  while (end > begin + 1 && table[end - 2] == table[count - 1]) --end;
  double least = 0, most = HUGE_VAL, first_low = -HUGE_VAL, first_high = HUGE_VAL;
  for (std::size_t b = begin + 1; b < end; ++b) {
    for (std::size_t a = begin; a < b; ++a) {
      const double rise = table[b] - table[a], run = static_cast<double>(b - a);
      if (b + 1 < end || rise > 0) least = std::max(least, (rise - 1) / run);
      most = std::min(most, (rise + 1) / run);
    }
  }
  const double rate = end > begin + 1 ? (least + most) / 2 : 0;
  for (std::size_t n = begin; n < end; ++n) {
    const double off = table[n] - static_cast<double>(n) * rate;
    first_low = std::max(first_low, off - 0.5), first_high = std::min(first_high, off + 0.5);
  }
  Line line = none;
  line.rate = static_cast<float>(rate), line.first = static_cast<float>((first_low + first_high) / 2 + rate * zero);
  bool right = line.low <= line.high && line.rate >= 0 && line.rate <= 1 / static_cast<float>(kMostRate);
  for (std::size_t n = 0; n < count && right; ++n) right = line.at(static_cast<std::int32_t>(n) - zero) == table[n];
  return right ? std::optional(line) : std::nullopt;
}

bool look_up(Epilogue& e, const std::uint8_t* table) {
  if (e.output == Output::bytes) {
    for (std::size_t n = 0; n < std::size_t{1} << e.bits; ++n) e.table[n] = table[e.table[n]];
    return true;
  }
  if (e.output != Output::affine || !e.quick || e.line) return false;
  const auto top = static_cast<std::size_t>(e.out_high + e.out_zero);
  const std::optional<Line> line = line_through(table, top + 1, e.out_zero);
  if (!line) return false;
  e.line = true, e.line_rate = line->rate, e.line_first = line->first, e.line_low = line->low, e.line_high = line->high;
  return true;
}

}  // namespace

// A monotone function of floats that divides is one that multiplies, if they agree on the floats nearest to where they step. One of
// three rates does, as some of these are halfway between two codes. None: 0.
double rate_of_floats(double scale, double low, double high) {
  const double middle = 1 / scale;
  for (const double rate : {middle, std::nextafter(middle, 0), std::nextafter(middle, HUGE_VAL)}) {
    bool right = true;
    for (double code = low - 0.5; code <= high + 0.5 && right; ++code) {
      const double x = static_cast<float>(code * scale);
      right = nearest(x / scale) == nearest(x * rate);
    }
    if (right) return rate;
  }
  return 0;
}

bool is_one_rate(double scale, double out_scale, double low, double high) {
  const double rate = scale / out_scale, each = 1 / rate;
  if (!(rate > kNear && rate <= kMostRate)) return false;
  for (double code = low - 0.5; code <= high + 0.5; ++code) {
    const double at = code * each, n = nearest(at);
    if (std::abs(at) > 0x1p31 || std::abs(n - at) * rate > kNear) continue;
    if (nearest(scale * n / out_scale) != nearest(rate * n)) return false;
  }
  return true;
}

bool follow(Epilogue& e, const Following& next) {
  if (next.encodes) return encode(e, next);
  return next.table != nullptr && look_up(e, next.table);
}

void join_endings(const std::vector<std::unique_ptr<Step>>& steps, const std::vector<Value>& values,
                  std::vector<std::unique_ptr<Step>>& turns) {
  std::map<std::size_t, std::vector<std::size_t>> readers;
  for (std::size_t n = 0; n < steps.size(); ++n) {
    for (const std::size_t source : steps[n]->sources) readers[source].push_back(n);
  }
  for (std::size_t n = 0; n < steps.size(); ++n) {
    Following next;
    std::vector<std::size_t> members{n};
    while (next.table == nullptr && !next.encodes) {
      const std::size_t value = steps[members.back()]->result;
      const std::vector<std::size_t>& behind = readers[value];
      if (behind.size() != 1 || values[value].port != kArena || !steps[behind[0]]->follows(next)) break;
      members.push_back(behind[0]);
    }
    const std::size_t last = members.back();
    const bool chain = turns[n] != nullptr;
    const bool taken = std::any_of(members.begin() + (chain ? 1 : 0), members.end(), [&](std::size_t m) { return steps[m]->turn || turns[m]; });
    if (last == n || taken || (!chain && steps[n]->turn)) continue;
    std::unique_ptr<Step> ended = (chain ? turns[n] : steps[n])->followed(next, values[steps[last]->result]);
    if (!ended) continue;
    for (const std::unique_ptr<Step>& step : steps) {
      if (chain && step->turn == n) step->turn = last;
    }
    ended->result = steps[last]->result, ended->timed = steps[n]->result;
    turns[n] = nullptr, turns[last] = std::move(ended);
    for (const std::size_t member : members) steps[member]->turn = last;
  }
}

}  // namespace lowbit
