#include "layers.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>

#include "error.h"
#include "plane_tiles.h"
#include "quick_endings.h"
#include "share.h"

namespace lowbit {
namespace {

class PlaneStep final : public Step {
 public:
  PlaneStep(const KernelSet& kernels, std::size_t x, const Value& input, const PlaneWeights& weights,
            const EpilogueSpec& epilogue)
      : kernel_(kernels.plane_fully_connected), x_(x), features_(input.features), channels_(weights.factors.rows),
        factors_(where, weights, input.bits, features_) {
    check(input, weights);
    finish_.emplace_back(where, channels_, epilogue);
    layer_.input_planes = input.bits;
    layer_.weight_planes = static_cast<unsigned>(weights.factors.columns);
    layer_.pairs = kernel_.pairs;
    layer_.words = round_up(input.features, layer_.pairs ? 64u : std::max(kernel_.word_bits, 32u)) / 32;
    layer_.groups = groups_of(channels_);
    kernel_.word_bits == 8 ? pack_bytes(weights) : pack(weights);
    for (std::size_t o = 0; o < channels_; ++o) finish_[0].constant()[o] = factors_.constant(o, features_);
    finish_[0].set_row_factor(weights.offsets);
    factors_.place(layer_, finish_);
    if (layer_.pairs) pair_weights();
    layer_.weights = packed_.data();
    layer_.epilogue = finish_[0].view();
    name = where;
    kernel = kernel_.level;
    unit = "popcount";
    tiles_.emplace(kernels, layer_, weights);
    scratch = 1 + std::max(layer_.pairs ? input.row / sizeof(std::int32_t) : 0, tiles_->scratch());
    products = static_cast<double>(features_ * channels_);
    work = products * layer_.input_planes * layer_.weight_planes;
    done = static_cast<double>(layer_.words * 32 * groups_of(channels_) * kGroup * layer_.input_planes * layer_.weight_planes);
    weight_bytes = packed_.size() * sizeof(std::uint32_t);
    cost = kernels.paths.nanoseconds(Path::popcount, false, done);
  }

  void run(const Block& block) const override {
    Rows rows = rows_of(block, x_, result);
    if (finish_[0].needs_sums()) sum_inputs(rows, block.sums);
    if (tiles_->suit(block.rows)) {
      rows = tiles_->inputs(rows, block.sums + block.rows);
      return share_groups(block, groups_of(channels_), cost, [&](Groups groups) { tiles_->run(rows, groups); });
    }
    rows.backwards = block.rows == 1 && turn_.fetch_xor(1, std::memory_order_relaxed) != 0;
    if (layer_.pairs) rows.x = pair_inputs(block.place(x_), block.rows, block.sums + block.rows);
    share_groups(block, groups_of(channels_), cost, [&](Groups groups) { kernel_.run(layer_, rows, groups); });
  }

 private:
  static constexpr const char* where = "plane_fully_connected";

  void check(const Value& input, const PlaneWeights& w) const {
    const std::size_t planes = w.factors.columns, words = round_up(input.features, 32) / 32;
    require(input.kind == Kind::planes && input.dense(), where, "planes without gaps", "another kind of value");
    require(channels_ >= 1 && w.planes.rows == channels_ && w.planes.columns == planes * words, where,
            {"weights [", channels_, ", ", planes, ", ", words, "]"},
            {w.planes.rows, " rows of ", w.planes.columns, " words"});
    const std::size_t tail = input.features % 32;
    std::uint32_t after = 0;
    for (std::size_t n = 0; tail != 0 && n < channels_ * planes; ++n) after |= w.planes.data[(n + 1) * words - 1] >> tail;
    require(after == 0, where, "zero bits after the last weight", "ones");
  }

  // In words of the kernel.
  PlaneLayout layout() const {
    const std::size_t words = layer_.words * 32 / kernel_.word_bits;
    return {channels_, words, layer_.weight_planes, kernel_.lanes, layer_.pairs ? 2u : 1u};
  }

