#include "map_layer.h"

#include <algorithm>

#include "error.h"

namespace lowbit {
namespace {

template <class T>
Matrix<T> rows_of_region(const Matrix<T>& all, std::size_t channels, std::size_t region) {
  return {all.data + region * channels * all.columns, all.data == nullptr ? 0 : channels, all.columns};
}

template <class T>
std::span<const T> of_region(std::span<const T> all, std::size_t channels, std::size_t region) {
  return all.empty() ? all : all.subspan(region * channels, channels);
}

}  // namespace

void check_shape(const char* where, const Value& input, const Value& output, const WindowSpec& window,
                 const WindowPlan& plan, std::size_t weights) {
  const std::size_t group = window.group, channels = output.channels();
  require(group >= 1 && input.channels() % group == 0 && channels % group == 0, where,
          "groups that divide the channels", group);
  const std::size_t expected = plan.taps() * (input.channels() / group);
  require(weights == expected, where, {expected, " weights a channel"}, weights);
  require(output.height == plan.height() && output.width == plan.width() && output.pixel != 0, where,
          {"an output of ", plan.height(), " x ", plan.width()},
          {output.height, " x ", output.width});
}

std::vector<Finish> endings_of(const char* where, std::size_t channels, std::size_t regions, const EpilogueSpec& spec,
                               bool apart, bool wide) {
  const EndingSpec& other = spec.other;
  const bool own_thresholds = std::max(spec.thresholds.rows, other.thresholds.rows) == channels * regions;
  const bool own_bias = std::max(spec.bias.size(), other.bias.size()) == channels * regions;
  std::vector<Finish> endings;
  endings.reserve(regions);
  for (std::size_t r = 0; r < regions; ++r) {
    EpilogueSpec one = spec;
    if (own_thresholds) one.thresholds = rows_of_region(spec.thresholds, channels, r);
    if (own_thresholds) one.other.thresholds = rows_of_region(other.thresholds, channels, r);
    if (own_bias) one.bias = of_region(spec.bias, channels, r), one.other.bias = of_region(other.bias, channels, r);
    endings.emplace_back(where, channels, one, wide, endings.empty() ? nullptr : &endings.front());
    if (!apart && !own_thresholds && !own_bias) break;
  }
  return endings;
}

GroupUnits group_units(const Value& input, std::size_t channels, std::size_t group, std::size_t lanes) {
  const std::size_t all = input.pixel / 4, each = channels / group, depth = input.channels() / group;
  if (group == 1) return {all, {}};
  GroupUnits units{1, {}};
  std::vector<std::size_t> firsts;
  for (std::size_t o = 0; o < channels; o += kGroup) {
    const std::size_t last = std::min(o + kGroup, channels) - 1;
    const std::size_t first = o / each * depth / lanes, end = round_up((last / each + 1) * depth, lanes) / lanes;
    firsts.push_back(first), units.count = std::max(units.count, end - first);
  }
  for (const std::size_t first : firsts) {
    units.shift.push_back(static_cast<std::uint32_t>(4 * std::min(first, all - units.count)));
  }
  return units;
}

Aligned<std::int8_t> unpacked_quads(const Matrix<std::int8_t>& weights) {
  constexpr std::size_t kBytes = 64;
  const std::size_t quads = round_up(weights.columns, 4) / 4, lanes = std::max(kBytes / weights.rows, std::size_t{1}) * weights.rows;
  Aligned<std::int8_t> packed(round_up(weights.rows, kBytes) * quads * 4);
  for (std::size_t o = 0; o < lanes; ++o) {
    const std::size_t vector = o % 16 / 4, lane = o % kBytes / 16 * 4 + o % 4;
    for (std::size_t n = 0; n < weights.columns; ++n) {
      packed[(((o / kBytes * quads + n / 4) * 4 + vector) * 16 + lane) * 4 + n % 4] = weights.row(o % weights.rows)[n];
    }
  }
  return packed;
}

GroupUnits depthwise_units(std::size_t channels, std::size_t element) {
  GroupUnits units{1, {}};
  for (std::size_t o = 0; o < channels; o += kGroup) units.shift.push_back(static_cast<std::uint32_t>(o * element));
  return units;
}

}  // namespace lowbit
