// Products of floats that are computed both: the second matrix is laid out as float layers have their weights, and their kernels do
// the rest. Sums run in the order of the common axis.
#pragma once

#include <memory>

#include "dispatch.h"
#include "program.h"

namespace lowbit {

// [batches, rows, depth] times [batches, depth, columns], or [batches, columns, depth] where it is transposed. Either side may have
// fewer batches, which are repeated a whole number of times.
struct ProductShape {
  std::size_t batches, rows, depth, columns;
  bool transposed;
};

std::unique_ptr<Step> matrix_product(const KernelSet& kernels, std::size_t x, std::size_t y, const Value& left, const Value& right,
                                     const ProductShape& shape);

// Of weights: [channels][features], or [features][channels] where the strides say so -> [groups][features][16].
void pack_rows(const float* from, std::size_t channels, std::size_t features, std::size_t channel_step, std::size_t feature_step,
               float* to);

}  // namespace lowbit
