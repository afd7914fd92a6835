// Weights of a layer move to better values of a grid, one coordinate after another, in the metric of the layer's inputs.
//
// The error of an output's weights v, with target t and metric H, is (v - t) H (v - t)^T. With r = H (v - t) the best value
// of coordinate j is the grid's nearest to v_j - r_j / H_jj; where v_j moves by e, r moves by e times row j of H. Few move
// in a sweep, so this costs a small part of the products of whole matrices. Sums run in one order, each term rounded by
// itself: bits do not depend on the machine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "matrix.h"

namespace lowbit {

// The values that the weights of every output may take. Of one row, it is that of all outputs.
struct LevelGrid {
  Matrix<double> levels;  // [outputs or 1, count], rising; a tie takes the lower one

  double nearest(std::size_t output, double value) const;
};

// Whole numbers of a scale, from `least` to `most` of them; a tie takes the even one.
struct EvenGrid {
  std::size_t rows;
  const double *scale, *least, *most;  // [rows], rows = outputs or 1

  double nearest(std::size_t output, double value) const;
};

// Sweeps over all coordinates, until nothing moves any more. values, residual: [outputs, inputs], changed in place.
void descend(const Matrix<double>& metric, const LevelGrid& grid, std::size_t outputs, std::size_t sweeps, double* values, double* residual);
void descend(const Matrix<double>& metric, const EvenGrid& grid, std::size_t outputs, std::size_t sweeps, double* values, double* residual);

// Codes [outputs, inputs] were `before` and are `after`; row c of the table says what code c adds to every plane. Brings the
// products of planes and metric, [outputs, planes, inputs], up to date.
void follow(const Matrix<double>& metric, const Matrix<double>& table, std::size_t outputs, const std::uint8_t* before,
            const std::uint8_t* after, double* products);

}  // namespace lowbit