  // [channels][planes][words of 32] -> the kernel's layout
  void pack(const PlaneWeights& w) {
    const std::size_t per_word = kernel_.word_bits / 32;
    const PlaneLayout layout = this->layout();
    packed_.resize(layout.size() * per_word);
    layout.pack(w.planes, features_, layer_.words, per_word, packed_.data());
  }

  // [channels][planes][words] -> [groups][planes][bytes][16].
  void pack_bytes(const PlaneWeights& w) {
    const std::size_t planes = w.factors.columns, bytes = 4 * layer_.words;
    packed_.resize(groups_of(channels_) * planes * bytes * kGroup / sizeof packed_[0]);
    auto* packed = reinterpret_cast<std::uint8_t*>(packed_.data());
    for (std::size_t o = 0; o < channels_; ++o) {
      for (std::size_t j = 0; j < planes; ++j) {
        const std::uint32_t* from = w.planes.row(o) + j * layer_.words;
        std::uint8_t* to = packed + (o / kGroup * planes + j) * bytes * kGroup + o % kGroup;
        for (std::size_t k = 0; k < layer_.words; ++k, to += 4 * kGroup) {
          for (std::size_t b = 0; b < 4; ++b) to[b * kGroup] = static_cast<std::uint8_t>(from[k] >> 8 * b);
        }
      }
    }
  }

  // (w1, w2) -> (w1, w1 ^ w2), whose bits join the constants; of a bare layer, the thresholds.
  void pair_weights() {
    const PlaneLayout layout = this->layout();
    std::vector<std::int32_t> ones(layer_.weight_planes);
    for (std::size_t o = 0; o < channels_; ++o) {
      for (std::size_t j = 0; j < ones.size(); ++j) ones[j] = layout.pair(packed_.data(), o, j, 0, layer_.words);
      finish_[0].constant()[o] += factors_.pair_constant(layer_, o, ones);
      if (layer_.bare) finish_[0].fold(o, 1);
    }
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
        sums[row] += factors_.input()[i] * (2 * ones - n);
      }
    }
  }

  PlaneKernel<plane_fully_connected_kernel> kernel_;
  std::size_t x_, features_, channels_;
  PlaneFactors factors_;
  std::vector<Finish> finish_;  // one
  Aligned<std::uint32_t> packed_;
  PlaneLayer layer_{};
  std::optional<PlaneTiles> tiles_;
  mutable std::atomic<unsigned> turn_{0};  // a row after another reads what the caches kept of the last one's weights first
};

void sum_bytes(const Rows& rows, std::size_t features, std::int32_t* sums) {
  for (std::size_t row = 0; row < rows.count; ++row) {
    const auto* x = reinterpret_cast<const std::uint8_t*>(rows.x + row * rows.x_row);
    sums[row] = 0;
    for (std::size_t n = 0; n < features; ++n) sums[row] += x[n];
  }
}

class ByteStep final : public Step {
 public:
  ByteStep(const KernelSet& kernels, std::size_t x, const Value& input, const ByteWeights& w,
           const EpilogueSpec& epilogue)
      : x_(x), features_(input.features), channels_(w.weights.rows), finish_(where, channels_, epilogue) {
    reach_ = check(input, w);
    layer_.quads = round_up(features_, 8) / 4;
    layer_.fours_fit = fours_fit(input, w.weights);
    layer_.small = input.top <= 127;
    pack(w.weights);
    std::copy(w.constant.begin(), w.constant.end(), finish_.constant().begin());
    finish_.set_row_factor(w.row_factor);
    layer_.weights = packed_.data();
    layer_.epilogue = finish_.view();
    name = where;
    const bool tiles = kernels.takes_tiles({false, features_, 1, kMaxBits, kMaxBits}, channels_);
    const auto choose = [&](const auto& of) {
      kernel_ = of.run, kernel = of.level;
      if (of.quick) quick_ = QuickEndings(layer_.epilogue, reach_);
    };
    if (tiles) choose(kernels.tile_fully_connected);
    else choose(kernels.byte_fully_connected);
    unit = tiles ? "tiles" : "dot";
    work = products = static_cast<double>(features_ * channels_);
    done = static_cast<double>(packed_.size());
    weight_bytes = packed_.size();
    cost = kernels.paths.nanoseconds(tiles ? Path::tiles : Path::dot, false, done);
  }

