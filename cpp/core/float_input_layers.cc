#include "float_input_layers.h"

#include <algorithm>

#include "error.h"
#include "share.h"

namespace lowbit {
namespace {

// Rows of samples of which each has so many, one after another.
Rows of_samples(Rows rows, std::size_t each) {
  rows.count *= each, rows.x_row /= each, rows.y_row /= each;
  return rows;
}

class FloatStep final : public Step {
 public:
  FloatStep(const KernelSet& kernels, std::size_t x, const Value& input, Matrix<float> weights,
            std::span<const float> bias, std::size_t rows)
      : kernel_(kernels.float_fully_connected), x_(x), rows_(rows), bias_(padded(bias)) {
    require(input.kind == Kind::real, where, "floats", "another kind of value");
    require(weights.rows >= 1 && weights.columns * rows == input.features, where,
            {"weights of ", input.features, " inputs"}, weights.columns * rows);
    require(bias.size() == weights.rows, where, {weights.rows, " biases"}, bias.size());
    packed_.resize(groups_of(weights.rows) * weights.columns * kGroup);
    for (std::size_t o = 0; o < weights.rows; ++o) {
      for (std::size_t n = 0; n < weights.columns; ++n) {
        packed_[(o / kGroup * weights.columns + n) * kGroup + o % kGroup] = weights.row(o)[n];
      }
    }
    layer_ = {weights.columns, weights.rows, packed_.data(), bias_.data()};
    name = where;
    kernel = kernel_.level;
    unit = "float";
    work = products = static_cast<double>(weights.rows * weights.columns * rows);
    done = static_cast<double>(packed_.size() * rows);
    weight_bytes = packed_.size() * sizeof(float);
    cost = work / 20;
  }

  void run(const Block& block) const override {
    const Rows rows = of_samples(rows_of(block, x_, result), rows_);
    share_groups(block, groups_of(layer_.channels), cost, [&](Groups groups) { kernel_.run(layer_, rows, groups); });
  }

 private:
  static constexpr const char* where = "float_fully_connected";

  Kernel<float_fully_connected_kernel> kernel_;
  std::size_t x_, rows_;
  Aligned<float> packed_, bias_;
  FloatLayer layer_{};
};

// Floats times codes: what both layouts of weights have in common.
class WeightsAloneStep : public Step {
 public:
  WeightsAloneStep(std::size_t x, const Value& input, const WeightOnlyWeights& weights, std::span<const float> bias)
      : x_(x), features_(input.features), channels_(weights.factors.rows), planes_(weights.factors.columns),
        words_(round_up(input.features, 32) / 32), offset_(padded(weights.offsets)), bias_(padded(bias)) {
    check(input, weights, bias);
    name = where;
    products = static_cast<double>(features_ * channels_);
    work = products * static_cast<double>(planes_);
    cost = work / 100;
  }

  static void check(const Value& input, const WeightOnlyWeights& weights, std::span<const float> bias) {
    const std::size_t channels = weights.factors.rows, planes = weights.factors.columns, words = round_up(input.features, 32) / 32;
    require(input.kind == Kind::real, where, "floats", "another kind of value");
    require(planes >= 1 && planes <= kMaxBits, where, "1 to 8 planes", planes);
    require(channels >= 1 && weights.planes.rows == channels && weights.planes.columns == planes * words, where,
            {"weights [", channels, ", ", planes, ", ", words, "]"},
            {weights.planes.rows, " rows of ", weights.planes.columns, " words"});
    require(bias.size() == channels && (weights.offsets.empty() || weights.offsets.size() == channels), where,
            {channels, " biases and offsets"}, bias.size());
  }

 protected:
  static constexpr const char* where = "weight_only_fully_connected";

  const float* offset() const { return offset_.empty() ? nullptr : offset_.data(); }

  std::size_t x_, features_, channels_, planes_, words_;
  Aligned<float> factor_, offset_, bias_;
};

class WeightOnlyStep final : public WeightsAloneStep {
 public:
  WeightOnlyStep(const KernelSet& kernels, std::size_t x, const Value& input, const WeightOnlyWeights& weights,
                 std::span<const float> bias)
      : WeightsAloneStep(x, input, weights, bias), kernel_(kernels.weight_only_fully_connected) {
    pack(weights);
    layer_ = {features_,      channels_,      static_cast<unsigned>(planes_), words_,
              packed_.data(), factor_.data(), offset(),                       bias_.data()};
    kernel = kernel_.level;
    unit = "float";
    done = static_cast<double>(32 * packed_.size());
    weight_bytes = packed_.size() * sizeof(std::uint32_t);
  }

