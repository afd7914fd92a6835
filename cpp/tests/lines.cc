// Endings as lines, against the ending itself for every sum that an accumulator reaches; and the search behind their proof.
#include "../core/lines.h"

#include <cmath>

#include "layer_case.h"

namespace lowbit::testing {
namespace {

TEST(first_within_finds_the_least) {
  Random random(40);
  for (int repeat = 0; repeat < 2000; ++repeat) {
    const auto modulus = static_cast<std::uint64_t>(draw(random, 2, 300)), a = static_cast<std::uint64_t>(draw(random, 0, static_cast<int>(modulus) - 1));
    const auto low = static_cast<std::uint64_t>(draw(random, 0, static_cast<int>(modulus) - 1));
    const std::uint64_t high = std::min<std::uint64_t>(modulus - 1, low + static_cast<std::uint64_t>(draw(random, 0, 9)));
    const auto most = static_cast<std::uint64_t>(draw(random, 0, 400));
    std::uint64_t n = 0;
    while (n <= most && (a * n % modulus < low || a * n % modulus > high)) ++n;
    CHECK(first_within(a, modulus, low, high, most) == n, "first_within");
  }
}

// What kernels make of a line, in float64: the product is exact there, the inner sum is rounded to float32 first.
double floor_of(const LineGroup& line, std::size_t lane, std::int32_t sum) {
  const auto n = static_cast<float>(sum + line.start[lane]);
  const long double inner = std::fmaf(n, line.rest[lane], line.first[lane]);
  return static_cast<double>(std::floor(static_cast<long double>(n) * line.rate[lane] + inner));
}

// Rates are any numbers, whole divisors, which meet ties, or powers of two. Returns whether there was a line.
bool ending_case(Random& random, bool words, int kind) {
  const std::int32_t reach = 1 << draw(random, 8, words ? 21 : 18);
  EpilogueSpec spec;
  const double any = std::uniform_real_distribution<double>(0.5, 2.0)(random);
  std::vector<double> scale{kind == 0 ? any : 1.0}, bias{kind == 0 ? draw(random, -99, 99) / 7.0 : draw(random, -9, 9)};
  const double step = (words ? reach / 30000.0 + (kind == 0 ? 0.1 : 2.0) : reach / 200.0 + 4) * (kind == 0 ? std::uniform_real_distribution<double>(1.0, 2.0)(random) : 1);
  const double divisor = kind == 0 ? step : kind == 1 ? std::max(2.0, std::floor(step)) : std::exp2(std::ceil(std::log2(step)));
  if (words) {
    spec.output = Output::other;
    spec.other.rule = static_cast<Rule>(draw(random, static_cast<int>(Rule::round_even), static_cast<int>(Rule::round_down)));
    spec.other.form = Form::words;
    spec.other.scale = scale, spec.other.bias = bias, spec.other.step = divisor;
    spec.other.low = draw(random, -32768, 0), spec.other.high = draw(random, 1, 32767);
  } else {
    spec.output = Output::affine, spec.scale = scale, spec.out_scale = divisor, spec.out_zero = draw(random, 0, 255);
  }
  const Finish finish("test", 1, spec);
  Epilogue e = finish.view();
  const Aligned<LineGroup> lines = set_lines(e, reach);
  if (e.lines == nullptr) return false;
  const std::int32_t low = e.lines_low, high = e.lines_high;
  bool equal = true;
  for (std::int32_t n = -reach; n <= reach; ++n) {
    double real = scale[0] * n;
    if (words) real = (real + bias[0]) / divisor;
    else real = real / divisor;
    const Rule rule = words ? spec.other.rule : Rule::round_even;
    const double rounded = rule == Rule::round_even ? std::nearbyint(real) : std::floor(real + (rule == Rule::round_up ? 0.5 : 0.0));
    const double expected = std::clamp<double>(rounded, low, high), found = std::clamp<double>(floor_of(lines[0], 0, n), low, high);
    equal &= expected == found;
  }
  CHECK(equal, "a line of reach " + std::to_string(reach) + " by " + std::to_string(divisor));
  return true;
}

TEST(lines_are_their_endings) {
  Random random(41);
  int lines = 0;
  constexpr int kCases = 40;
  for (int repeat = 0; repeat < kCases; ++repeat) lines += ending_case(random, repeat % 2 == 0, 0);
  CHECK(lines >= kCases - 2, "endings of any rate have lines");
  for (int repeat = 0; repeat < kCases; ++repeat) ending_case(random, repeat % 2 == 0, 1 + repeat / 2 % 2);
}

}  // namespace
}  // namespace lowbit::testing
