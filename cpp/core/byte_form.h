// Layers of planes as layers of bytes: the same integers, summed by dot products instead of counted.
//   sum_n X_n W_on = X_min sum_n W_on + step sum_n u_n W_on,   X = X_min + step u
// A byte holds u; weights hold step W, less what a row takes off to fit int8 (its row factor), where all sums may be in units
// of a power of two that divides every W: scales grow by it, thresholds T become floor(T / unit).
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "steps.h"

namespace lowbit {

// What codes of planes are as bytes.
struct ByteCodes {
  std::size_t count = 0;  // of codes
  std::int32_t lowest = 0, step = 1;
  std::array<std::uint8_t, std::size_t{1} << kMaxPlanes> byte{};  // by code
  bool merges = false;  // codes of one level have one byte: only planes tell them apart

  // Of a value whose levels are the sums of factor * sign. Nothing where more than 255 steps lie between levels.
  static std::optional<ByteCodes> of(std::span<const std::int32_t> factors);
  bool operator==(const ByteCodes&) const = default;
};

// Where weights meet the input: `inputs` in a row of weights, `depth` of them in a tap, and the taps that count in every region
// of outputs.
struct TapRegions {
  std::size_t inputs, depth;
  std::vector<std::vector<std::size_t>> valid;
};

// A layer's arrays in bytes.
class ByteForm final {
 public:
  // `order`: where input n of the new weights is in the old ones; empty where they lie alike. Nothing where weights or sums do
  // not fit.
  static std::optional<ByteForm> of(const PlaneWeights& weights, const ByteCodes& input, const TapRegions& taps,
                                    std::span<const std::uint32_t> order);

  ByteWeights weights() const;
  // The ending for sums in units; it may look into this object.
  steps::Ending ending(const steps::Ending& of);
  std::size_t bytes() const { return weights_.size(); }
  bool has_row_factor() const { return !row_factor_.empty(); }

 private:
  bool pack(class WeightRows& rows, const ByteCodes& input, const TapRegions& taps);

  std::size_t channels_ = 0;
  std::int32_t unit_ = 1;
  std::vector<std::int8_t> weights_;
  std::vector<std::int32_t> constant_, row_factor_, thresholds_;
  std::vector<std::int64_t> wide_thresholds_;
  std::vector<double> scale_;
};

}  // namespace lowbit