  void run(const Block& block) const override {
    const Rows rows = rows_of(block, x_, result);
    if (finish_.needs_sums()) sum_bytes(rows, features_, block.sums);
    share_groups(block, groups_of(channels_), cost, [&](Groups groups) { kernel_(layer_, rows, groups); });
  }

  static constexpr const char* where = "byte_fully_connected";

  // Returns how far from zero a sum can be.
  static std::int64_t check(const Value& input, const ByteWeights& w) {
    const std::size_t channels_ = w.weights.rows, features_ = input.features;
    std::int64_t reach_ = 0;
    require(input.kind == Kind::bytes && input.dense(), where, "bytes without gaps", "another kind of value");
    require(channels_ >= 1 && w.weights.columns == features_, where, {"weights of ", features_, " inputs"},
            w.weights.columns);
    require(w.constant.size() == channels_, where, {channels_, " constants"},
            w.constant.size());
    require(w.row_factor.empty() || w.row_factor.size() == channels_, where, {channels_, " row factors"},
            w.row_factor.size());
    for (std::size_t o = 0; o < channels_; ++o) {
      Extremes sums;
      const std::int32_t factor = w.row_factor.empty() ? 0 : w.row_factor[o];
      for (std::size_t n = 0; n < features_; ++n) sums.add(std::int64_t{w.weights.row(o)[n]} + factor, input.top);
      require(sums.fit(w.constant[o]), where, "accumulators below 2^31", {"larger ones in channel ", o});
      reach_ = std::max(reach_, sums.reach(w.constant[o]));
    }
    return reach_;
  }

 private:
  static bool fours_fit(const Value& input, const Matrix<std::int8_t>& weights) {
    int largest = 0;
    for (std::size_t n = 0; n < weights.rows * weights.columns; ++n) {
      largest = std::max(largest, std::abs(int{weights.data[n]}));
    }
    return 4 * static_cast<int>(input.top) * largest <= std::numeric_limits<std::int16_t>::max();
  }

  void pack(const Matrix<std::int8_t>& weights) {
    packed_.resize((groups_of(channels_) * layer_.quads + kSpareQuads) * kGroup * 4);
    for (std::size_t o = 0; o < channels_; ++o) {
      for (std::size_t n = 0; n < features_; ++n) {
        packed_[((o / kGroup * layer_.quads + n / 4) * kGroup + o % kGroup) * 4 + n % 4] = weights.row(o)[n];
      }
    }
  }

  byte_fully_connected_kernel* kernel_ = nullptr;
  std::size_t x_, features_, channels_;
  Finish finish_;
  std::int64_t reach_ = 0;  // no sum is further from zero
  QuickEndings quick_;
  Aligned<std::int8_t> packed_;
  ByteLayer layer_{};
};

// Weights of so many bytes wait for the memory, so that codes of few bits are multiplied sooner.
constexpr std::size_t kPackedFrom = std::size_t{1} << 18;

// Weights of few levels, w = low + step * code.
struct FewLevels {
  unsigned bits = 0;  // of codes: 2 or 4, or 0 where there are more levels
  std::vector<std::int32_t> low, step;

  explicit FewLevels(const Matrix<std::int8_t>& weights) {
    int top = 0;
    for (std::size_t o = 0; o < weights.rows; ++o) {
      const std::int8_t *row = weights.row(o), *end = row + weights.columns;
      const auto [least, most] = std::minmax_element(row, end);
      int unit = 0;
      for (const std::int8_t* w = row; w != end && unit != 1; ++w) unit = std::gcd(unit, *w - *least);
      low.push_back(*least), step.push_back(std::max(unit, 1));
      top = std::max(top, (*most - *least) / step.back());
    }
    const bool fits = weights.columns < (std::size_t{1} << 17);  // sums on the way too, of which some are four times as large
    if (fits && weights.columns != 0 && top <= 15) bits = top <= 3 ? 2 : 4;
  }
};

