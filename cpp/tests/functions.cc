// Functions, reductions and softmax of floats against long double, and every level against the portable one, bit for bit.
#include <algorithm>
#include <cmath>
#include <functional>

#include "../core/float_elements.h"
#include "../core/names.h"
#include "layer_case.h"

namespace lowbit::testing {
namespace {

using Wide = long double;

bool same(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (std::isnan(a) && std::isnan(b)); }

// Whether y is a float next to the exact result, within 0.501 of their distance.
bool close(float y, Wide exact) {
  const auto nearest = static_cast<float>(exact);
  if (same(y, nearest)) return true;
  if (!std::isfinite(y) || !std::isfinite(nearest)) return false;
  const Wide spacing = Wide{std::nextafter(std::fabs(nearest), HUGE_VALF)} - Wide{std::fabs(nearest)};
  return std::fabs(Wide{y} - exact) <= 0.501L * spacing;
}

// Every exponent, both signs, zeros, infinities, NaN.
std::vector<float> sweep(unsigned seed, std::size_t each) {
  Random random(seed);
  std::vector<float> x{0.0f, -0.0f, HUGE_VALF, -HUGE_VALF, std::nanf(""), 1.0f, -1.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f};
  for (std::uint32_t exponent = 0; exponent < 255; ++exponent) {
    for (std::size_t n = 0; n < each; ++n) {
      const std::uint32_t bits = static_cast<std::uint32_t>(random()) & 0x807fffff;
      x.push_back(std::bit_cast<float>(bits | exponent << 23));
    }
  }
  for (int n = 0; n < 5000; ++n) x.push_back(static_cast<float>(draw(random, -1000000, 1000000)) / 50000);
  return x;
}

Wide exact(Function function, Wide a) {
  switch (function) {
    case Function::identity: return a;
    case Function::tanh: return std::tanh(a);
    case Function::sigmoid: return 1 / (1 + std::exp(-a));
    case Function::elu: return a < 0 ? std::expm1(a) : a;
    case Function::exponential: return std::exp(a);
    case Function::logarithm: return std::log(a);
    case Function::absolute: return std::fabs(a);
    case Function::square_root: return std::sqrt(a);
    case Function::reciprocal: return 1 / a;
    case Function::error: return std::erf(a);
    case Function::sine: return std::sin(a);
    case Function::cosine: return std::cos(a);
    case Function::floor: return std::floor(a);
    case Function::ceiling: return std::ceil(a);
    case Function::truncate: return std::trunc(a);
    case Function::round: return std::nearbyint(a);
    case Function::negative: return -a;
    case Function::sign: return a > 0 ? 1 : a < 0 ? -1 : a;
    case Function::is_true: return a != 0 ? 1 : 0;
    case Function::is_false: return a == 0 ? 1 : 0;
    case Function::relu: return a < 0 ? 0 : a;
    case Function::is_nan: return std::isnan(a) ? 1 : 0;
    case Function::tangent: return std::tan(a);
    case Function::arc_sine: return std::asin(a);
    case Function::arc_cosine: return std::acos(a);
    case Function::arc_tangent: return std::atan(a);
    case Function::hyperbolic_sine: return std::sinh(a);
    case Function::hyperbolic_cosine: return std::cosh(a);
    case Function::inverse_hyperbolic_sine: return std::asinh(a);
    case Function::inverse_hyperbolic_cosine: return std::acosh(a);
    case Function::inverse_hyperbolic_tangent: return std::atanh(a);
  }
  return 0;
}

}  // namespace

void test_apply_function(const std::string& level) {
  const std::vector<float> x = sweep(31, 60);
  const auto &kernel = select_kernels(level).apply_function, &plain = select_kernels("portable").apply_function;
  for (std::size_t n = 0; n < count_names(kFunctions); ++n) {
    const auto function = static_cast<Function>(n);
    const std::string name = level + " " + std::string(name_at(kFunctions, n));
    std::vector<float> y(x.size()), expected(x.size());
    kernel.run(function, x.data(), y.data(), x.size());
    plain.run(function, x.data(), expected.data(), x.size());
    for (std::size_t k = 0; k < x.size(); ++k) {
      const std::string what = name + "(" + std::to_string(x[k]) + ") = " + std::to_string(y[k]);
      CHECK(close(y[k], exact(function, x[k])), what);
      CHECK(same(y[k], expected[k]), what + ", portable " + std::to_string(expected[k]));
    }
    for (const std::size_t count : {1u, 7u, 8u, 9u, 33u}) {  // tails touch nothing beyond them; in place
      const Guarded part(4 * count, Against::back);
      auto* at = reinterpret_cast<float*>(part.data());
      std::copy_n(x.end() - 40, count, at);
      kernel.run(function, at, at, count);
      CHECK(std::equal(at, at + count, y.end() - 40, same), name);
    }
  }
}

// Beside those that test_arithmetic knows by single instructions.
TEST(powers_and_answers) {
  const std::vector<float> numbers = sweep(32, 1);
  const std::vector<float> exponents{0.0f, -0.0f, 1.0f, 2.0f, 3.0f, -1.0f, -3.0f, 0.5f, 0.3333f, 2.5f, 17.0f, 1e9f, 16777217.0f, HUGE_VALF, -HUGE_VALF, std::nanf("")};
  for (const std::string& level : available_levels()) {
    const auto& kernel = select_kernels(level).arithmetic;
    for (const float exponent : exponents) {
      std::vector<float> y(numbers.size());
      kernel.run(Arithmetic::power, numbers.data(), &exponent, true, y.data(), y.size());
      for (std::size_t n = 0; n < y.size(); ++n) {
        CHECK(close(y[n], std::pow(Wide{numbers[n]}, Wide{exponent})),
              level + " " + std::to_string(numbers[n]) + "^" + std::to_string(exponent) + " = " + std::to_string(y[n]));
      }
    }
    const std::vector<float> a{7, -7, 7, -7, 6, 0, 5.5f, 16777215, std::nanf(""), 1}, b{3, 3, -3, -3, 3, 5, 2, 16777214, 1, std::nanf("")};
    const auto run = [&](Arithmetic operation) {
      std::vector<float> y(a.size());
      kernel.run(operation, a.data(), b.data(), false, y.data(), y.size());
      return std::vector<float>(y.begin(), y.begin() + 8);
    };
    CHECK((run(Arithmetic::modulo) == std::vector<float>{1, 2, -2, -1, 0, 0, 1.5f, 1}), level);
    CHECK((run(Arithmetic::remainder) == std::vector<float>{1, -1, 1, -1, 0, 0, 1.5f, 1}), level);
    CHECK((run(Arithmetic::quotient) == std::vector<float>{2, -2, -2, 2, 2, 0, 2, 1}), level);
    CHECK((run(Arithmetic::less) == std::vector<float>{0, 1, 0, 1, 0, 1, 0, 0}), level);
    CHECK((run(Arithmetic::both) == std::vector<float>{1, 1, 1, 1, 1, 0, 1, 1}), level);
    CHECK((run(Arithmetic::one_alone) == std::vector<float>{0, 0, 0, 0, 0, 1, 0, 0}), level);
    std::vector<float> y(a.size());
    for (const Arithmetic operation : {Arithmetic::minimum, Arithmetic::maximum}) {
      kernel.run(operation, a.data(), b.data(), false, y.data(), y.size());
      CHECK(std::isnan(y[8]) && std::isnan(y[9]), "NaN before all else");
    }
  }
}

void test_reduce(const std::string& level) {
  Random random(33);
  const auto &kernel = select_kernels(level).reduce, &plain = select_kernels("portable").reduce;
  for (const std::size_t axis : {1u, 2u, 7u, 8u, 9u, 15u, 16u, 17u, 31u, 100u, 1000u}) {
    for (const std::size_t inner : {1u, 2u, 7u, 8u, 9u, 20u}) {
      const Guarded in(4 * axis * inner, Against::back), out(4 * inner, Against::back);
      auto *x = reinterpret_cast<float*>(in.data()), *y = reinterpret_cast<float*>(out.data());
      for (std::size_t n = 0; n < axis * inner; ++n) x[n] = static_cast<float>(draw(random, -1000, 1000)) / 999;
      const bool nan = draw(random, 0, 5) == 0;
      if (nan) x[static_cast<std::size_t>(draw(random, 0, static_cast<int>(axis * inner) - 1))] = std::nanf("");
      for (int kind = 0; kind <= static_cast<int>(Reduction::absolute_sum); ++kind) {
        const auto reduction = static_cast<Reduction>(kind);
        const std::string what = level + " " + std::to_string(kind) + " " + std::to_string(axis) + "x" + std::to_string(inner);
        std::vector<float> expected(inner);
        kernel.run(reduction, x, axis, inner, y);
        plain.run(reduction, x, axis, inner, expected.data());
        for (std::size_t i = 0; i < inner; ++i) {
          Wide all = reduction == Reduction::product ? 1 : reduction == Reduction::maximum ? -HUGE_VALL : reduction == Reduction::minimum ? HUGE_VALL : 0;
          for (std::size_t n = 0; n < axis; ++n) {
            const Wide a = x[n * inner + i];
            switch (reduction) {
              case Reduction::product: all *= a; break;
              case Reduction::maximum: all = a > all || std::isnan(a) ? a : all; break;
              case Reduction::minimum: all = a < all || std::isnan(a) ? a : all; break;
              case Reduction::sum_of_squares: all += a * a; break;
              case Reduction::absolute_sum: all += std::fabs(a); break;
              default: all += a;
            }
          }
          if (reduction == Reduction::mean) all /= static_cast<Wide>(axis);
          CHECK(std::isnan(all) ? std::isnan(y[i]) : std::fabs(y[i] - all) <= 1e-7L * std::fabs(all) + 1e-12L, what);
          CHECK(same(y[i], expected[i]), what);
        }
      }
    }
  }
}

void test_softmax(const std::string& level) {
  Random random(34);
  const auto &kernel = select_kernels(level).softmax, &plain = select_kernels("portable").softmax;
  for (const std::size_t axis : {1u, 2u, 8u, 15u, 16u, 17u, 100u}) {
    for (const std::size_t inner : {1u, 2u, 8u, 15u, 16u, 17u, 40u}) {
      const Guarded in(4 * axis * inner, Against::back), out(4 * axis * inner, Against::back);
      auto *x = reinterpret_cast<float*>(in.data()), *y = reinterpret_cast<float*>(out.data());
      for (std::size_t n = 0; n < axis * inner; ++n) x[n] = static_cast<float>(draw(random, -1000, 1000)) / 60;
      if (axis > 2) x[inner] = -HUGE_VALF;
      if (draw(random, 0, 5) == 0) x[0] = std::nanf("");
      for (const bool logarithm : {false, true}) {
        const std::string what = level + " softmax " + std::to_string(axis) + "x" + std::to_string(inner);
        std::vector<float> expected(axis * inner);
        kernel.run(logarithm, x, axis, inner, y);
        plain.run(logarithm, x, axis, inner, expected.data());
        CHECK(std::equal(expected.begin(), expected.end(), y, same), what);
        for (std::size_t i = 0; i < inner; ++i) {
          Wide top = -HUGE_VALL, sum = 0;
          for (std::size_t n = 0; n < axis; ++n) top = x[n * inner + i] > top || std::isnan(x[n * inner + i]) ? Wide{x[n * inner + i]} : top;
          for (std::size_t n = 0; n < axis; ++n) sum += std::exp(x[n * inner + i] - top);
          for (std::size_t n = 0; n < axis; ++n) {
            const Wide log = x[n * inner + i] - top - std::log(sum), e = logarithm ? log : std::exp(log);
            const Wide given = y[n * inner + i];
            CHECK(std::isnan(e) ? std::isnan(given) : given == e || std::fabs(given - e) <= 1e-6L * std::max(std::fabs(e), Wide{1}), what);
          }
        }
      }
    }
  }
}

}  // namespace lowbit::testing
