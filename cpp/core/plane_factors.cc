#include "plane_factors.h"

#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "error.h"

namespace lowbit {
namespace {

// `count` bits from bit `first` on, low bits first, of a row that has `words` words.
std::uint32_t bits_at(const std::uint32_t* row, std::size_t words, std::size_t first, std::size_t count) {
  const std::size_t word = first / 32, shift = first % 32;
  std::uint64_t both = row[word];
  if (word + 1 < words) both |= std::uint64_t{row[word + 1]} << 32;
  const auto bits = static_cast<std::uint32_t>(both >> shift);
  return count >= 32 ? bits : bits & ((1u << count) - 1);
}

}  // namespace

void PlaneLayout::pack(const Matrix<std::uint32_t>& bits, std::size_t depth, std::size_t units, std::size_t each,
                       std::uint32_t* packed) const {
  const std::size_t source = bits.columns / planes, used = (depth + 31) / 32, taps = words * each / units;
  for (std::size_t o = 0; o < channels; ++o) {
    for (std::size_t j = 0; j < planes; ++j) {
      const std::uint32_t* from = bits.row(o) + j * source;
      const Row to = row(o, j, each);
      for (std::size_t tap = 0; tap < taps; ++tap) {
        for (std::size_t u = 0; u < used; ++u) {
          packed[to.at(tap * units + u)] = bits_at(from, source, tap * depth + 32 * u, depth - 32 * u);
        }
      }
    }
  }
}

const std::byte* pair_inputs(const Place& in, std::size_t rows, void* room) {
  const std::size_t count = rows * in.value->row / sizeof(std::uint64_t);
  auto* pairs = static_cast<std::byte*>(room);
  for (std::size_t n = 0; n < count; ++n) {
    std::uint64_t pair;
    std::memcpy(&pair, in.at + n * sizeof pair, sizeof pair);
    pair ^= pair << 32;
    std::memcpy(pairs + n * sizeof pair, &pair, sizeof pair);
  }
  return pairs;
}

std::int32_t PlaneLayout::pair(std::uint32_t* weights, std::size_t channel, std::size_t plane, std::size_t first,
                               std::size_t last) const {
  std::int32_t ones = 0;
  const Row row = this->row(channel, plane);
  for (std::size_t k = first; k < last; k += 2) {
    std::uint32_t& second = weights[row.at(k + 1)];
    second ^= weights[row.at(k)];
    ones += std::popcount(second);
  }
  return ones;
}

PlaneFactors::PlaneFactors(const char* where, const PlaneWeights& w, unsigned input_planes, std::size_t most)
    : channels_(w.factors.rows) {
  const std::size_t planes = w.factors.columns;
  require(planes >= 1 && planes <= kMaxPlanes, where, "1 to 4 weight planes", planes);
  require(w.input_factors.size() == input_planes, where, {input_planes, " input factors"},
          w.input_factors.size());
  require(w.offsets.empty() || w.offsets.size() == channels_, where, {channels_, " offsets"},
          w.offsets.size());
  std::copy(w.input_factors.begin(), w.input_factors.end(), input_.begin());
  std::int64_t input_reach = 0;
  for (const std::int32_t m : w.input_factors) inputs_ += m, input_reach += std::abs(std::int64_t{m});
  weight_.resize(groups_of(channels_) * planes * kGroup);
  for (std::size_t o = 0; o < channels_; ++o) {
    std::int64_t sum = 0, reach = w.offsets.empty() ? 0 : std::abs(std::int64_t{w.offsets[o]});
    for (std::size_t j = 0; j < planes; ++j) {
      const std::int32_t m = w.factors.row(o)[j];
      if (std::abs(std::int64_t{m}) >= 1 << 24) refuse_program(where, "weight factors below 2^24", Phrase(m));
      sum += m, reach += std::abs(std::int64_t{m});
      weight_[(o / kGroup * planes + j) * kGroup + o % kGroup] = 2 * m;
    }
    const auto n = static_cast<std::int64_t>(std::max<std::size_t>(most, 1));
    const bool fits = input_reach < (1 << 24) && reach < (1 << 30) && input_reach * reach <= (kAccumulatorLimit - 1) / n;
    if (!fits) refuse_program(where, "accumulators below 2^31", {"larger ones in channel ", o});
    sums_.push_back(sum);
  }
}

void PlaneFactors::place(PlaneLayer& layer, std::vector<Finish>& endings) {
  layer.weight_factor = weight_.data();
  std::copy(input_.begin(), input_.end(), layer.input_factor);
  if (layer.input_planes != 1) return;
  for (std::int32_t& factor : weight_) factor *= input_[0];
  layer.input_factor[0] = 1;
  const bool positive = std::all_of(weight_.begin(), weight_.begin() + static_cast<std::ptrdiff_t>(channels_),
                                    [](std::int32_t factor) { return factor > 0; });
  const Finish& any = endings.front();
  if (layer.weight_planes != 1 || !any.has_thresholds() || any.needs_sums() || !positive) return;
  for (Finish& ending : endings) {
    for (std::size_t o = 0; o < channels_; ++o) ending.fold(o, weight_[o]);
  }
  std::fill(weight_.begin(), weight_.end(), 1);
  layer.bare = true;
  const Epilogue end = any.view();
  layer.binary = end.output == Output::planes && end.bits == 1 && end.rank_is_code;
}

void PlaneFactors::narrow(PlaneLayer& layer) {
  constexpr std::int32_t kMost = std::numeric_limits<std::int16_t>::max();
  constexpr std::size_t kPlanes = 2;
  if (!layer.pairs || layer.input_planes != kPlanes || layer.weight_planes != kPlanes || layer.words * 16 > kMost) return;
  const std::int64_t inputs = 2 * std::max(std::abs(std::int64_t{input_[0]}), std::abs(std::int64_t{input_[1]}));
  for (const std::int32_t factor : weight_) {
    if (inputs * std::abs(std::int64_t{factor}) > kMost) return;
  }
  narrow_.resize(weight_.size() / kPlanes * 3);
  for (std::size_t n = 0; n < weight_.size(); ++n) {
    const std::size_t group = n / (kPlanes * kGroup), rest = n % (kPlanes * kGroup), at = group * 3 * kGroup + n % kGroup;
    const std::int32_t low = 2 * input_[0] * weight_[n], high = 2 * input_[1] * weight_[n];
    narrow_[group * 3 * kGroup + rest] = static_cast<std::int32_t>(static_cast<std::uint32_t>(high) << 16 | (static_cast<std::uint32_t>(low) & 0xffff));
    narrow_[at + kPlanes * kGroup] += weight_[n];
  }
  layer.narrow_factor = narrow_.data();
}

std::int32_t PlaneFactors::pair_constant(const PlaneLayer& layer, std::size_t channel,
                                         std::span<const std::int32_t> ones) const {
  std::int64_t inputs = 0, sum = 0;
  for (unsigned i = 0; i < layer.input_planes; ++i) inputs += layer.input_factor[i];
  for (std::size_t j = 0; j < ones.size(); ++j) {
    sum += std::int64_t{weight_[(channel / kGroup * ones.size() + j) * kGroup + channel % kGroup]} * ones[j];
  }
  return static_cast<std::int32_t>(-inputs * sum);
}

}  // namespace lowbit
