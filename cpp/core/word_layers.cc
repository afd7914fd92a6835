#include "word_layers.h"

#include <limits>

#include "error.h"
#include "map_layer.h"
#include "share.h"

namespace lowbit {
namespace {

// What sums of an input's levels and weights need.
struct Reach {
  bool wide;          // more than int32
  std::size_t chunk;  // pairs whose products fit int32 together
  bool split;         // not even two products do

  Reach(const char* where, const Value& input, const WordWeights& w) {
    constexpr std::int64_t kInt32 = std::numeric_limits<std::int32_t>::max();
    const std::int64_t least = input.least(), most = input.most(), largest = std::max(-least, most);
    std::int64_t pair = 0;
    wide = false;
    for (std::size_t o = 0; o < w.weights.rows; ++o) {
      const std::int16_t* row = w.weights.row(o);
      std::int64_t low = 0, high = 0;
      for (std::size_t n = 0; n < w.weights.columns; ++n) {
        const std::int64_t weight = row[n];
        low += std::min({weight * least, weight * most, std::int64_t{0}});
        high += std::max({weight * least, weight * most, std::int64_t{0}});
        pair = std::max(pair, std::abs(weight));
      }
      const std::int64_t constant = w.constant[o];
      require(std::abs(constant) < std::int64_t{1} << 61, where, "sums within 62 bits", {"larger ones in channel ", o});
      wide |= constant + low < -kInt32 || constant + high > kInt32;
    }
    const std::int64_t two = std::max<std::int64_t>(2 * pair * largest, 1);
    split = two > kInt32;
    chunk = !wide ? 0 : split ? 1 : static_cast<std::size_t>(kInt32 / two);
  }
};

// The layer's constants, of either width.
struct Constants {
  Aligned<std::int32_t> narrow;
  Aligned<std::int64_t> wide;

  Constants(std::span<const std::int64_t> constant, const Reach& reach) {
    if (reach.wide) {
      wide = padded(constant);
      return;
    }
    narrow.resize(round_up(constant.size(), kGroup));
    std::transform(constant.begin(), constant.end(), narrow.begin(), [](std::int64_t n) { return static_cast<std::int32_t>(n); });
  }

  void place(WordLayer& layer, const Reach& reach) const {
    layer.chunk = reach.chunk, layer.split = reach.split;
    layer.constant = narrow.data(), layer.wide_constant = wide.data();
  }
};

void check_weights(const char* where, const Value& input, const WordWeights& w) {
  require(input.kind == Kind::words, where, "words", "another kind of value");
  require(w.weights.rows >= 1 && w.constant.size() == w.weights.rows, where, {w.weights.rows, " constants"},
          w.constant.size());
}

const WordWeights& checked(const char* where, const Value& input, const WordWeights& w) {
  check_weights(where, input, w);
  return w;
}

// Sums of any width end by a rule; reals have one as well.
EpilogueSpec by_rule(const char* where, const EpilogueSpec& epilogue) {
  EpilogueSpec spec = epilogue;
  if (spec.output == Output::real) {
    spec.output = Output::other, spec.other.rule = Rule::real, spec.other.form = Form::reals;
    spec.other.scale = spec.scale, spec.other.bias = spec.bias;
  }
  require(spec.output == Output::other, where, "an ending of any rule", "one of bytes and planes");
  return spec;
}

class WordStep final : public Step {
 public:
  WordStep(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output, std::size_t rows,
           const WordWeights& w, const EpilogueSpec& epilogue)
      : kernel_(kernels.word_fully_connected), x_(x), rows_(rows), channels_(w.weights.rows),
        reach_(where, input, checked(where, input, w)), constants_(w.constant, reach_),
        finish_(where, channels_, by_rule(where, epilogue), reach_.wide) {
    const std::size_t features = w.weights.columns;
    require(rows >= 1 && rows * features == input.features && input.dense(), where,
            {"weights of ", input.features, " inputs in rows"}, features);
    require(output.features == rows * channels_ && (rows == 1 || output.kind != Kind::planes), where,
            {rows * channels_, " outputs"}, output.features);
    layer_.pairs = round_up(features, 2) / 2;
    pack(w.weights);
    constants_.place(layer_, reach_);
    layer_.weights = packed_.data();
    layer_.epilogue = finish_.view();
    name = where;
    kernel = kernel_.level;
    work = products = done = static_cast<double>(features * rows * channels_);
    weight_bytes = packed_.size() * sizeof(std::int16_t);
    cost = work / (reach_.wide ? 10 : 60);
  }