  void run(const Block& block) const override {
    const Rows rows = rows_of(block, x_, result);
    share_groups(block, groups_of(channels_), cost, [&](Groups groups) { kernel_.run(layer_, rows, groups); });
  }

 private:
  // [channels][planes][words] -> [chunks][groups][planes][words of the chunk][16]; factors [groups][planes][16].
  void pack(const WeightOnlyWeights& w) {
    const std::size_t groups = groups_of(channels_);
    packed_.resize(groups * planes_ * words_ * kGroup + 1);
    factor_.resize(groups * planes_ * kGroup);
    for (std::size_t o = 0; o < channels_; ++o) {
      for (std::size_t j = 0; j < planes_; ++j) {
        factor_[(o / kGroup * planes_ + j) * kGroup + o % kGroup] = w.factors.row(o)[j];
        for (std::size_t k = 0; k < words_; ++k) {
          const std::size_t first = k / kChunkWords * kChunkWords, chunk = std::min(words_ - first, kChunkWords);
          const std::size_t before = (first * groups + o / kGroup * chunk) * planes_ + j * chunk + k - first;
          packed_[before * kGroup + o % kGroup] = w.planes.row(o)[j * words_ + k];
        }
      }
    }
  }

  TableKernel<weight_only_fully_connected_kernel> kernel_;
  Aligned<std::uint32_t> packed_;
  WeightOnlyLayer layer_{};
};

class WeightCodeStep final : public WeightsAloneStep {
 public:
  WeightCodeStep(const KernelSet& kernels, std::size_t x, const Value& input, const WeightOnlyWeights& weights,
                 std::span<const float> bias)
      : WeightsAloneStep(x, input, weights, bias), kernel_(kernels.weight_code_fully_connected) {
    pack(weights);
    layer_ = {features_, channels_, (1 << planes_) - 1, halves(), packed_.data(), factor_.data(), offset(), bias_.data()};
    kernel = kernel_.level;
    unit = "dot";
    work = 2 * products;  // inputs are two bytes
    done = static_cast<double>((halves() ? 4 : 2) * packed_.size());
    weight_bytes = packed_.size();
  }

  void run(const Block& block) const override {
    const Rows rows = rows_of(block, x_, result);
    share_groups(block, groups_of(channels_), cost, [&](Groups groups) { kernel_.run(layer_, rows, groups); });
  }

 private:
  bool halves() const { return planes_ <= 4; }

  // [channels][planes][words] -> [chunks][groups][pairs of quads][2, or 1 of halves][16][4].
  void pack(const WeightOnlyWeights& w) {
    constexpr std::size_t kChunk = 32 * kChunkWords;
    const std::size_t groups = groups_of(channels_), wide = halves() ? 1 : 2;
    packed_.resize(groups * round_up(features_, 8) / 8 * wide * kGroup * 4);
    factor_.resize(groups * kGroup);
    for (std::size_t o = 0; o < channels_; ++o) {
      factor_[o] = w.factors.row(o)[0];
      for (std::size_t n = 0; n < features_; ++n) {
        unsigned code = 0;
        for (std::size_t j = 0; j < planes_; ++j) code |= (w.planes.row(o)[j * words_ + n / 32] >> n % 32 & 1) << j;
        const std::size_t first = n / kChunk * kChunk, chunk = round_up(std::min(features_ - first, kChunk), 8) / 8;
        const std::size_t pair = first / 8 * groups + o / kGroup * chunk + (n - first) / 8, odd = n / 4 % 2;
        std::uint8_t& byte = packed_[((pair * wide + (halves() ? 0 : odd)) * kGroup + o % kGroup) * 4 + n % 4];
        byte = static_cast<std::uint8_t>(byte | code << (halves() ? 4 * odd : 0));
      }
    }
  }

