// Coordinate descent and the products that follow codes, between pages that nobody may touch: the residual stays that of
// the values, no error rises, no coordinate alone can be bettered, and products are those of the codes.
#include "../core/descent.h"

#include <cmath>

#include "check.h"
#include "guarded.h"

namespace lowbit::testing {
namespace {

constexpr double kClose = 1e-9;

// Draws without <random>, which takes longer to compile than all of this.
struct Random {
  std::uint64_t state;
  std::uint8_t operator()() { return static_cast<std::uint8_t>((state = state * 6364136223846793005u + 1442695040888963407u) >> 56); }
  double uniform() { return static_cast<double>((*this)()) / 128 - 1; }
};

// Numbers against a guard page.
template <class T>
class Numbers final {
 public:
  explicit Numbers(std::size_t count) : memory_(count * sizeof(T), Against::back) {}
  T* data() const { return reinterpret_cast<T*>(memory_.data()); }
  T& operator[](std::size_t n) const { return data()[n]; }

 private:
  Guarded memory_;
};

struct Problem {
  std::size_t outputs, inputs;
  Numbers<double> metric, target, values, residual;

  Problem(Random& random, std::size_t o, std::size_t d) : outputs(o), inputs(d), metric(d * d), target(o * d), values(o * d), residual(o * d) {
    Numbers<double> rows(d * d);
    for (std::size_t n = 0; n < d * d; ++n) rows[n] = random.uniform();
    for (std::size_t n = 0; n < d * d; ++n) metric[n] = n % (d + 1) == 0 ? 0.1 : 0;
    for (std::size_t n = 0; n < d * d * d; ++n) metric[n / d] += rows[n / d / d * d + n % d] * rows[n / d % d * d + n % d];
    for (std::size_t n = 0; n < o * d; ++n) target[n] = 2 * random.uniform();
  }

  Matrix<double> matrix() const { return {metric.data(), inputs, inputs}; }

  // (v - t) H of one input of one output.
  double pull(std::size_t o, std::size_t j) const {
    double sum = 0;
    for (std::size_t n = 0; n < inputs; ++n) sum += (values[o * inputs + n] - target[o * inputs + n]) * metric[j * inputs + n];
    return sum;
  }

  double error(std::size_t o) const {
    double sum = 0;
    for (std::size_t n = 0; n < inputs; ++n) sum += pull(o, n) * (values[o * inputs + n] - target[o * inputs + n]);
    return sum;
  }

  template <class Grid>
  void check(const Grid& grid) const {
    for (std::size_t n = 0; n < outputs * inputs; ++n) values[n] = grid.nearest(n / inputs, target[n]);
    for (std::size_t n = 0; n < outputs * inputs; ++n) residual[n] = pull(n / inputs, n % inputs);
    Numbers<double> before(outputs);
    for (std::size_t o = 0; o < outputs; ++o) before[o] = error(o);
    descend(matrix(), grid, outputs, 1000, values.data(), residual.data());
    bool falls = true, kept = true, best = true;
    for (std::size_t o = 0; o < outputs; ++o) falls &= error(o) <= before[o] + kClose;
    for (std::size_t n = 0; n < outputs * inputs; ++n) {
      const double left = pull(n / inputs, n % inputs), wanted = values[n] - left / metric[n % inputs * (inputs + 1)];
      kept &= std::abs(residual[n] - left) < kClose;
      best &= std::abs(values[n] - wanted) <= std::abs(grid.nearest(n / inputs, wanted) - wanted) + kClose;
    }
    CHECK(falls && kept && best, "an error rises, a residual is not that of the values, or a coordinate can be bettered");
  }
};

TEST(descent_ends_where_no_coordinate_can_be_bettered) {
  Random random{1};
  for (const std::size_t inputs : {1u, 7u, 16u, 17u, 40u}) {
    for (const std::size_t rows : {1u, 5u}) {
      const Problem problem(random, 5, inputs);
      for (const std::size_t count : {1u, 2u, 16u}) {
        Numbers<double> levels(rows * count);
        for (std::size_t n = 0; n < rows * count; ++n) levels[n] = 0.3 * static_cast<double>(n % count) - 0.7;
        problem.check(LevelGrid{{levels.data(), rows, count}});
      }
      Numbers<double> scale(rows), least(rows), most(rows);
      for (std::size_t n = 0; n < rows; ++n) scale[n] = 0.25, least[n] = -3, most[n] = 4;
      problem.check(EvenGrid{rows, scale.data(), least.data(), most.data()});
    }
  }
}

TEST(products_follow_codes) {
  Random random{2};
  for (const std::size_t inputs : {1u, 17u, 40u}) {
    constexpr std::size_t kOutputs = 3, kPlanes = 2, kCodes = 4;
    const Problem problem(random, kOutputs, inputs);
    const std::size_t size = kOutputs * inputs;
    Numbers<std::uint8_t> before(size), after(size);
    Numbers<double> table(kCodes * kPlanes), products(size * kPlanes), wanted(size * kPlanes);
    for (std::size_t n = 0; n < kCodes * kPlanes; ++n) table[n] = (n / kPlanes >> n % kPlanes & 1) != 0 ? 1 : -1;
    for (std::size_t n = 0; n < size; ++n) before[n] = random() % kCodes, after[n] = random() % kCodes;
    for (std::size_t n = 0; n < size * kPlanes; ++n) {
      const std::size_t o = n / inputs / kPlanes, plane = n / inputs % kPlanes;
      products[n] = wanted[n] = 0;
      for (std::size_t j = 0; j < inputs; ++j) {
        const double of_metric = problem.metric[j * inputs + n % inputs];
        products[n] += table[before[o * inputs + j] * kPlanes + plane] * of_metric;
        wanted[n] += table[after[o * inputs + j] * kPlanes + plane] * of_metric;
      }
    }
    follow(problem.matrix(), {table.data(), kCodes, kPlanes}, kOutputs, before.data(), after.data(), products.data());
    bool equal = true;
    for (std::size_t n = 0; n < size * kPlanes; ++n) equal &= std::abs(products[n] - wanted[n]) < kClose;
    CHECK(equal, "products are not those of the codes");
  }
}

}  // namespace
}  // namespace lowbit::testing
