// How a layer ends: thresholds, scales and constants in the kernels' layout.
#pragma once

#include <algorithm>
#include <memory>
#include <span>

#include "kernel.h"
#include "layer_ending.h"
#include "memory.h"

namespace lowbit {

// How a layer ends, as the caller says it; see Epilogue.
struct EpilogueSpec {
  Output output = Output::real;
  Matrix<std::int32_t> thresholds{};       // planes, bytes: [channels, 2^bits - 1]
  std::span<const std::uint8_t> table{};   // planes, bytes: [2^bits]
  std::span<const double> scale{}, bias{};  // affine, real: [channels]
  double out_scale = 1, out_zero = 0, out_top = 255;
  EndingSpec other{};  // other
};

// One of `parts` shares of all groups, in whole blocks.
inline Groups groups_of_part(std::size_t groups, std::size_t part, std::size_t parts) {
  if (parts == 1) return {0, groups};
  const std::size_t blocks = round_up(groups, kBlock) / kBlock;
  return {std::min(blocks * part / parts * kBlock, groups), std::min(blocks * (part + 1) / parts * kBlock, groups)};
}

// The arrays behind an Epilogue.
class Finish final {
 public:
  // wide: the sums have 64 bits, as only layers of words do. other: an ending of the same layer in another region, with
  // which this one has what does not differ.
  Finish(const char* where, std::size_t channels, const EpilogueSpec& spec, bool wide = false, const Finish* other = nullptr);

  Aligned<std::int32_t>& constant() { return constant_; }
  void set_row_factor(std::span<const std::int32_t> factor);
  bool has_thresholds() const { return !thresholds_.empty(); }
  bool needs_sums() const { return !row_factor_.empty(); }

  // Divides the accumulator out of the comparison: constant + factor * s > T  <=>  s > floor((T - constant) / factor).
  void fold(std::size_t channel, std::int32_t factor);

  // Thresholds of one layer in pairs, whose weights have `ones` bits W: see PlaneLayer.
  void pair(std::size_t channel, std::int32_t ones);

  // Points into this object.
  Epilogue view() const;

 private:
  void set_thresholds(const char* where, std::size_t channels, const EpilogueSpec& spec);
  void set_scales(const char* where, std::size_t channels, const EpilogueSpec& spec);
  void set_rounding(const char* where, const EpilogueSpec& spec, Aligned<double>& scales);

  Epilogue epilogue_;
  Aligned<std::int32_t> constant_, row_factor_, thresholds_;
  std::shared_ptr<const Aligned<double>> scale_;
  Aligned<double> bias_;
  std::unique_ptr<LayerEnding> other_;
  std::unique_ptr<Ending> ending_;  // a place of its own, which kernels are told
};

}  // namespace lowbit