  Kernel<weight_code_fully_connected_kernel> kernel_;
  Aligned<std::uint8_t> packed_;
  WeightCodeLayer layer_{};
};

class WeightGroupStep final : public Step {
 public:
  WeightGroupStep(const KernelSet& kernels, std::size_t x, const Value& input, const WeightGroups& weights,
                  std::span<const float> bias, std::size_t rows)
      : kernel_(kernels.weight_group_fully_connected), x_(x), rows_(rows), features_(input.features / rows), bias_(padded(bias)) {
    check(input, weights, bias, rows);
    const std::size_t channels = weights.factors.rows;
    unsigned width = 2;
    while (width < bits_) width *= 2;
    cut(weights.group, 32 / width);
    pack(weights, width);
    layer_ = {features_, channels, width, 1 << (bits_ - 1), pieces_.data(), pieces_.size() - 1, packed_.data(), factor_.data(),
              offset_.empty() ? nullptr : offset_.data(), bias_.data()};
    name = where;
    kernel = kernel_.level;
    unit = "dot";
    products = static_cast<double>(features_ * channels * rows);
    work = 2 * products;  // inputs are two bytes
    done = static_cast<double>(packed_.size() * (16 / width) * rows);
    weight_bytes = packed_.size() + (factor_.size() + offset_.size()) * sizeof(float);
    cost = work / 100;
  }

  void run(const Block& block) const override {
    const Rows rows = of_samples(rows_of(block, x_, result), rows_);
    share_groups(block, groups_of(layer_.channels), cost, [&](Groups groups) { kernel_.run(layer_, rows, groups); });
  }

 private:
  static constexpr const char* where = "weight_group_fully_connected";

  void check(const Value& input, const WeightGroups& w, std::span<const float> bias, std::size_t rows) {
    const std::size_t channels = w.factors.rows, words = round_up(features_, 32) / 32;
    require(input.kind == Kind::real && features_ >= 1 && features_ * rows == input.features, where, "rows of floats", "others");
    require(w.group >= 1 && channels >= 1 && w.factors.columns == (features_ + w.group - 1) / w.group, where,
            {"factors of groups of ", features_, " inputs"}, w.factors.columns);
    require(w.planes.rows == channels && w.planes.columns % words == 0 && w.planes.columns / words - 1 < kMaxBits, where,
            {"weights [", channels, ", 1 to 8 planes, ", words, "]"}, {w.planes.rows, " rows of ", w.planes.columns, " words"});
    require(bias.size() == channels && (w.offsets.rows == 0 || (w.offsets.rows == channels && w.offsets.columns == w.factors.columns)),
            where, {channels, " biases, and as many offsets as factors"}, bias.size());
    words_ = words, bits_ = static_cast<unsigned>(w.planes.columns / words);
  }

  // Cuts groups into pieces, whose codes fill vectors of so many inputs.
  void cut(std::size_t group, std::size_t inputs) {
    std::size_t vector = 0;
    for (std::size_t first = 0; first < features_; first += group) {
      const std::size_t end = std::min(first + std::min(group, features_), features_);
      for (std::size_t from = first; from < end; from += kPieceInputs) {
        const std::size_t count = std::min(end - from, kPieceInputs);
        pieces_.push_back({static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(count), static_cast<std::uint32_t>(vector)});
        vector += (count + inputs - 1) / inputs;
      }
    }
    pieces_.push_back({static_cast<std::uint32_t>(features_), 0, static_cast<std::uint32_t>(vector)});
  }

  // The codes of an output, a byte each.
  void unpack(const std::uint32_t* row, std::vector<std::uint8_t>& codes) const {
    std::fill(codes.begin(), codes.end(), std::uint8_t{0});
    for (unsigned j = 0; j < bits_; ++j) {
      for (std::size_t k = 0; k < words_; ++k) {
        const std::uint32_t word = row[j * words_ + k];
        for (unsigned bit = 0; bit < 32; ++bit) {
          codes[32 * k + bit] = static_cast<std::uint8_t>(codes[32 * k + bit] | (word >> bit & 1) << j);
        }
      }
    }
  }

