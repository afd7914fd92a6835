#include "lines.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace lowbit {
namespace {

// Sums up to here are float32 numbers.
constexpr double kExact = 0x1p24;
// A line may be moved up or down by so many of its own inexactnesses, where it is the better for it.
constexpr int kNudges[] = {0, 1, -1, 2, -2, 4, -4};
// So many sums of a channel may come as near to a step as that; each of them is tried.
constexpr int kMostTried = 64;

// Rules as an Epilogue and an Ending have them: what they give is clip(round(rate n + bias), low, high) + zero, nearly.
struct Rounding {
  const Epilogue& e;
  const Ending* ending;  // null: affine
  std::int32_t low, high, zero;
  bool words;

  explicit Rounding(const Epilogue& of)
      : e(of), ending(of.output == Output::other ? of.ending : nullptr), low(of.out_low), high(of.out_high), zero(of.out_zero), words(false) {
    if (ending != nullptr) low = ending->low, high = ending->high, zero = -ending->base, words = ending->form == Form::words;
  }

  bool shifts() const { return ending != nullptr && (ending->rule == Rule::shift_up || ending->rule == Rule::shift_down); }

  bool is_one() const {
    if (e.row_factor != nullptr) return false;
    if (ending == nullptr) return e.output == Output::affine && !e.single && !e.line;
    const bool rounds = ending->rule == Rule::round_even || ending->rule == Rule::round_up || ending->rule == Rule::round_down;
    const bool fits = words ? ending->base == 0 && low >= -32768 && high <= 32767
                            : ending->form == Form::bytes && low + zero >= 0 && high + zero <= 255 && std::abs(zero) < 32768;
    return fits && (rounds || (shifts() && ending->shift > 0));
  }

  double half() const {
    return ending != nullptr && (ending->rule == Rule::round_down || ending->rule == Rule::shift_down) ? 0.0 : 0.5;
  }

  double rate(std::size_t o) const {
    if (ending == nullptr) return e.quick ? e.scale[o] : e.scale[o] / e.out_scale;
    return shifts() ? std::ldexp(1.0, -ending->shift) : ending->scale[o] / ending->step;
  }

  double bias(std::size_t o) const {
    return ending == nullptr || shifts() || ending->bias == nullptr ? 0 : ending->bias[o] / ending->step;
  }

  // As kernels compute it, not yet clipped.
  double at(std::size_t o, std::int32_t n) const {
    if (ending == nullptr) return std::nearbyint(e.quick ? e.scale[o] * n : e.scale[o] * n / e.out_scale);
    if (shifts()) return std::floor(std::ldexp(double{static_cast<double>(n)}, -ending->shift) + half());
    double real = ending->scale[o] * n;
    if (ending->bias != nullptr) real += ending->bias[o];
    if (ending->step != 1) real /= ending->step;
    return ending->rule == Rule::round_even ? std::nearbyint(real) : std::floor(real + half());
  }
};

struct Line {
  std::int32_t start;  // joins the sums
  float rate, rest, first;

