#include "plane_tiles.h"

#include <bit>
#include <cstdlib>

namespace lowbit {
namespace {

// Rows times pairs of bits from which on tiles are quicker than counting, and rows that fill half a tile at least. Of one pair never.
// Not measured: by the prototype that paths.inc tells of.
constexpr std::size_t kLeastRows = 8, kLeastWork = 64;

}  // namespace

PlaneTiles::PlaneTiles(const KernelSet& kernels, const PlaneLayer& layer, const PlaneWeights& weights)
    : inputs_(kernels.tile_inputs.run), planes_(kernels.tile_planes.run), stride_((layer.words / 2 | 1) * kCacheLine) {
  layer_.planes = &layer;
  usable_ = kernels.paths.may(Path::tiles) && layer.pairs && set_levels();
  if (usable_) set_constants(weights);
}

bool PlaneTiles::suit(std::size_t rows) const {
  const std::size_t pairs = std::size_t{layer_.planes->input_planes} * layer_.planes->weight_planes;
  return usable_ && pairs > 1 && rows >= kLeastRows && rows * pairs >= kLeastWork;
}

Rows PlaneTiles::inputs(const Rows& planes, void* room) const {
  const auto start = round_up(reinterpret_cast<std::uintptr_t>(room), kCacheLine);
  auto* bytes = reinterpret_cast<std::byte*>(start);
  inputs_(layer_, planes, bytes, stride_);
  Rows rows = planes;
  rows.x = bytes, rows.x_row = stride_, rows.x_plane = 0;
  return rows;
}

// Factors of weights are even but where they are 1, so that sums are halved.
bool PlaneTiles::set_levels() {
  const PlaneLayer& of = *layer_.planes;
  std::int32_t most = 0, any = 0;
  for (unsigned i = 0; i < of.input_planes; ++i) {
    if (of.input_factor[i] < 0 || (most += of.input_factor[i]) > 255) return false;
    layer_.input[i] = static_cast<std::uint8_t>(of.input_factor[i]);
  }
  const std::size_t planes = of.weight_planes;
  for (std::size_t n = 0; n < of.groups * planes * kGroup; ++n) any |= of.weight_factor[n];
  layer_.shift = any % 2 == 0 ? 1 : 0;
  weight_.resize(of.groups * (1 + planes) * kGroup);
  for (std::size_t o = 0; o < of.groups * kGroup; ++o) {
    std::int32_t reach = 0, sum = 0;
    for (std::size_t j = 0; j < planes; ++j) {
      const std::int32_t factor = of.weight_factor[(o / kGroup * planes + j) * kGroup + o % kGroup] / (1 << layer_.shift);
      if (std::abs(factor) > 127 || (reach += std::abs(factor)) > 127) return false;
      sum += factor;
      weight_[(o / kGroup * (1 + planes) + 1 + j) * kGroup + o % kGroup] = static_cast<std::uint8_t>(2 * factor);
    }
    weight_[o / kGroup * (1 + planes) * kGroup + o % kGroup] = static_cast<std::uint8_t>(-sum);
  }
  layer_.weight = weight_.data();
  return true;
}

// What counting puts into the constant or the thresholds is popcount(W) of W = w1 ^ w2; here it is popcount(w1) + popcount(w2), which
// is more by twice that of w1 & w2.
void PlaneTiles::set_constants(const PlaneWeights& weights) {
  const PlaneLayer& of = *layer_.planes;
  layer_.epilogue = of.epilogue;
  constant_.assign(of.epilogue.constant, of.epilogue.constant + of.groups * kGroup);
  layer_.epilogue.constant = constant_.data();
  std::int64_t inputs = 0;
  for (unsigned i = 0; i < of.input_planes; ++i) inputs += of.input_factor[i];
  const std::size_t planes = of.weight_planes, words = weights.planes.columns / planes;
  for (std::size_t o = 0; o < weights.factors.rows; ++o) {
    std::int64_t sum = 0;
    for (std::size_t j = 0; j < planes; ++j) {
      const std::uint32_t* row = weights.planes.row(o) + j * words;
      std::int64_t both = 0;
      for (std::size_t k = 0; k + 1 < words; k += 2) both += std::popcount(row[k] & row[k + 1]);
      sum += both * of.weight_factor[(o / kGroup * planes + j) * kGroup + o % kGroup];
    }
    constant_[o] = static_cast<std::int32_t>(constant_[o] - 2 * inputs * sum);
  }
}

}  // namespace lowbit
