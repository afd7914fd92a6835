#include "layer_ending.h"

#include <bit>
#include <cmath>
#include <limits>

#include "error.h"

namespace lowbit {
namespace {

bool shifts(Rule rule) { return rule == Rule::shift_up || rule == Rule::shift_down; }
bool is_plus_zero(double value) { return std::bit_cast<std::uint64_t>(value) == 0; }

std::int32_t integer(Form form, std::uint16_t entry) {
  return form == Form::words ? std::int32_t{static_cast<std::int16_t>(entry)} : std::int32_t{entry};
}

template <class Number>
Number saturated(std::int64_t value) {
  return static_cast<Number>(std::clamp<std::int64_t>(value, std::numeric_limits<Number>::min(), std::numeric_limits<Number>::max()));
}

// [channels, steps] -> [groups][steps][16]; what has no channel is never exceeded.
template <class Number>
Aligned<Number> grouped(const Matrix<std::int64_t>& thresholds) {
  const std::size_t steps = thresholds.columns;
  Aligned<Number> out(groups_of(thresholds.rows) * steps * kGroup, std::numeric_limits<Number>::max());
  for (std::size_t o = 0; o < thresholds.rows; ++o) {
    for (std::size_t c = 0; c < steps; ++c) out[(o / kGroup * steps + c) * kGroup + o % kGroup] = saturated<Number>(thresholds.row(o)[c]);
  }
  return out;
}

}  // namespace

std::int32_t EndingSpec::least() const {
  if (rule != Rule::ranks) return low - base;
  std::int32_t least = std::numeric_limits<std::int32_t>::max();
  for (const std::uint16_t entry : table) least = std::min(least, integer(form, entry));
  return least;
}

std::int32_t EndingSpec::most() const {
  if (rule != Rule::ranks) return high - base;
  std::int32_t most = std::numeric_limits<std::int32_t>::min();
  for (const std::uint16_t entry : table) most = std::max(most, integer(form, entry));
  return most;
}

void EndingSpec::check_range(const char* where, unsigned bits) const {
  const std::int32_t largest = form == Form::words   ? std::numeric_limits<std::int16_t>::max()
                               : form == Form::bytes ? 255
                                                     : (1 << bits) - 1;
  const std::int32_t smallest = form == Form::words ? std::numeric_limits<std::int16_t>::min() : 0;
  const bool small = std::abs(std::int64_t{low}) <= 1 << 16 && std::abs(std::int64_t{high}) <= 1 << 16;
  require(small && low <= high && least() >= smallest && most() <= largest, where,
          {"integers from ", smallest, " to ", largest},
          {least(), " to ", most()});
}

LayerEnding::LayerEnding(const char* where, std::size_t channels, const EndingSpec& spec, bool wide) {
  ending_.rule = spec.rule, ending_.form = spec.form, ending_.channels = channels;
  ending_.shift = spec.shift, ending_.step = spec.step;
  ending_.low = spec.low, ending_.high = spec.high, ending_.base = spec.base;
  require((spec.rule == Rule::real) == (spec.form == Form::reals), where, "reals from the rule for them alone", "others");
  require(spec.form != Form::planes || spec.rule == Rule::ranks, where, "planes of ranks", "others");
  if (spec.rule == Rule::ranks) {
    set_thresholds(where, spec, wide);
  } else if (shifts(spec.rule)) {
    require(std::abs(spec.shift) < (spec.shift < 0 ? 16 : 32), where, "a shift by 15 bits to the left or 31 to the right",
            spec.shift);
  } else {
    set_scales(where, spec);
  }
  if (spec.rule != Rule::real) spec.check_range(where, ending_.bits);
}

Ending LayerEnding::view() const {
  Ending view = ending_;
  view.thresholds = thresholds_.data();
  view.wide_thresholds = wide_thresholds_.data();
  view.table = table_.data();
  view.scale = scale_.data();
  view.bias = bias_.empty() ? nullptr : bias_.data();
  return view;
}

void LayerEnding::set_thresholds(const char* where, const EndingSpec& spec, bool wide) {
  const std::size_t steps = spec.thresholds.columns;
  require(steps >= 1 && spec.table.size() == steps + 1 && steps < (std::size_t{1} << 16), where,
          "a table of one more than thresholds, up to 2^16", spec.table.size());
  require(spec.thresholds.rows == ending_.channels, where, {"thresholds for ", ending_.channels, " channels"},
          spec.thresholds.rows);
  for (std::size_t o = 0; o < ending_.channels; ++o) {
    const std::int64_t* row = spec.thresholds.row(o);
    // Not its message for every row: to lay the pieces of one out is a tenth of loading.
    if (!std::is_sorted(row, row + steps)) require(false, where, "rising thresholds", {"falling ones in channel ", o});
  }
  ending_.steps = steps;
  if (spec.form == Form::planes) {
    require(std::has_single_bit(spec.table.size()), where, "a table of 2, 4, … codes", spec.table.size());
    ending_.bits = static_cast<unsigned>(std::bit_width(steps));
  }
  table_.assign(spec.table.begin(), spec.table.end());
  if (wide) {
    wide_thresholds_ = grouped<std::int64_t>(spec.thresholds);
  } else {
    thresholds_ = grouped<std::int32_t>(spec.thresholds);
  }
}

void LayerEnding::set_scales(const char* where, const EndingSpec& spec) {
  require(spec.scale.size() == ending_.channels, where, {ending_.channels, " scales"}, spec.scale.size());
  require(spec.bias.empty() || spec.bias.size() == ending_.channels, where, {ending_.channels, " biases, or none"},
          spec.bias.size());
  require(spec.step > 0 && std::isfinite(spec.step), where, "a positive step", "others");
  scale_ = padded(spec.scale);
  // Sums are never -0, so that to add +0 is to add nothing.
  if (!std::all_of(spec.bias.begin(), spec.bias.end(), is_plus_zero)) bias_ = padded(spec.bias);
  take_step_out();
}

// A step that is a power of two divides scales and biases as exactly as what they give, while nothing is so small or so
// large that it would lose bits: then no sum is divided.
void LayerEnding::take_step_out() {
  int exponent = 0;
  const auto plain = [](double number) { return number == 0 || (std::abs(number) > 0x1p-500 && std::abs(number) < 0x1p500); };
  const bool exact = std::frexp(ending_.step, &exponent) == 0.5 && plain(ending_.step) && std::all_of(scale_.begin(), scale_.end(), plain) &&
                     std::all_of(bias_.begin(), bias_.end(), plain);
  if (!exact) return;
  for (double& scale : scale_) scale /= ending_.step;
  for (double& bias : bias_) bias /= ending_.step;
  ending_.step = 1;
}

}  // namespace lowbit