  // The product has 48 bits, so that float64 holds it, and what rounding the sum leaves out says whether it rose to an integer.
  double at(std::int32_t n) const {
    const double product = static_cast<double>(n) * rate, inner = static_cast<double>(std::fmaf(static_cast<float>(n), rest, first));
    const double sum = product + inner, part = sum - product, lost = (product - (sum - part)) + (inner - part), whole = std::floor(sum);
    return whole == sum && lost < 0 ? whole - 1 : whole;
  }
};

constexpr double kModulus = 0x1p60;

std::uint64_t in_parts(double fraction) {
  const double whole = (fraction - std::floor(fraction)) * kModulus;
  return whole >= kModulus ? 0 : static_cast<std::uint64_t>(whole);
}

// The sums that matter, where rate n + first is what is rounded down, and how far off lines can be.
struct Course {
  double rate, first, off;
  std::int64_t least, most;
};

bool proven(const Rounding& rounding, std::size_t o, const Line& line, const Course& course) {
  const auto modulus = static_cast<std::uint64_t>(kModulus), off = static_cast<std::uint64_t>(course.off * kModulus);
  const std::uint64_t a = in_parts(course.rate);
  int tried = 0;
  for (std::int64_t from = course.least; from <= course.most;) {
    // The next sum from here on whose rate n + first is within `off` of an integer.
    const std::uint64_t start = in_parts(course.rate * static_cast<double>(from) + course.first + course.off);
    const std::uint64_t low = (modulus - start) % modulus, high = low + 2 * off;
    const auto left = static_cast<std::uint64_t>(course.most - from);
    const std::uint64_t step = high >= modulus ? 0 : first_within(a, modulus, low, high, left);
    if (step > left) return true;
    const auto n = static_cast<std::int32_t>(from + static_cast<std::int64_t>(step));
    const auto clip = [&](double x) { return std::clamp<double>(x, rounding.low, rounding.high); };
    if (++tried > kMostTried || clip(line.at(n)) != clip(rounding.at(o, n - line.start))) return false;
    from = n + 1;
  }
  return true;
}

// The line begins where it is next to zero, so that little is lost where its parts are rounded.
bool find_line(const Rounding& rounding, std::size_t o, std::int64_t reach, Line& line) {
  const double rate = rounding.rate(o), rest = rounding.bias(o) + rounding.half();
  if (!(rate > 0x1p-24 && rate < 0x1p6 && std::abs(rest) < 0x1p20)) return false;
  const double start = std::nearbyint(rest / rate), within = static_cast<double>(reach) + std::abs(start);
  if (within >= 0x1p31 || within * rate >= 0x1p30) return false;
  Course course{rate, rest - rate * start, 0, 0, 0};
  const double least = std::max(std::floor((rounding.low - 1) / rate) - 2, -within);
  const double most = std::min(std::ceil((rounding.high + 1) / rate) + 2, within), far = std::max(-least, most);
  if (far > kExact) return false;
  line.start = static_cast<std::int32_t>(start), line.rate = static_cast<float>(rate);
  line.rest = static_cast<float>(rate - static_cast<double>(line.rate)), line.first = static_cast<float>(course.first);
  if (rounding.shifts()) return true;  // by a power of two: nothing was rounded
  const double lost = (rate + far * std::abs(static_cast<double>(line.rest))) * 0x1p-24 + 0x1p-33;
  course.off = 6 * lost;
  course.least = static_cast<std::int64_t>(least), course.most = static_cast<std::int64_t>(most);
  for (const int nudge : kNudges) {
    line.first = static_cast<float>(course.first + nudge * lost);
    if (proven(rounding, o, line, course)) return true;
  }
  return false;
}

}  // namespace

std::uint64_t first_within(std::uint64_t a, std::uint64_t modulus, std::uint64_t low, std::uint64_t high, std::uint64_t most) {
  if (low == 0) return 0;
  if (2 * a > modulus) a = modulus - a, std::swap(low, high), low = modulus - low, high = modulus - high;
  if (a == 0) return most + 1;
  const std::uint64_t least = (low + a - 1) / a;
  if (least > most) return most + 1;
  if (least * a <= high) return least;
  // No multiple of `a` lies between, so as many turns are looked for that reach it.
  const auto turns = static_cast<std::uint64_t>(static_cast<unsigned __int128>(a) * most / modulus);
  const std::uint64_t turn = first_within((a - modulus % a) % a, a, low % a, high % a, turns);
  if (turn > turns) return most + 1;
  const unsigned __int128 n = (low + static_cast<unsigned __int128>(modulus) * turn + a - 1) / a;
  return n > most ? most + 1 : static_cast<std::uint64_t>(n);
}

Aligned<LineGroup> set_lines(Epilogue& e, std::int64_t reach) {
  const Rounding rounding(e);
  if (!rounding.is_one()) return {};
  Aligned<LineGroup> groups(round_up(e.channels, kBlock * kGroup) / kGroup);
  for (std::size_t o = 0; o < e.channels; ++o) {
    Line line;
    if (!find_line(rounding, o, reach, line)) return {};
    LineGroup& group = groups[o / kGroup];
    group.start[o % kGroup] = e.constant[o] + line.start;
    group.rate[o % kGroup] = line.rate, group.rest[o % kGroup] = line.rest, group.first[o % kGroup] = line.first;
  }
  e.lines = groups.data();
  e.lines_words = rounding.words, e.lines_low = rounding.low, e.lines_high = rounding.high, e.lines_zero = rounding.zero;
  return groups;
}

}  // namespace lowbit
