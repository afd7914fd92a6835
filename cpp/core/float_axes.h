// Steps along one axis of floats, a sample seen as [outer, axis, inner]; maps are seen as they lie, channels innermost. All
// of them do one thing in one order, so that every level, block and number of threads gives the same bits.
#pragma once

#include <memory>
#include <span>

#include "dispatch.h"
#include "matrix.h"
#include "program.h"

namespace lowbit {

inline constexpr char kReductions[] = "sum | mean | maximum | minimum | product | sum_of_squares | absolute_sum";

struct AxisView {
  std::size_t outer, axis, inner;

  // Throws where it is no view of so many elements.
  void check(const char* where, const Value& input) const;
};

// [outer, axis, inner] -> [outer, inner]
std::unique_ptr<Step> reduce(const KernelSet& kernels, std::size_t x, const Value& input, const AxisView& view, Reduction reduction);

// e^(x - max) / sum along the axis, or its logarithm; within 1e-6 of the exact value.
std::unique_ptr<Step> softmax(const KernelSet& kernels, std::size_t x, const Value& input, const AxisView& view, bool logarithm);

// The place of the largest or smallest element, of equal ones the first or the last; NaN before all else.
std::unique_ptr<Step> find_extreme(std::size_t x, const Value& input, const AxisView& view, bool largest, bool last);

// The `count` largest or smallest elements in order, of equal ones the first, and behind them all their places:
// [outer, axis, inner] -> [2, outer, count, inner]. NaN is larger than all else.
std::unique_ptr<Step> sort_extremes(std::size_t x, const Value& input, const AxisView& view, std::size_t count, bool largest);

// Each element and those before it, summed in float64; `exclusive`: without itself; `backwards`: those behind it.
std::unique_ptr<Step> accumulate(std::size_t x, const Value& input, const AxisView& view, bool exclusive, bool backwards);

// y[j] = sum_t weights[j][t] x[places[j][t]] along the axis, in the order of t: resizing.
std::unique_ptr<Step> resample(std::size_t x, const Value& input, const Value& output, const AxisView& view,
                               const Matrix<std::uint32_t>& places, const Matrix<float>& weights);

}  // namespace lowbit