  void pack(const WeightGroups& w, unsigned width) {
    const std::size_t groups = groups_of(w.factors.rows), count = pieces_.size() - 1, inputs = 32 / width;
    std::vector<std::uint8_t> codes(32 * words_);
    packed_.resize(groups * pieces_.back().vector * kGroup * 4);
    factor_.resize(groups * count * kGroup);
    if (w.offsets.rows != 0) offset_.resize(factor_.size());
    for (std::size_t o = 0; o < w.factors.rows; ++o) {
      unpack(w.planes.row(o), codes);
      for (std::size_t chunk = 0; chunk < count; chunk += kChunkPieces) {
        const std::size_t end = std::min(chunk + kChunkPieces, count), width_of = pieces_[end].vector - pieces_[chunk].vector;
        for (std::size_t p = chunk; p < end; ++p) {
          const std::size_t of_group = chunk * groups + o / kGroup * (end - chunk) + p - chunk, of = pieces_[p].first / w.group;
          factor_[of_group * kGroup + o % kGroup] = w.factors.row(o)[of];
          if (w.offsets.rows != 0) offset_[of_group * kGroup + o % kGroup] = w.offsets.row(o)[of];
          std::uint8_t* at = packed_.data() +
                             (pieces_[chunk].vector * groups + o / kGroup * width_of + pieces_[p].vector - pieces_[chunk].vector) * kGroup * 4;
          for (std::size_t n = 0; n < pieces_[p].count; ++n) {
            std::uint8_t& byte = at[(n / inputs * kGroup + o % kGroup) * 4 + n % 4];
            byte = static_cast<std::uint8_t>(byte | codes[pieces_[p].first + n] << (n % inputs / 4 * width));
          }
        }
      }
    }
  }

  Kernel<weight_group_fully_connected_kernel> kernel_;
  std::size_t x_, rows_, features_, words_ = 0;
  unsigned bits_ = 0;
  std::vector<Piece> pieces_;
  Aligned<std::uint8_t> packed_;
  Aligned<float> factor_, offset_, bias_;
  WeightGroupLayer layer_{};
};

// The levels of weights, [channels][features].
std::vector<float> decoded(const WeightOnlyWeights& w, std::size_t features) {
  const std::size_t words = round_up(features, 32) / 32;
  std::vector<float> levels;
  levels.reserve(w.factors.rows * features);
  for (std::size_t o = 0; o < w.factors.rows; ++o) {
    for (std::size_t n = 0; n < features; ++n) {
      double level = w.offsets.empty() ? 0 : w.offsets[o];
      for (std::size_t j = 0; j < w.factors.columns; ++j) {
        const double factor = w.factors.row(o)[j];
        level += (w.planes.row(o)[j * words + n / 32] >> n % 32 & 1) != 0 ? factor : -factor;
      }
      levels.push_back(static_cast<float>(level));
    }
  }
  return levels;
}

// Codes cost as much as two planes of four bits, or four of eight.
bool rather_codes(const KernelSet& kernels, const WeightOnlyWeights& weights) {
  const auto doubles = [&](std::size_t o) {
    const float* factor = weights.factors.row(o);
    for (std::size_t j = 1; j < weights.factors.columns; ++j) {
      if (factor[j] != 2 * factor[j - 1]) return false;
    }
    return true;
  };
  if (kernels.weight_code_fully_connected.run == nullptr || weights.factors.columns < 3) return false;
  for (std::size_t o = 0; o < weights.factors.rows; ++o) {
    if (!doubles(o)) return false;
  }
  return true;
}

}  // namespace

std::unique_ptr<Step> weight_only_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                                  const WeightOnlyWeights& weights, std::span<const float> bias) {
  const std::size_t planes = weights.factors.columns;
  if (rather_codes(kernels, weights)) return std::make_unique<WeightCodeStep>(kernels, x, input, weights, bias);
  if (planes > kernels.weight_only_fully_connected.planes && planes <= kMaxBits) {
    WeightsAloneStep::check(input, weights, bias);
    const std::vector<float> levels = decoded(weights, input.features);
    return std::make_unique<FloatStep>(kernels, x, input, Matrix<float>{levels.data(), weights.factors.rows, input.features}, bias, 1);
  }
  return std::make_unique<WeightOnlyStep>(kernels, x, input, weights, bias);
}

std::unique_ptr<Step> weight_group_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                                   const WeightGroups& weights, std::span<const float> bias, std::size_t rows) {
  return std::make_unique<WeightGroupStep>(kernels, x, input, weights, bias, rows);
}

std::unique_ptr<Step> float_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                            Matrix<float> weights, std::span<const float> bias, std::size_t rows) {
  return std::make_unique<FloatStep>(kernels, x, input, weights, bias, rows);
}

}  // namespace lowbit
