#include "layers.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "error.h"

namespace lowbit {
namespace {

constexpr std::int64_t kAccumulatorLimit = std::int64_t{1} << 31;

std::size_t groups_of(std::size_t channels) { return round_up(channels, kGroup) / kGroup; }

std::string size_text(std::size_t n) { return std::to_string(n); }

template <class T>
Aligned<T> padded(std::span<const T> values) {
  Aligned<T> out(round_up(values.size(), kGroup));
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

bool rank_is_code(std::span<const std::uint8_t> table) {
  for (std::size_t n = 0; n < table.size(); ++n) {
    if (table[n] != n) return false;
  }
  return true;
}

// The arrays behind an Epilogue.
class Finish {
 public:
  Finish(const char* where, std::size_t channels, const EpilogueSpec& spec) : epilogue_{} {
    epilogue_.output = spec.output;
    epilogue_.channels = channels;
    constant_.resize(round_up(channels, kGroup));
    if (spec.output == Output::planes || spec.output == Output::bytes) {
      set_thresholds(where, channels, spec);
    } else {
      set_scales(where, channels, spec);
    }
  }

  Aligned<std::int32_t>& constant() { return constant_; }
  void set_row_factor(std::span<const std::int32_t> factor) {
    if (std::any_of(factor.begin(), factor.end(), [](std::int32_t f) { return f != 0; })) {
      row_factor_ = padded(factor);
    }
  }
  bool has_thresholds() const { return !thresholds_.empty(); }
  bool needs_sums() const { return !row_factor_.empty(); }

  // Divides the accumulator out of the comparison: constant + factor * s > T  <=>  s > floor((T - constant) / factor).
  void fold(std::size_t channel, std::int32_t factor) {
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

  Epilogue view() const {
    Epilogue view = epilogue_;
    view.constant = constant_.data();
    view.row_factor = row_factor_.empty() ? nullptr : row_factor_.data();
    view.thresholds = thresholds_.data();
    view.scale = scale_.data();
    view.bias = bias_.data();
    return view;
  }

 private:
  void set_thresholds(const char* where, std::size_t channels, const EpilogueSpec& spec) {
    const std::size_t levels = spec.table.size(), count = spec.thresholds.columns;
    const auto bits = static_cast<unsigned>(std::bit_width(levels) - 1);
    const unsigned most = spec.output == Output::planes ? kMaxPlanes : kMaxBits;
    require(std::has_single_bit(levels) && bits >= 1 && bits <= most, where,
            "a table of 2, 4, … " + size_text(std::size_t{1} << most) + " codes", size_text(levels));
    require(count == levels - 1 && spec.thresholds.rows == channels, where,
            "thresholds [" + size_text(channels) + ", " + size_text(levels - 1) + "]",
            "[" + size_text(spec.thresholds.rows) + ", " + size_text(count) + "]");
    epilogue_.bits = bits;
    epilogue_.rank_is_code = rank_is_code(spec.table);
    std::copy(spec.table.begin(), spec.table.end(), epilogue_.table);
    if (spec.output == Output::planes) {
      require(*std::max_element(spec.table.begin(), spec.table.end()) < levels, where,
              "codes below " + size_text(levels), "a larger one");
    }
    thresholds_.resize(groups_of(channels) * count * kGroup, std::numeric_limits<std::int32_t>::max());
    for (std::size_t o = 0; o < channels; ++o) {
      const std::int32_t* row = spec.thresholds.row(o);
      require(std::is_sorted(row, row + count), where, "rising thresholds",
              "falling ones in channel " + size_text(o));
      for (std::size_t c = 0; c < count; ++c) {
        thresholds_[(o / kGroup * count + c) * kGroup + o % kGroup] = row[c];
      }
    }
  }

  void set_scales(const char* where, std::size_t channels, const EpilogueSpec& spec) {
    require(spec.scale.size() == channels, where, size_text(channels) + " scales", size_text(spec.scale.size()));
    scale_ = padded(spec.scale);
    if (spec.output == Output::real) {
      require(spec.bias.size() == channels, where, size_text(channels) + " biases", size_text(spec.bias.size()));
      bias_ = padded(spec.bias);
      return;
    }
    const bool usable = spec.out_scale > 0 && std::isfinite(spec.out_scale) && spec.out_top >= 0 &&
                        spec.out_top <= 255 && std::isfinite(spec.out_zero);
    require(usable, where, "a positive output scale and codes within a byte", "others");
    epilogue_.out_scale = spec.out_scale;
    epilogue_.out_zero = spec.out_zero;
    epilogue_.out_top = spec.out_top;
  }

  Epilogue epilogue_;
  Aligned<std::int32_t> constant_, row_factor_, thresholds_;
  Aligned<double> scale_, bias_;
};

// Splits groups of channels among the threads of the block, or does them all here.
template <class Function>
void share(const Block& block, std::size_t groups, double cost, const Function& run) {
  if (block.pool == nullptr || cost * static_cast<double>(block.rows) < kWorthSharing) {
    run(Groups{0, groups});
    return;
  }
  const std::size_t parts = block.pool->threads();
  block.pool->run([&](std::size_t part) { run(Groups{groups * part / parts, groups * (part + 1) / parts}); });
}

Rows rows_of(const Block& block, std::size_t x, std::size_t y) {
  const Place in = block.place(x), out = block.place(y);
  return {block.rows,       in.at,  in.value->row,  in.value->plane,
          block.sums,       out.at, out.value->row, out.value->plane};
}

class PlaneStep final : public Step {
 public:
  PlaneStep(const KernelSet& kernels, std::size_t x, const Value& input, const PlaneWeights& weights,
            const EpilogueSpec& epilogue)
      : kernel_(kernels.plane_fully_connected), x_(x), features_(input.features),
        channels_(weights.factors.rows), finish_(where, channels_, epilogue) {
    check(input, weights);
    layer_.input_planes = input.bits;
    layer_.weight_planes = static_cast<unsigned>(weights.factors.columns);
    layer_.words = round_up(input.features, kernel_.word_bits) / 32;
    std::copy(weights.input_factors.begin(), weights.input_factors.end(), input_factors_.begin());
    pack(weights);
    set_factors(weights);
    finish_.set_row_factor(weights.offsets);
    fold_single_planes();
    layer_.weights = packed_.data();
    layer_.weight_factor = factor_.data();
    layer_.epilogue = finish_.view();
    name = where;
    kernel = kernel_.level;
    cost = static_cast<double>(layer_.words * 32 * channels_ * layer_.input_planes * layer_.weight_planes) / 500;
  }

  void run(const Block& block) const override {
    const Rows rows = rows_of(block, x_, result);
    if (finish_.needs_sums()) sum_inputs(rows, block.sums);
    share(block, groups_of(channels_), cost, [&](Groups groups) { kernel_.run(layer_, rows, groups); });
  }

 private:
  static constexpr const char* where = "plane_fully_connected";

  void check(const Value& input, const PlaneWeights& w) const {
    const std::size_t planes = w.factors.columns, words = round_up(input.features, 32) / 32;
    require(input.kind == Kind::planes, where, "planes", "another kind of value");
    require(planes >= 1 && planes <= kMaxPlanes, where, "1 to 4 weight planes", size_text(planes));
    require(channels_ >= 1 && w.planes.rows == channels_ && w.planes.columns == planes * words, where,
            "weights [" + size_text(channels_) + ", " + size_text(planes) + ", " + size_text(words) + "]",
            size_text(w.planes.rows) + " rows of " + size_text(w.planes.columns) + " words");
    require(w.input_factors.size() == input.bits, where, size_text(input.bits) + " input factors",
            size_text(w.input_factors.size()));
    require(w.offsets.empty() || w.offsets.size() == channels_, where, size_text(channels_) + " offsets",
            size_text(w.offsets.size()));
    const std::size_t tail = input.features % 32;
    for (std::size_t n = 0; tail != 0 && n < channels_ * planes; ++n) {
      require(w.planes.data[(n + 1) * words - 1] >> tail == 0, where, "zero bits after the last weight", "ones");
    }
  }

  // [channels][planes][words of 32] -> [channels / lanes][words][planes][lanes] of the kernel's words.
  void pack(const PlaneWeights& w) {
    const std::size_t planes = w.factors.columns, source_words = w.planes.columns / planes;
    const std::size_t lanes = kernel_.lanes, per_word = kernel_.word_bits / 32, words = layer_.words / per_word;
    packed_.resize(groups_of(channels_) * kGroup * planes * layer_.words);
    for (std::size_t o = 0; o < channels_; ++o) {
      for (std::size_t j = 0; j < planes; ++j) {
        for (std::size_t k = 0; k < source_words; ++k) {
          const std::size_t word = ((o / lanes * words + k / per_word) * planes + j) * lanes + o % lanes;
          packed_[word * per_word + k % per_word] = w.planes.row(o)[j * source_words + k];
        }
      }
    }
  }

  // sum_n X_n W_n = n sum_i mx_i sum_j mw_j - sum_ij (2 mx_i mw_j) popcount, plus offset * sum_n X_n.
  void set_factors(const PlaneWeights& w) {
    std::int64_t inputs = 0, input_reach = 0;
    for (const std::int32_t m : w.input_factors) inputs += m, input_reach += std::abs(std::int64_t{m});
    const std::size_t planes = w.factors.columns;
    factor_.resize(groups_of(channels_) * planes * kGroup);
    for (std::size_t o = 0; o < channels_; ++o) {
      std::int64_t sum = 0, reach = w.offsets.empty() ? 0 : std::abs(std::int64_t{w.offsets[o]});
      for (std::size_t j = 0; j < planes; ++j) {
        const std::int32_t m = w.factors.row(o)[j];
        require(std::abs(std::int64_t{m}) < (1 << 24), where, "weight factors below 2^24", std::to_string(m));
        sum += m, reach += std::abs(std::int64_t{m});
        factor_[(o / kGroup * planes + j) * kGroup + o % kGroup] = 2 * m;
      }
      // Three times the largest accumulator bounds every partial sum of the kernel.
      const auto n = static_cast<std::int64_t>(features_);
      require(input_reach < (1 << 24) && reach < (1 << 30) &&
                  input_reach * reach < kAccumulatorLimit / 3 / std::max<std::int64_t>(n, 1),
              where, "accumulators below 2^31", "larger ones in channel " + size_text(o));
      finish_.constant()[o] = static_cast<std::int32_t>(n * inputs * sum);
    }
  }

  // One input plane: its factor joins the weights'. One weight plane as well, and thresholds: both leave.
  void fold_single_planes() {
    std::copy(input_factors_.begin(), input_factors_.end(), layer_.input_factor);
    if (layer_.input_planes != 1) return;
    for (std::int32_t& factor : factor_) factor *= input_factors_[0];
    layer_.input_factor[0] = 1;
    const bool positive = std::all_of(factor_.begin(), factor_.begin() + static_cast<std::ptrdiff_t>(channels_),
                                      [](std::int32_t factor) { return factor > 0; });
    if (layer_.weight_planes != 1 || !finish_.has_thresholds() || finish_.needs_sums() || !positive) return;
    for (std::size_t o = 0; o < channels_; ++o) finish_.fold(o, factor_[o]);
    std::fill(factor_.begin(), factor_.end(), 1);
    layer_.bare = true;
    const Epilogue end = finish_.view();
    layer_.binary = end.output == Output::planes && end.bits == 1 && end.rank_is_code;
  }

  // sum_n X_n = sum_i mx_i (2 popcount(x_i) - n).
  void sum_inputs(const Rows& rows, std::int32_t* sums) const {
    const auto n = static_cast<std::int32_t>(features_);
    for (std::size_t row = 0; row < rows.count; ++row) {
      sums[row] = 0;
      for (unsigned i = 0; i < layer_.input_planes; ++i) {
        std::int32_t ones = 0;
        for (std::size_t k = 0; k < layer_.words; ++k) {
          std::uint32_t word;
          std::memcpy(&word, rows.x + row * rows.x_row + i * rows.x_plane + 4 * k, sizeof word);
          ones += std::popcount(word);
        }
        sums[row] += input_factors_[i] * (2 * ones - n);
      }
    }
  }

  PlaneKernel kernel_;
  std::size_t x_, features_, channels_;
  Finish finish_;
  Aligned<std::uint32_t> packed_;
  Aligned<std::int32_t> factor_;
  std::array<std::int32_t, kMaxPlanes> input_factors_{};
  PlaneLayer layer_{};
};

class ByteStep final : public Step {
 public:
  ByteStep(const KernelSet& kernels, std::size_t x, const Value& input, const ByteWeights& w,
           const EpilogueSpec& epilogue)
      : kernel_(kernels.byte_fully_connected), x_(x), features_(input.features), channels_(w.weights.rows),
        finish_(where, channels_, epilogue) {
    check(input, w);
    layer_.quads = round_up(features_, 8) / 4;
    layer_.fours_fit = fours_fit(input, w.weights);
    pack(w.weights);
    std::copy(w.constant.begin(), w.constant.end(), finish_.constant().begin());
    finish_.set_row_factor(w.row_factor);
    layer_.weights = packed_.data();
    layer_.epilogue = finish_.view();
    name = where;
    kernel = kernel_.level;
    cost = static_cast<double>(layer_.quads * 4 * channels_) / 100;
  }

  void run(const Block& block) const override {
    const Rows rows = rows_of(block, x_, result);
    if (finish_.needs_sums()) sum_inputs(rows, block.sums);
    share(block, groups_of(channels_), cost, [&](Groups groups) { kernel_.run(layer_, rows, groups); });
  }

 private:
  static constexpr const char* where = "byte_fully_connected";

  void check(const Value& input, const ByteWeights& w) const {
    require(input.kind == Kind::bytes, where, "bytes", "another kind of value");
    require(channels_ >= 1 && w.weights.columns == features_, where, "weights of " + size_text(features_) + " inputs",
            size_text(w.weights.columns));
    require(w.constant.size() == channels_, where, size_text(channels_) + " constants",
            size_text(w.constant.size()));
    require(w.row_factor.empty() || w.row_factor.size() == channels_, where, size_text(channels_) + " row factors",
            size_text(w.row_factor.size()));
    for (std::size_t o = 0; o < channels_; ++o) {
      std::int64_t reach = std::abs(std::int64_t{w.constant[o]});
      const std::int64_t factor = w.row_factor.empty() ? 0 : std::abs(std::int64_t{w.row_factor[o]});
      for (std::size_t n = 0; n < features_; ++n) reach += 255 * (std::abs(int{w.weights.row(o)[n]}) + factor);
      require(reach < kAccumulatorLimit, where, "accumulators below 2^31", "larger ones in channel " + size_text(o));
    }
  }

  static bool fours_fit(const Value& input, const Matrix<std::int8_t>& weights) {
    int largest = 0;
    for (std::size_t n = 0; n < weights.rows * weights.columns; ++n) {
      largest = std::max(largest, std::abs(int{weights.data[n]}));
    }
    return 4 * ((1 << input.bits) - 1) * largest <= std::numeric_limits<std::int16_t>::max();
  }

  void pack(const Matrix<std::int8_t>& weights) {
    packed_.resize(groups_of(channels_) * layer_.quads * kGroup * 4);
    for (std::size_t o = 0; o < channels_; ++o) {
      for (std::size_t n = 0; n < features_; ++n) {
        packed_[((o / kGroup * layer_.quads + n / 4) * kGroup + o % kGroup) * 4 + n % 4] = weights.row(o)[n];
      }
    }
  }

  void sum_inputs(const Rows& rows, std::int32_t* sums) const {
    for (std::size_t row = 0; row < rows.count; ++row) {
      const auto* x = reinterpret_cast<const std::uint8_t*>(rows.x + row * rows.x_row);
      sums[row] = 0;
      for (std::size_t n = 0; n < features_; ++n) sums[row] += x[n];
    }
  }

  Kernel<byte_fully_connected_kernel> kernel_;
  std::size_t x_, features_, channels_;
  Finish finish_;
  Aligned<std::int8_t> packed_;
  ByteLayer layer_{};
};

class FloatStep final : public Step {
 public:
  FloatStep(const KernelSet& kernels, std::size_t x, const Value& input, Matrix<float> weights,
            std::span<const float> bias)
      : kernel_(kernels.float_fully_connected), x_(x), bias_(padded(bias)) {
    require(input.kind == Kind::real, where, "floats", "another kind of value");
    require(weights.rows >= 1 && weights.columns == input.features, where,
            "weights of " + size_text(input.features) + " inputs", size_text(weights.columns));
    require(bias.size() == weights.rows, where, size_text(weights.rows) + " biases", size_text(bias.size()));
    packed_.resize(groups_of(weights.rows) * weights.columns * kGroup);
    for (std::size_t o = 0; o < weights.rows; ++o) {
      for (std::size_t n = 0; n < weights.columns; ++n) {
        packed_[(o / kGroup * weights.columns + n) * kGroup + o % kGroup] = weights.row(o)[n];
      }
    }
    layer_ = {weights.columns, weights.rows, packed_.data(), bias_.data()};
    name = where;
    kernel = kernel_.level;
    cost = static_cast<double>(weights.rows * weights.columns) / 20;
  }

  void run(const Block& block) const override {
    const Rows rows = rows_of(block, x_, result);
    share(block, groups_of(layer_.channels), cost, [&](Groups groups) { kernel_.run(layer_, rows, groups); });
  }

 private:
  static constexpr const char* where = "float_fully_connected";

  Kernel<float_fully_connected_kernel> kernel_;
  std::size_t x_;
  Aligned<float> packed_, bias_;
  FloatLayer layer_{};
};

}  // namespace

std::unique_ptr<Step> plane_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                            const PlaneWeights& weights, const EpilogueSpec& epilogue) {
  return std::make_unique<PlaneStep>(kernels, x, input, weights, epilogue);
}

std::unique_ptr<Step> byte_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                           const ByteWeights& weights, const EpilogueSpec& epilogue) {
  return std::make_unique<ByteStep>(kernels, x, input, weights, epilogue);
}

std::unique_ptr<Step> float_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                            Matrix<float> weights, std::span<const float> bias) {
  return std::make_unique<FloatStep>(kernels, x, input, weights, bias);
}

}  // namespace lowbit
