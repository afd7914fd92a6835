#include "byte_form.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <numeric>

namespace lowbit {
namespace {

constexpr std::int32_t kLeast = -128, kMost = 127;
constexpr std::int32_t kSteps = 255;

// Far below where int32 could wrap.
constexpr std::int32_t kLargest = 1 << 24;

// The level of every code: the sum of factor * sign, and an offset.
std::vector<std::int32_t> levels_of(const std::int32_t* factors, std::size_t planes, std::int32_t offset) {
  std::vector<std::int32_t> levels(std::size_t{1} << planes, offset);
  for (std::size_t code = 0; code < levels.size(); ++code) {
    for (std::size_t i = 0; i < planes; ++i) levels[code] += (code >> i & 1) != 0 ? factors[i] : -factors[i];
  }
  return levels;
}

bool small(std::span<const std::int32_t> numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](std::int32_t n) { return n > -kLargest && n < kLargest; });
}

// Whether these are the weights of so many inputs; others are for the layer of planes to refuse.
bool hold(const PlaneWeights& w, std::size_t inputs) {
  const std::size_t channels = w.factors.rows, planes = w.factors.columns;
  return planes >= 1 && planes <= kMaxPlanes && w.planes.rows == channels &&
         w.planes.columns == planes * (round_up(inputs, 32) / 32) && (w.offsets.empty() || w.offsets.size() == channels) &&
         small({w.factors.data, channels * planes}) && small(w.offsets);
}

}  // namespace

// Rows of planes as whole levels, one at a time.
class WeightRows final {
 public:
  WeightRows(const PlaneWeights& weights, std::size_t inputs, std::span<const std::uint32_t> order)
      : weights_(weights), order_(order), levels_(inputs), ordered_(order.size()) {}

  // Of every code of row o.
  std::vector<std::int32_t> levels(std::size_t o) const {
    return levels_of(weights_.factors.row(o), weights_.factors.columns, weights_.offsets.empty() ? 0 : weights_.offsets[o]);
  }

  std::span<const std::int32_t> row(std::size_t o) {
    const std::size_t planes = weights_.factors.columns, words = weights_.planes.columns / planes;
    const std::vector<std::int32_t> level = levels(o);
    const std::uint32_t* plane = weights_.planes.row(o);
    for (std::size_t first = 0; first < levels_.size(); first += 32, ++plane) {
      std::array<std::uint32_t, kMaxPlanes> bits{};
      for (std::size_t j = 0; j < planes; ++j) bits[j] = plane[j * words];
      const std::size_t end = std::min<std::size_t>(first + 32, levels_.size());
      for (std::size_t n = first; n < end; ++n) {
        std::size_t code = 0;
        for (std::size_t j = 0; j < kMaxPlanes; ++j) code |= std::size_t{bits[j] & 1u} << j, bits[j] >>= 1;
        levels_[n] = level[code];
      }
    }
    if (order_.empty()) return levels_;
    for (std::size_t n = 0; n < order_.size(); ++n) ordered_[n] = levels_[order_[n]];
    return ordered_;
  }

 private:
  const PlaneWeights& weights_;
  std::span<const std::uint32_t> order_;
  std::vector<std::int32_t> levels_, ordered_;
};

namespace {

// The largest power of two that divides every weight, where they need it; else 1. Mostly the levels say that they do not.
std::int32_t unit_of(WeightRows& rows, std::size_t channels, std::int64_t step) {
  std::int32_t any = 0;
  const auto all_fit = [&](const auto& row_of) {
    bool fit = true;
    for (std::size_t o = 0; o < channels; ++o) {
      for (const std::int32_t level : row_of(o)) fit = fit && level * step >= kLeast && level * step <= kMost, any |= level;
    }
    return fit;
  };
  if (all_fit([&](std::size_t o) { return rows.levels(o); })) return 1;
  any = 0;
  return all_fit([&](std::size_t o) { return rows.row(o); }) ? 1 : std::max(any & -any, 1);
}

template <class T>
std::vector<T> in_units(const Matrix<T>& thresholds, std::int32_t unit) {
  std::vector<T> out(thresholds.data, thresholds.data + thresholds.rows * thresholds.columns);
  for (T& threshold : out) threshold = threshold / unit - (threshold % unit < 0 ? 1 : 0);
  return out;
}

}  // namespace

