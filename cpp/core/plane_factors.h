// Factors of planes: the level of a code is the sum of factor * sign, for weights plus an integer offset.
//   sum_n X_n W_n = n sum_i mx_i sum_j mw_j - sum_ij (2 mx_i mw_j) popcount, plus offset * sum_n X_n
#pragma once

#include <array>
#include <span>
#include <vector>

#include "fields.h"
#include "finish.h"
#include "program.h"

namespace lowbit {

// What an accumulator ends as is checked to stay below this. Partial sums may wrap: they are exact modulo 2^32.
inline constexpr std::int64_t kAccumulatorLimit = std::int64_t{1} << traits(Path::popcount).sum_bits;

struct PlaneWeights {
  Matrix<std::uint32_t> planes;              // [channels, weight planes * words]
  Matrix<std::int32_t> factors;              // [channels, weight planes]
  std::span<const std::int32_t> offsets;     // [channels], or empty
  std::span<const std::int32_t> input_factors;  // [input planes]
  LOWBIT_FIELDS(PlaneWeights, planes, factors, offsets, input_factors)
};

// Weights for a kernel: blocks of `lanes` channels, the last one of as many groups as are left; in a block
// [words][planes][channels], or [pairs of words][planes][2][channels].
struct PlaneLayout {
  std::size_t channels, words, planes, lanes, together;

  std::size_t size() const { return round_up(channels, kGroup) * words * planes; }
  // Where the word of a channel and a plane is.
  std::size_t at(std::size_t channel, std::size_t word, std::size_t plane) const {
    const std::size_t block = channel / lanes * lanes, width = std::min(lanes, round_up(channels, kGroup) - block);
    const std::size_t before = (word / together * planes + plane) * together + word % together;
    return block * words * planes + before * width + channel - block;
  }

  // Where words of 32 bits of a channel and a plane are, where the kernel's own have `each` of them, 1 or 2: without divisions.
  struct Row {
    std::size_t first, step, inner;  // of pairs of words, or of words
    unsigned each, together;         // as powers of two

    std::size_t at(std::size_t k) const {
      const std::size_t word = k >> each, part = word & ((std::size_t{1} << together) - 1);
      return ((first + (word >> together) * step + part * inner) << each) + (k & ((std::size_t{1} << each) - 1));
    }
  };
  Row row(std::size_t channel, std::size_t plane, std::size_t each = 1) const {
    const std::size_t block = channel / lanes * lanes, width = std::min(lanes, round_up(channels, kGroup) - block);
    return {block * words * planes + plane * together * width + channel - block, planes * together * width, width,
            each == 2 ? 1u : 0u, together == 2 ? 1u : 0u};
  }

  // Weights of planes, [channels][planes][bits], `depth` bits of every tap in `units` words of 32 bits; see Row for `each`.
  void pack(const Matrix<std::uint32_t>& bits, std::size_t depth, std::size_t units, std::size_t each, std::uint32_t* packed) const;

  // Words [first, last) of a channel and a plane from (w1, w2) to (w1, W = w1 ^ w2); returns the ones of all W.
  std::int32_t pair(std::uint32_t* weights, std::size_t channel, std::size_t plane, std::size_t first, std::size_t last) const;
};

// (x1, x2) -> (x1, x1 ^ x2) for all rows of planes, to where a step has room; see PlaneLayer.
const std::byte* pair_inputs(const Place& in, std::size_t rows, void* room);

class PlaneFactors final {
 public:
  // Checks the weights' shape, and that the accumulators of `most` inputs fit.
  [[gnu::cold]] PlaneFactors(const char* where, const PlaneWeights& weights, unsigned input_planes, std::size_t most);

  // n sum_i mx_i sum_j mw_j
  std::int32_t constant(std::size_t channel, std::size_t n) const {
    return static_cast<std::int32_t>(static_cast<std::int64_t>(n) * inputs_ * sums_[channel]);
  }

  // Fills in what the layer has of factors, which stay here. One input plane: its factor joins the weights'.
  // One weight plane as well, and thresholds: both go into the thresholds of all the endings.
  [[gnu::cold]] void place(PlaneLayer& layer, std::vector<Finish>& endings);

  // Of a layer in pairs that has been placed: its narrow factors, if there are such.
  void narrow(PlaneLayer& layer);

  // Of a layer in pairs that has been placed: minus the weighted popcount(W), by weight plane.
  std::int32_t pair_constant(const PlaneLayer& layer, std::size_t channel, std::span<const std::int32_t> ones) const;

  const std::array<std::int32_t, kMaxPlanes>& input() const { return input_; }

 private:
  std::size_t channels_;
  std::int64_t inputs_ = 0;
  std::vector<std::int64_t> sums_;
  Aligned<std::int32_t> weight_, narrow_;
  std::array<std::int32_t, kMaxPlanes> input_{};
};

}  // namespace lowbit
