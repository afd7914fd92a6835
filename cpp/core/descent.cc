#include "descent.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace lowbit {
namespace {

// Rows of the metric that all outputs go through before the next ones: they stay in the second cache.
constexpr std::size_t kRowsAtOnce = 16;

void add_multiple(double factor, const double* row, std::size_t count, double* sums) {
  for (std::size_t n = 0; n < count; ++n) sums[n] += factor * row[n];
}

template <class Grid>
void sweep_all(const Matrix<double>& metric, const Grid& grid, std::size_t outputs, std::size_t sweeps, double* values, double* residual) {
  const std::size_t inputs = metric.columns;
  std::vector<char> moves(outputs, 1);
  for (std::size_t sweep = 0; sweep < sweeps; ++sweep) {
    std::vector<char> moved(outputs, 0);
    for (std::size_t start = 0; start < inputs; start += kRowsAtOnce) {
      const std::size_t stop = std::min(start + kRowsAtOnce, inputs);
      for (std::size_t o = 0; o < outputs; ++o) {
        if (!moves[o]) continue;
        double *v = values + o * inputs, *r = residual + o * inputs;
        for (std::size_t j = start; j < stop; ++j) {
          const double* row = metric.row(j);
          const double next = grid.nearest(o, v[j] - r[j] / row[j]);
          if (next == v[j]) continue;
          add_multiple(next - v[j], row, inputs, r);
          v[j] = next, moved[o] = 1;
        }
      }
    }
    moves = moved;
    if (std::find(moves.begin(), moves.end(), 1) == moves.end()) return;
  }
}

}  // namespace

double LevelGrid::nearest(std::size_t output, double value) const {
  const double* row = levels.row(levels.rows == 1 ? 0 : output);
  std::size_t low = 0, high = levels.columns - 1;  // the level lies within
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (value > (row[middle + 1] + row[middle]) / 2) low = middle + 1;
    else high = middle;
  }
  return row[low];
}

double EvenGrid::nearest(std::size_t output, double value) const {
  const std::size_t n = rows == 1 ? 0 : output;
  return scale[n] * std::clamp(std::nearbyint(value / scale[n]), least[n], most[n]);
}

void descend(const Matrix<double>& metric, const LevelGrid& grid, std::size_t outputs, std::size_t sweeps, double* values, double* residual) {
  sweep_all(metric, grid, outputs, sweeps, values, residual);
}

void descend(const Matrix<double>& metric, const EvenGrid& grid, std::size_t outputs, std::size_t sweeps, double* values, double* residual) {
  sweep_all(metric, grid, outputs, sweeps, values, residual);
}

void follow(const Matrix<double>& metric, const Matrix<double>& table, std::size_t outputs, const std::uint8_t* before,
            const std::uint8_t* after, double* products) {
  const std::size_t inputs = metric.columns, planes = table.columns;
  for (std::size_t start = 0; start < inputs; start += kRowsAtOnce) {
    const std::size_t stop = std::min(start + kRowsAtOnce, inputs);
    for (std::size_t o = 0; o < outputs; ++o) {
      for (std::size_t j = start; j < stop; ++j) {
        const std::uint8_t old = before[o * inputs + j], now = after[o * inputs + j];
        for (std::size_t i = 0; i < planes && old != now; ++i) {
          const double change = table.row(now)[i] - table.row(old)[i];
          if (change != 0) add_multiple(change, metric.row(j), inputs, products + (o * planes + i) * inputs);
        }
      }
    }
  }
}

}  // namespace lowbit