  void run(const Block& block) const override {
    const Rows all = rows_of(block, x_, result);
    share_groups(block, groups_of(channels_), cost, [&](Groups groups) {
      if (rows_ == 1) return kernel_.run(layer_, all, groups);
      for (std::size_t sample = 0; sample < block.rows; ++sample) kernel_.run(layer_, rows_of_sample(block, all, sample), groups);
    });
  }

 private:
  static constexpr const char* where = "word_fully_connected";

  Rows rows_of_sample(const Block& block, const Rows& all, std::size_t sample) const {
    const Kind kind = block.place(result).value->kind;
    const std::size_t each = kind == Kind::words ? 2 : kind == Kind::bytes ? 1 : 4;
    Rows rows = all;
    rows.count = rows_, rows.sums = nullptr;
    rows.x += sample * all.x_row, rows.x_row = layer_features_ * 2;
    rows.y += sample * all.y_row, rows.y_row = channels_ * each;
    return rows;
  }

  // [channels][n] -> [groups][pairs][16][2]
  void pack(const Matrix<std::int16_t>& weights) {
    layer_features_ = weights.columns;
    packed_.resize(groups_of(channels_) * layer_.pairs * kGroup * 2);
    for (std::size_t o = 0; o < channels_; ++o) {
      for (std::size_t n = 0; n < weights.columns; ++n) {
        packed_[((o / kGroup * layer_.pairs + n / 2) * kGroup + o % kGroup) * 2 + n % 2] = weights.row(o)[n];
      }
    }
  }

  Kernel<word_fully_connected_kernel> kernel_;
  std::size_t x_, rows_, channels_, layer_features_ = 0;
  Reach reach_;
  Constants constants_;
  Finish finish_;
  Aligned<std::int16_t> packed_;
  WordLayer layer_{};
};

class WordConvolutionStep final : public Step {
 public:
  WordConvolutionStep(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                      const WindowSpec& window, const WordWeights& w, const EpilogueSpec& epilogue)
      : kernel_(kernels.word_convolution), x_(x), channels_(output.channels()),
        depth_(input.channels() / std::max<std::size_t>(window.group, 1)), plan_(where, input, window),
        reach_(where, input, checked(where, input, w)), constants_(w.constant, reach_),
        endings_(endings_of(where, channels_, plan_.region_count(), by_rule(where, epilogue), false, reach_.wide)) {
    check_shape(where, input, output, window, plan_, w.weights.columns);
    require(w.weights.rows == channels_, where, {channels_, " channels"}, w.weights.rows);
    units_ = group_units(input, channels_, window.group, 2);
    layer_.pairs = plan_.taps() * units_.count;
    packed_ = packed_taps<2>(w.weights, depth_, window.group, units_);
    plan_.lay(units_.count, window.group == 1, output.pixel);
    constants_.place(layer_, reach_);
    layer_.weights = packed_.data();
    regions_ = plan_.regions(endings_);
    plan_.forget_pixels();
    window_ = {regions_.data(), regions_.size(), output.pixels(), units_.shift.empty() ? nullptr : units_.shift.data(),
               nullptr, 0};
    name = where;
    kernel = kernel_.level;
    work = products = done = static_cast<double>(plan_.all_taps() * depth_ * channels_);
    weight_bytes = packed_.size() * sizeof(std::int16_t);
    cost = static_cast<double>(output.pixels() * layer_.pairs * 2 * channels_) / (reach_.wide ? 20 : 100);
  }

  void run(const Block& block) const override {
    const Rows maps = maps_of(block, x_, result, false);
    share_maps(block, groups_of(channels_), window_.sum_count, cost,
               [&](const Part& part) { kernel_.run(layer_, window_, maps, part); });
  }

 private:
  static constexpr const char* where = "word_convolution";

  Kernel<word_convolution_kernel> kernel_;
  std::size_t x_, channels_, depth_;
  WindowPlan plan_;
  Reach reach_;
  Constants constants_;
  std::vector<Finish> endings_;
  Aligned<std::int16_t> packed_;
  GroupUnits units_;
  WordLayer layer_{};
  std::vector<Region> regions_;
  Window window_{};
};

}  // namespace

std::unique_ptr<Step> word_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                           std::size_t rows, const WordWeights& weights, const EpilogueSpec& epilogue) {
  return std::make_unique<WordStep>(kernels, x, input, output, rows, weights, epilogue);
}

std::unique_ptr<Step> word_convolution(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                       const WindowSpec& window, const WordWeights& weights, const EpilogueSpec& epilogue) {
  return std::make_unique<WordConvolutionStep>(kernels, x, input, output, window, weights, epilogue);
}

}  // namespace lowbit
