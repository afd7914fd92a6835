#include "finish.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "error.h"
#include "following.h"

namespace lowbit {
namespace {

bool rank_is_code(std::span<const std::uint8_t> table) {
  for (std::size_t n = 0; n < table.size(); ++n) {
    if (table[n] != n) return false;
  }
  return true;
}

// To add +0 is not the same as to add nothing, nor as to add -0.
bool is_plus_zero(double value) { return std::bit_cast<std::uint64_t>(value) == 0; }

}  // namespace

Finish::Finish(const char* where, std::size_t channels, const EpilogueSpec& spec, bool wide, const Finish* other) : epilogue_{} {
  epilogue_.output = spec.output;
  epilogue_.channels = channels;
  constant_.resize(round_up(channels, kGroup));
  if (spec.output == Output::other) {
    other_ = std::make_unique<LayerEnding>(where, channels, spec.other, wide);
    ending_ = std::make_unique<Ending>(other_->view());
  } else if (spec.output == Output::planes || spec.output == Output::bytes) {
    set_thresholds(where, channels, spec);
  } else if (other != nullptr && spec.output == Output::affine) {
    epilogue_ = other->epilogue_, scale_ = other->scale_;  // an affine ending has no bias: nothing differs
  } else {
    set_scales(where, channels, spec);
  }
}

void Finish::set_row_factor(std::span<const std::int32_t> factor) {
  if (std::any_of(factor.begin(), factor.end(), [](std::int32_t f) { return f != 0; })) {
    row_factor_ = padded(factor);
  }
}

void Finish::fold(std::size_t channel, std::int32_t factor) {
  const std::size_t count = (std::size_t{1} << epilogue_.bits) - 1;
  std::int32_t* at = thresholds_.data() + channel / kGroup * count * kGroup + channel % kGroup;
  for (std::size_t c = 0; c < count; ++c, at += kGroup) {
    const std::int64_t shifted = std::int64_t{*at} - constant_[channel];
    const std::int64_t floor = shifted / factor - (shifted % factor < 0 ? 1 : 0);
    *at = static_cast<std::int32_t>(std::clamp<std::int64_t>(floor, std::numeric_limits<std::int32_t>::min(),
                                                             std::numeric_limits<std::int32_t>::max()));
  }
  constant_[channel] = 0;
}

void Finish::pair(std::size_t channel, std::int32_t ones) {
  const std::size_t count = constant_.size();
  thresholds_.resize(2 * count, std::numeric_limits<std::int32_t>::max());
  const std::int64_t shifted = std::int64_t{thresholds_[channel]} + ones;
  thresholds_[channel] = static_cast<std::int32_t>(shifted >> 1);
  thresholds_[count + channel] = static_cast<std::int32_t>((shifted - 1) >> 1);
}

Epilogue Finish::view() const {
  Epilogue view = epilogue_;
  view.constant = constant_.data();
  view.row_factor = row_factor_.empty() ? nullptr : row_factor_.data();
  view.thresholds = thresholds_.data();
  view.scale = scale_ == nullptr ? nullptr : scale_->data();
  view.bias = bias_.empty() ? nullptr : bias_.data();
  view.ending = ending_.get();
  return view;
}

void Finish::set_thresholds(const char* where, std::size_t channels, const EpilogueSpec& spec) {
  const std::size_t levels = spec.table.size(), count = spec.thresholds.columns;
  const auto bits = static_cast<unsigned>(std::bit_width(levels) - 1);
  const unsigned most = spec.output == Output::planes ? kMaxPlanes : kMaxBits;
  require(std::has_single_bit(levels) && bits >= 1 && bits <= most, where,
          {"a table of 2, 4, … ", std::size_t{1} << most, " codes"}, levels);
  require(count == levels - 1 && spec.thresholds.rows == channels, where,
          {"thresholds [", channels, ", ", levels - 1, "]"},
          {"[", spec.thresholds.rows, ", ", count, "]"});
  epilogue_.bits = bits;
  epilogue_.rank_is_code = rank_is_code(spec.table);
  std::copy(spec.table.begin(), spec.table.end(), epilogue_.table);
  if (spec.output == Output::planes) {
    require(*std::max_element(spec.table.begin(), spec.table.end()) < levels, where,
            {"codes below ", levels}, "a larger one");
  }
  thresholds_.resize(groups_of(channels) * count * kGroup, std::numeric_limits<std::int32_t>::max());
  for (std::size_t o = 0; o < channels; ++o) {
    const std::int32_t* row = spec.thresholds.row(o);
    if (!std::is_sorted(row, row + count)) refuse_program(where, "rising thresholds", {"falling ones in channel ", o});
    for (std::size_t c = 0; c < count; ++c) {
      thresholds_[(o / kGroup * count + c) * kGroup + o % kGroup] = row[c];
    }
  }
}

void Finish::set_scales(const char* where, std::size_t channels, const EpilogueSpec& spec) {
  require(spec.scale.size() == channels, where, {channels, " scales"}, spec.scale.size());
  Aligned<double> scales = padded(spec.scale);
  if (spec.output == Output::real) {
    require(spec.bias.size() == channels, where, {channels, " biases"}, spec.bias.size());
    if (!std::all_of(spec.bias.begin(), spec.bias.end(), is_plus_zero)) bias_ = padded(spec.bias);
  } else {
    set_rounding(where, spec, scales);
  }
  scale_ = std::make_shared<const Aligned<double>>(std::move(scales));
}

void Finish::set_rounding(const char* where, const EpilogueSpec& spec, Aligned<double>& scales) {
  const auto is_whole = [](double number) { return std::abs(number) < 0x1p30 && std::nearbyint(number) == number; };
  const bool usable = spec.out_scale > 0 && std::isfinite(spec.out_scale) && spec.out_top >= 0 &&
                      spec.out_top <= 255 && is_whole(spec.out_top) && is_whole(spec.out_zero);
  require(usable, where, "a positive output scale and codes within a byte", "others");
  epilogue_.out_scale = spec.out_scale;
  epilogue_.out_zero = static_cast<std::int32_t>(spec.out_zero);
  epilogue_.out_low = -epilogue_.out_zero, epilogue_.out_high = static_cast<std::int32_t>(spec.out_top) - epilogue_.out_zero;
  epilogue_.quick = std::all_of(spec.scale.begin(), spec.scale.end(), [&](double scale) {
    return is_one_rate(scale, spec.out_scale, epilogue_.out_low, epilogue_.out_high);
  });
  for (double& scale : scales) scale = epilogue_.quick ? scale / spec.out_scale : scale;
}

}  // namespace lowbit
