// lowbit.schemes.fitting._descent: what restoring a layer's output does coordinate by coordinate.
#include "../core/descent.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using namespace lowbit;

template <class T, int kRank>
using Array = nb::ndarray<T, nb::ndim<kRank>, nb::c_contig, nb::device::cpu>;
using Rows = Array<double, 2>;
using Constants = Array<const double, 2>;

Matrix<double> matrix(const Constants& array) { return {array.data(), array.shape(0), array.shape(1)}; }

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

void require_shapes(const Constants& metric, const Rows& values, const Rows& residual, std::size_t grids) {
  const std::size_t outputs = values.shape(0), inputs = values.shape(1);
  require(metric.shape(0) == inputs && metric.shape(1) == inputs, "the metric has a row and a column for every input");
  require(residual.shape(0) == outputs && residual.shape(1) == inputs, "a residual for every value");
  require(grids == 1 || grids == outputs, "one grid, or one for every output");
}

void descend_levels(const Constants& metric, const Constants& levels, const Rows& values, const Rows& residual, std::size_t sweeps) {
  require_shapes(metric, values, residual, levels.shape(0));
  require(levels.shape(1) > 0, "a level at least");
  nb::gil_scoped_release alone;
  descend(matrix(metric), LevelGrid{matrix(levels)}, values.shape(0), sweeps, values.data(), residual.data());
}

void descend_even(const Constants& metric, const Constants& bounds, const Rows& values, const Rows& residual, std::size_t sweeps) {
  require(bounds.shape(0) == 3, "a scale, and the least and the most of it");
  const std::size_t rows = bounds.shape(1);
  require_shapes(metric, values, residual, rows);
  const double* at = bounds.data();
  nb::gil_scoped_release alone;
  descend(matrix(metric), EvenGrid{rows, at, at + rows, at + 2 * rows}, values.shape(0), sweeps, values.data(), residual.data());
}

void follow_codes(const Constants& metric, const Constants& table, const Array<const std::uint8_t, 2>& before,
                  const Array<const std::uint8_t, 2>& after, const Array<double, 3>& products) {
  const std::size_t outputs = products.shape(0), inputs = products.shape(2);
  require(metric.shape(0) == inputs && metric.shape(1) == inputs, "the metric has a row and a column for every input");
  require(table.shape(1) == products.shape(1), "a column of the table for every plane");
  for (const auto& codes : {before, after}) {
    require(codes.shape(0) == outputs && codes.shape(1) == inputs, "a code for every weight");
    for (std::size_t n = 0; n < outputs * inputs; ++n) require(codes.data()[n] < table.shape(0), "codes of the table");
  }
  nb::gil_scoped_release alone;
  follow(matrix(metric), matrix(table), outputs, before.data(), after.data(), products.data());
}

}  // namespace

NB_MODULE(_descent, module) {
  nb::set_leak_warnings(false);
  module.def("descend_levels", &descend_levels, "metric"_a, "levels"_a, "values"_a.noconvert(), "residual"_a.noconvert(), "sweeps"_a,
             "Coordinate descent on ascending levels [o or 1, l]; values and residual [o, d] change in place.");
  module.def("descend_even", &descend_even, "metric"_a, "bounds"_a, "values"_a.noconvert(), "residual"_a.noconvert(), "sweeps"_a,
             "The same on multiples of scales; bounds [3, o or 1] are scales, least and most multiples.");
  module.def("follow", &follow_codes, "metric"_a, "table"_a, "before"_a, "after"_a, "products"_a.noconvert(),
             "Brings products [o, planes, d] of planes and metric up to date after codes [o, d] changed.");
}