class ByteCodeStep final : public Step {
 public:
  ByteCodeStep(const KernelSet& kernels, std::size_t x, const Value& input, const ByteWeights& w, const EpilogueSpec& epilogue,
               const FewLevels& levels)
      : kernel_(kernels.byte_code_fully_connected), x_(x), finish_(ByteStep::where, w.weights.rows, epilogue) {
    ByteStep::check(input, w);
    const std::size_t channels = w.weights.rows, inputs = 32 / levels.bits;
    std::copy(w.constant.begin(), w.constant.end(), finish_.constant().begin());
    std::vector<std::int32_t> factor = levels.low;
    for (std::size_t o = 0; o < w.row_factor.size(); ++o) factor[o] += w.row_factor[o];
    finish_.set_row_factor(factor);
    step_ = padded(std::span<const std::int32_t>(levels.step));
    layer_ = {input.features, groups_of(channels), levels.bits, round_up(input.features, inputs) / inputs, nullptr, step_.data(), finish_.view()};
    pack(w.weights, levels);
    layer_.weights = packed_.data();
    name = ByteStep::where;
    kernel = kernel_.level;
    unit = "dot";
    work = products = static_cast<double>(input.features * channels);
    done = static_cast<double>(packed_.size() * 8 / levels.bits);
    weight_bytes = packed_.size();
    cost = kernels.paths.nanoseconds(Path::dot, false, done);
  }

  void run(const Block& block) const override {
    const Rows rows = rows_of(block, x_, result);
    if (finish_.needs_sums()) sum_bytes(rows, layer_.features, block.sums);
    share_groups(block, layer_.groups, cost, [&](Groups groups) { kernel_.run(layer_, rows, groups); });
  }

 private:
  void pack(const Matrix<std::int8_t>& weights, const FewLevels& levels) {
    const std::size_t inputs = 32 / levels.bits;
    packed_.resize(layer_.groups * layer_.lines * kGroup * 4);
    for (std::size_t o = 0; o < weights.rows; ++o) {
      const std::size_t group = o / kGroup, block = group / kBlock * kBlock, width = std::min(layer_.groups - block, kBlock);
      for (std::size_t n = 0; n < weights.columns; ++n) {
        const std::size_t line = block * layer_.lines + n / inputs * width + group - block;
        const auto code = static_cast<unsigned>((weights.row(o)[n] - levels.low[o]) / levels.step[o]);
        std::uint8_t& byte = packed_[(line * kGroup + o % kGroup) * 4 + n % 4];
        byte = static_cast<std::uint8_t>(byte | code << (n % inputs / 4 * levels.bits));
      }
    }
  }

  Kernel<byte_code_fully_connected_kernel> kernel_;
  std::size_t x_;
  Finish finish_;
  Aligned<std::int32_t> step_;
  Aligned<std::uint8_t> packed_;
  ByteCodeLayer layer_{};
};

}  // namespace

std::unique_ptr<Step> plane_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                            const PlaneWeights& weights, const EpilogueSpec& epilogue) {
  return std::make_unique<PlaneStep>(kernels, x, input, weights, epilogue);
}

std::unique_ptr<Step> byte_code_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                                const ByteWeights& weights, const EpilogueSpec& epilogue) {
  if (kernels.byte_code_fully_connected.run == nullptr) return nullptr;
  const FewLevels levels(weights.weights);
  return levels.bits == 0 ? nullptr : std::make_unique<ByteCodeStep>(kernels, x, input, weights, epilogue, levels);
}

std::unique_ptr<Step> byte_fully_connected(const KernelSet& kernels, std::size_t x, const Value& input,
                                           const ByteWeights& weights, const EpilogueSpec& epilogue) {
  const bool tiles = kernels.takes_tiles({false, input.features, 1, kMaxBits, kMaxBits}, weights.weights.rows);
  if (!tiles && weights.weights.rows * weights.weights.columns >= kPackedFrom) {
    if (auto step = byte_code_fully_connected(kernels, x, input, weights, epilogue)) return step;
  }
  return std::make_unique<ByteStep>(kernels, x, input, weights, epilogue);
}

}  // namespace lowbit
