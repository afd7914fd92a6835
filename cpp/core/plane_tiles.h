// Fully connected layers of planes where there are many rows: their codes become bytes, and products of bytes give the same sums,
// from the same weights. With U = sum_i mx_i x_i and V = sum_j mw_j (2 w_j - 1) for the bits x_i and w_j,
//   - sum_ij mx_i mw_j popcount(x_i ^ w_j) = sum_n U_n V_n - sum_i mx_i sum_j mw_j popcount(w_j).
#pragma once

#include "dispatch.h"
#include "plane_factors.h"

namespace lowbit {

class PlaneTiles final {
 public:
  // Of a layer that is ready, in pairs, and its own weights. They need not be usable: then no kernel has tiles, or levels do not fit bytes.
  PlaneTiles(const KernelSet& kernels, const PlaneLayer& layer, const PlaneWeights& weights);

  // Whether so many rows are worth it.
  bool suit(std::size_t rows) const;
  // Numbers of int32 that a row takes, and once more.
  std::size_t scratch() const { return usable_ ? stride_ / sizeof(std::int32_t) + kCacheLine / sizeof(std::int32_t) : 0; }

  // The rows as bytes, in `room`; then their layer, group by group.
  Rows inputs(const Rows& planes, void* room) const;
  void run(const Rows& bytes, Groups groups) const { planes_(layer_, bytes, groups); }

 private:
  bool set_levels();
  void set_constants(const PlaneWeights& weights);

  tile_inputs_kernel* inputs_;
  tile_planes_kernel* planes_;
  PlaneTileLayer layer_{};
  Aligned<std::uint8_t> weight_;
  Aligned<std::int32_t> constant_;
  std::size_t stride_;
  bool usable_ = false;
};

}  // namespace lowbit