std::optional<ByteCodes> ByteCodes::of(std::span<const std::int32_t> factors) {
  if (factors.empty() || factors.size() > kMaxPlanes || !small(factors)) return {};
  const std::vector<std::int32_t> levels = levels_of(factors.data(), factors.size(), 0);
  const auto [least, most] = std::minmax_element(levels.begin(), levels.end());
  ByteCodes codes{levels.size(), *least, 1, {}};
  if (*most - *least > kSteps) {
    codes.step = 0;
    for (const std::int32_t level : levels) codes.step = std::gcd(codes.step, level - *least);
  }
  if ((*most - *least) / codes.step > kSteps) return {};
  for (std::size_t n = 0; n < levels.size(); ++n) {
    codes.byte[n] = static_cast<std::uint8_t>((levels[n] - *least) / codes.step);
    codes.merges |= std::find(codes.byte.begin(), codes.byte.begin() + n, codes.byte[n]) != codes.byte.begin() + n;
  }
  return codes;
}

std::optional<ByteForm> ByteForm::of(const PlaneWeights& w, const ByteCodes& input, const TapRegions& taps,
                                     std::span<const std::uint32_t> order) {
  if (!hold(w, taps.inputs)) return {};
  WeightRows rows(w, taps.inputs, order);
  ByteForm form;
  form.channels_ = w.factors.rows;
  form.unit_ = unit_of(rows, form.channels_, input.step);
  if (!form.pack(rows, input, taps)) return {};
  const auto none = [](std::int32_t factor) { return factor == 0; };
  if (std::all_of(form.row_factor_.begin(), form.row_factor_.end(), none)) form.row_factor_.clear();
  return form;
}

bool ByteForm::pack(WeightRows& rows, const ByteCodes& input, const TapRegions& taps) {
  const bool alike = std::all_of(taps.valid.begin(), taps.valid.end(),
                                 [&](const std::vector<std::size_t>& valid) { return valid == taps.valid[0]; });
  const std::size_t regions = alike ? 1 : taps.valid.size();
  weights_.resize(channels_ * taps.inputs), constant_.resize(regions * channels_), row_factor_.resize(channels_);
  std::vector<std::int64_t> stepped(taps.inputs), sums(taps.inputs / taps.depth);
  for (std::size_t o = 0; o < channels_; ++o) {
    std::fill(sums.begin(), sums.end(), 0);
    const std::span<const std::int32_t> levels = rows.row(o);
    for (std::size_t n = 0; n < levels.size(); ++n) {
      const std::int64_t level = levels[n] / unit_;
      sums[n / taps.depth] += level, stepped[n] = level * input.step;
    }
    const auto [least, most] = std::minmax_element(stepped.begin(), stepped.end());
    const std::int64_t factor = std::max<std::int64_t>(*most - kMost, 0) + std::min<std::int64_t>(*least - kLeast, 0);
    if (*most - factor > kMost || *least - factor < kLeast) return false;
    row_factor_[o] = static_cast<std::int32_t>(factor);
    for (std::size_t n = 0; n < stepped.size(); ++n) {
      weights_[o * stepped.size() + n] = static_cast<std::int8_t>(stepped[n] - factor);
    }
    for (std::size_t r = 0; r < regions; ++r) {
      std::int64_t sum = 0;
      for (const std::size_t tap : taps.valid[r]) sum += sums[tap];
      sum *= input.lowest;
      if (std::abs(sum) >= kAccumulatorLimit) return false;
      constant_[r * channels_ + o] = static_cast<std::int32_t>(sum);
    }
  }
  return true;
}

ByteWeights ByteForm::weights() const {
  return {{weights_.data(), channels_, weights_.size() / channels_}, constant_, row_factor_};
}

steps::Ending ByteForm::ending(const steps::Ending& of) {
  if (unit_ == 1) return of;
  steps::Ending changed = of;
  const auto scaled = [&](std::span<const double>& scale) {
    scale_.assign(scale.begin(), scale.end());
    for (double& one : scale_) one *= unit_;
    scale = scale_;
  };
  std::visit([&](auto& end) {
    if constexpr (requires { end.scale; }) scaled(end.scale);
    if constexpr (requires { end.shift; }) end.shift -= std::countr_zero(static_cast<unsigned>(unit_));
    if constexpr (requires { end.thresholds; }) {
      auto& floors = [&]() -> auto& {
        if constexpr (std::is_same_v<decltype(end.thresholds), Matrix<std::int32_t>>) return thresholds_;
        else return wide_thresholds_;
      }();
      floors = in_units(end.thresholds, unit_);
      end.thresholds.data = floors.data();
    }
  }, changed);
  return changed;
}

}  // namespace lowbit
