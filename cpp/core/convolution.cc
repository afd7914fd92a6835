#include "convolution.h"

#include <bit>
#include <cstring>
#include <limits>

#include "error.h"
#include "map_layer.h"
#include "quick_endings.h"
#include "share.h"

namespace lowbit {
namespace {

class PlaneConvolutionStep final : public Step {
 public:
  [[gnu::cold]] PlaneConvolutionStep(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                       const WindowSpec& window, const PlaneWeights& weights, const EpilogueSpec& epilogue)
      : kernel_(kernels.plane_convolution), x_(x), channels_(output.channels()),
        depth_(input.channels() / std::max<std::size_t>(window.group, 1)), plan_(where, input, window),
        factors_(where, weights, input.bits, plan_.taps() * depth_),
        endings_(endings_of(where, channels_, plan_.region_count(), epilogue, true)) {
    check(input, output, window, weights);
    const std::size_t units = round_up(depth_, 32) / 32;
    layer_.input_planes = input.bits;
    layer_.weight_planes = static_cast<unsigned>(weights.factors.columns);
    layer_.words = plan_.taps() * units;
    layer_.groups = groups_of(channels_);
    layer_.pairs = kernel_.pairs && units % 2 == 0;
    pack(weights, units);
    for (std::size_t r = 0; r < endings_.size(); ++r) {
      for (std::size_t o = 0; o < channels_; ++o) {
        endings_[r].constant()[o] = factors_.constant(o, plan_.taps(r) * depth_);
      }
      endings_[r].set_row_factor(weights.offsets);
    }
    factors_.place(layer_, endings_);
    factors_.narrow(layer_);
    if (layer_.pairs) pair_weights(units);
    layer_.weights = packed_.data();
    set_shift(window.group, units);
    plan_.lay(units, window.group == 1, output.pixel);
    regions_ = plan_.regions(endings_);
    if (!needs_sums()) plan_.forget_pixels();
    if (layer_.binary) strips_ = plan_.strips(units, layer_.pairs ? 2 : 1, output.pixel, endings_);
    window_ = {regions_.data(), regions_.size(), output.pixels(), shift_.empty() ? nullptr : shift_.data(), strips_.data(),
               strips_.size()};
    name = where;
    kernel = kernel_.level;
    unit = "popcount";
    products = static_cast<double>(plan_.all_taps() * depth_ * channels_);
    work = products * layer_.input_planes * layer_.weight_planes;
    done = work * static_cast<double>(units * 32 * groups_of(channels_) * kGroup) / static_cast<double>(depth_ * channels_);
    weight_bytes = packed_.size() * sizeof(std::uint32_t);
    sums_each_ = needs_sums() ? output.pixels() + input.pixels() : 1;
    scratch = sums_each_ + (layer_.pairs ? input.row / sizeof(std::int32_t) : 0);
    cost = kernels.paths.nanoseconds(Path::popcount, true, done);
  }

  void run(const Block& block) const override {
    Rows maps = maps_of(block, x_, result, needs_sums());
    if (needs_sums()) sum_windows(block.place(x_), block.rows, block.sums);
    if (layer_.pairs) maps.x = pair_inputs(block.place(x_), block.rows, block.sums + block.rows * sums_each_);
    share_maps(block, groups_of(channels_), window_.sum_count, cost,
          [&](const Part& part) { kernel_.run(layer_, window_, maps, part); });
  }

 private:
  static constexpr const char* where = "plane_convolution";

  bool needs_sums() const { return endings_[0].needs_sums(); }

  void check(const Value& input, const Value& output, const WindowSpec& window, const PlaneWeights& w) const {
    const std::size_t planes = w.factors.columns, inputs = plan_.taps() * depth_, words = round_up(inputs, 32) / 32;
    require(input.kind == Kind::planes, where, "planes", "another kind of value");
    check_shape(where, input, output, window, plan_, inputs);
    require(w.factors.rows == channels_ && w.planes.rows == channels_ && w.planes.columns == planes * words, where,
            {"weights [", channels_, ", ", planes, ", ", words, "]"},
            {w.planes.rows, " rows of ", w.planes.columns, " words"});
    const bool aligned = depth_ % 32 == 0 && channels_ / window.group % kGroup == 0 && w.offsets.empty();
    require(window.group == 1 || aligned, where, "groups of whole words, without weight offsets", "others");
  }

  PlaneLayout layout() const {
    return {channels_, layer_.words, layer_.weight_planes, kernel_.lanes, layer_.pairs ? 2u : 1u};
  }

  // [channels][planes][bits] -> the kernel's layout; words by tap
  void pack(const PlaneWeights& w, std::size_t units) {
    const PlaneLayout layout = this->layout();
    packed_.resize(layout.size());
    layout.pack(w.planes, depth_, units, 1, packed_.data());
  }

  // (w1, w2) -> (w1, w1 ^ w2), whose bits each ending counts.
  void pair_weights(std::size_t units) {
    const std::size_t planes = layer_.weight_planes;
    const PlaneLayout layout = this->layout();
    std::vector<std::int32_t> ones(plan_.taps() * planes), sums(planes);
    std::vector<std::vector<std::size_t>> valid;
    for (std::size_t r = 0; r < endings_.size(); ++r) valid.push_back(plan_.valid(r));
    for (std::size_t o = 0; o < channels_; ++o) {
      for (std::size_t tap = 0; tap < plan_.taps(); ++tap) {
        for (std::size_t j = 0; j < planes; ++j) {
          ones[tap * planes + j] = layout.pair(packed_.data(), o, j, tap * units, (tap + 1) * units);
        }
      }
      for (std::size_t r = 0; r < endings_.size(); ++r) {
        std::fill(sums.begin(), sums.end(), 0);
        for (const std::size_t tap : valid[r]) {
          for (std::size_t j = 0; j < planes; ++j) sums[j] += ones[tap * planes + j];
        }
        end_in_pairs(r, o, sums);
      }
    }
  }

  void end_in_pairs(std::size_t region, std::size_t o, std::span<const std::int32_t> ones) {
    if (layer_.binary) return endings_[region].pair(o, ones[0]);
    endings_[region].constant()[o] += factors_.pair_constant(layer_, o, ones);
  }

  void set_shift(std::size_t group, std::size_t units) {
    for (std::size_t g = 0; group > 1 && g < groups_of(channels_); ++g) {
      shift_.push_back(static_cast<std::uint32_t>(g * kGroup / (channels_ / group) * units * 4));
    }
  }

  // Sums of the levels in every window: first of every input pixel, sum_i mx_i (2 popcount(x_i) - c), then of its taps.
  void sum_windows(const Place& in, std::size_t rows, std::int32_t* sums_at) const {
    const Value& value = *in.value;
    std::int32_t* pixel_sums = sums_at + rows * window_.sum_count;
    for (std::size_t row = 0; row < rows; ++row, sums_at += window_.sum_count) {
      for (std::size_t p = 0; p < value.pixels(); ++p) {
        pixel_sums[p] = 0;
        for (unsigned i = 0; i < value.bits; ++i) {
          const std::byte* at = in.at + row * value.row + i * value.plane + p * value.pixel;
          std::int32_t ones = 0;
          for (std::size_t k = 0; k < round_up(depth_, 32) / 32; ++k) {
            std::uint32_t word;
            std::memcpy(&word, at + 4 * k, sizeof word);
            ones += std::popcount(word);
          }
          pixel_sums[p] += factors_.input()[i] * (2 * ones - static_cast<std::int32_t>(depth_));
        }
      }
      plan_.sum_windows(pixel_sums, sums_at);
    }
  }

  PlaneKernel<plane_convolution_kernel> kernel_;
  std::size_t x_, channels_, depth_, sums_each_ = 1;
  WindowPlan plan_;
  PlaneFactors factors_;
  std::vector<Finish> endings_;
  Aligned<std::uint32_t> packed_;
  std::vector<std::uint32_t> shift_;
  PlaneLayer layer_{};
  std::vector<Region> regions_;
  std::vector<Strips> strips_;
  Window window_{};
};

class EndedByteConvolution;

class ByteConvolutionStep final : public Step {
 public:
  [[gnu::cold]] ByteConvolutionStep(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                      const WindowSpec& window, const ByteWeights& w, const EpilogueSpec& epilogue)
      : x_(x), channels_(output.channels()),
        depth_(input.channels() / std::max<std::size_t>(window.group, 1)), plan_(where, input, window),
        endings_(endings_of(where, channels_, plan_.region_count(), epilogue, w.constant.size() > channels_)) {
    check(input, output, window, w);
    choose(kernels, is_depthwise(input, output, window), window.group);
    if (depthwise_ != nullptr) pack_taps(w.weights);
    else pack_quads(w.weights, input, window.group);
    plan_.lay(units_.count, window.group == 1, output.pixel);
    for (std::size_t r = 0; r < endings_.size(); ++r) {
      const auto* constant = w.constant.data() + (w.constant.size() > channels_ ? r * channels_ : 0);
      std::copy(constant, constant + channels_, endings_[r].constant().begin());
      endings_[r].set_row_factor(w.row_factor);
    }
    regions_ = plan_.regions(endings_);
    if (!needs_sums()) plan_.forget_pixels();
    if (takes_quick_) quick_ = QuickEndings(regions_, reach_);
    window_ = {regions_.data(), regions_.size(), output.pixels(), units_.shift.empty() ? nullptr : units_.shift.data(),
               nullptr, 0};
    y_pixel_ = output.pixel;
    name = where;
    work = products = static_cast<double>(plan_.all_taps() * depth_ * channels_);
    weight_bytes = packed_.size() + packed_taps_.size() * sizeof(std::int32_t);
    done = packed_.empty() ? work : work * static_cast<double>(units_.count * 4 * groups_of(channels_) * kGroup) / static_cast<double>(depth_ * channels_);
    scratch = needs_sums() ? output.pixels() + input.pixels() : 1;
    cost = depthwise_ != nullptr ? static_cast<double>(output.pixels() * plan_.taps() * channels_) / 50
                                 : kernels.paths.nanoseconds(kernel_ == kernels.byte_convolution.run ? Path::dot : Path::tiles, true, done);
  }

  void run(const Block& block) const override { run_as(block, window_, result); }

  // With other regions, into another value.
  void run_as(const Block& block, const Window& window, std::size_t into) const {
    const Rows maps = maps_of(block, x_, into, needs_sums());
    if (needs_sums()) sum_windows(block.place(x_), block.rows, block.sums);
    const std::size_t weights = packed_.size() + packed_taps_.size() * sizeof(std::int32_t);
    const std::size_t pieces = pieces_of(*block.place(x_).value, *block.place(into).value, weights);
    share_maps(block, groups_of(channels_), window.sum_count, cost, [&](const Part& part) {
      run_in_pieces(part, pieces, [&](const Part& piece) {
        if (depthwise_ != nullptr) return depthwise_(taps_, window, maps, piece);
        kernel_(layer_, window, maps, piece);
      });
    });
  }

  [[gnu::cold]] std::unique_ptr<Step> followed(const Following& next, const Value& last) const override;

 private:
  static constexpr const char* where = "byte_convolution";

  void choose(const KernelSet& kernels, bool depthwise, std::size_t group) {
    const bool tiles = group == 1 && kernels.takes_tiles({true, depth_, plan_.taps(), kMaxBits, kMaxBits}, channels_);
    const auto take = [&](auto& run, const auto& of) { run = of.run, kernel = of.level, takes_quick_ = of.quick; };
    if (tiles) take(kernel_, kernels.tile_convolution);
    else take(kernel_, kernels.byte_convolution);
    if (depthwise && kernels.byte_depthwise.run != nullptr) take(depthwise_, kernels.byte_depthwise);
    unit = tiles ? "tiles" : "dot";
  }

  bool needs_sums() const { return endings_[0].needs_sums(); }

  void pack_quads(const Matrix<std::int8_t>& weights, const Value& input, std::size_t group) {
    units_ = group_units(input, channels_, group, 4);
    packed_ = packed_taps<4>(weights, depth_, group, units_, kSpareQuads);
    layer_.quads = plan_.taps() * units_.count;
    layer_.fours_fit = fours_fit(input, weights);
    layer_.small = input.top <= 127;
    layer_.weights = packed_.data();
  }

  void pack_taps(const Matrix<std::int8_t>& weights) {
    units_ = depthwise_units(channels_, 1);
    packed_taps_ = packed_lanes<std::int32_t>(weights);
    packed_ = unpacked_quads(weights);
    taps_ = {weights.columns, packed_taps_.data(), packed_.data()};
  }

  void check(const Value& input, const Value& output, const WindowSpec& window, const ByteWeights& w) {
    require(input.kind == Kind::bytes, where, "bytes", "another kind of value");
    check_shape(where, input, output, window, plan_, w.weights.columns);
    require(w.weights.rows == channels_, where, {channels_, " channels"}, w.weights.rows);
    require(w.constant.size() == channels_ || w.constant.size() == channels_ * plan_.region_count(), where,
            {channels_, " constants, or as many for each of ", plan_.region_count(), " regions"},
            w.constant.size());
    require(w.row_factor.empty() || w.row_factor.size() == channels_, where, {channels_, " row factors"},
            w.row_factor.size());
    require(window.group == 1 || w.row_factor.empty(), where, "groups without row factors", "row factors");
    std::vector<std::vector<std::size_t>> valid;
    for (std::size_t r = 0; r < plan_.region_count(); ++r) valid.push_back(plan_.valid(r));
    for (std::size_t o = 0; o < channels_; ++o) check_sums(o, input.top, w, valid);
  }

  // Extremes tap by tap, then of every region's own taps with its own constant.
  void check_sums(std::size_t o, unsigned top, const ByteWeights& w, const std::vector<std::vector<std::size_t>>& valid) {
    const std::int32_t factor = w.row_factor.empty() ? 0 : w.row_factor[o];
    std::vector<Extremes> taps(plan_.taps());
    for (std::size_t tap = 0, n = 0; tap < taps.size(); ++tap) {
      for (std::size_t c = 0; c < depth_; ++c, ++n) taps[tap].add(std::int64_t{w.weights.row(o)[n]} + factor, top);
    }
    for (std::size_t r = 0; r < plan_.region_count(); ++r) {
      Extremes sums;
      for (const std::size_t tap : valid[r]) sums.low += taps[tap].low, sums.high += taps[tap].high;
      const std::size_t constant = w.constant.size() > channels_ ? r * channels_ + o : o;
      require(sums.fit(w.constant[constant]), where, "accumulators below 2^31", {"larger ones in channel ", o});
      reach_ = std::max(reach_, sums.reach(w.constant[constant]));
    }
  }

  static bool fours_fit(const Value& input, const Matrix<std::int8_t>& weights) {
    int largest = 0;
    for (std::size_t n = 0; n < weights.rows * weights.columns; ++n) {
      largest = std::max(largest, std::abs(int{weights.data[n]}));
    }
    return 4 * static_cast<int>(input.top) * largest <= std::numeric_limits<std::int16_t>::max();
  }

  void sum_windows(const Place& in, std::size_t rows, std::int32_t* sums_at) const {
    const Value& value = *in.value;
    std::int32_t* pixel_sums = sums_at + rows * window_.sum_count;
    for (std::size_t row = 0; row < rows; ++row, sums_at += window_.sum_count) {
      for (std::size_t p = 0; p < value.pixels(); ++p) {
        pixel_sums[p] = 0;
        for (std::size_t c = 0; c < depth_; ++c) pixel_sums[p] += in.bytes(row)[p * value.pixel + c];
      }
      plan_.sum_windows(pixel_sums, sums_at);
    }
  }

  byte_convolution_kernel* kernel_ = nullptr;
  std::size_t x_, channels_, depth_;
  WindowPlan plan_;
  std::vector<Finish> endings_;
  byte_depthwise_kernel* depthwise_ = nullptr;  // instead, where it is one
  Aligned<std::int8_t> packed_;
  Aligned<std::int32_t> packed_taps_;
  GroupUnits units_;
  ByteLayer layer_{};
  DepthwiseLayer taps_{};
  std::vector<Region> regions_;
  std::int64_t reach_ = 0;  // no sum is further from zero
  QuickEndings quick_;
  bool takes_quick_ = false;  // the kernel does
  Window window_{};
  std::size_t y_pixel_;
};

// The same with what follows it.
class EndedByteConvolution final : public Step {
 public:
  [[gnu::cold]] EndedByteConvolution(const ByteConvolutionStep& layer, const Window& window, std::vector<Region> regions,
                       std::vector<std::vector<Pixel>> pixels, QuickEndings quick)
      : layer_(layer), regions_(std::move(regions)), pixels_(std::move(pixels)), quick_(std::move(quick)), window_(window) {
    for (std::size_t r = 0; r < pixels_.size(); ++r) regions_[r].pixels = pixels_[r].data();
    window_.regions = regions_.data();
    name = layer.name, kernel = layer.kernel, unit = layer.unit, work = layer.work, cost = layer.cost;
    products = layer.products, done = layer.done, weight_bytes = layer.weight_bytes;
  }

  void run(const Block& block) const override { layer_.run_as(block, window_, result); }

 private:
  const ByteConvolutionStep& layer_;
  std::vector<Region> regions_;
  std::vector<std::vector<Pixel>> pixels_;
  QuickEndings quick_;
  Window window_;
};

std::unique_ptr<Step> ByteConvolutionStep::followed(const Following& next, const Value& last) const {
  std::vector<Region> regions = regions_;
  std::vector<std::vector<Pixel>> pixels;
  for (Region& region : regions) {
    if (!follow(region.epilogue, next)) return nullptr;
    std::vector<Pixel>& places = pixels.emplace_back(region.pixels, region.pixels + region.pixel_count);
    for (Pixel& place : places) place.y = static_cast<std::uint32_t>(place.y / y_pixel_ * last.pixel);
  }
  QuickEndings quick;
  if (takes_quick_) quick = QuickEndings(regions, reach_);
  return std::make_unique<EndedByteConvolution>(*this, window_, std::move(regions), std::move(pixels), std::move(quick));
}

// In one group, or depthwise.
class FloatConvolutionStep final : public Step {
 public:
  [[gnu::cold]] FloatConvolutionStep(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                       const WindowSpec& window, Matrix<float> weights, std::span<const float> bias)
      : x_(x), plan_(where, input, window), bias_(padded(bias)) {
    const bool depthwise = is_depthwise(input, output, window);
    require(input.kind == Kind::real && (window.group == 1 || depthwise), where, "floats in one group, or depthwise", "others");
    check_shape(where, input, output, window, plan_, weights.columns);
    require(weights.rows == output.channels() && bias.size() == weights.rows, where,
            {output.channels(), " channels"}, weights.rows);
    const auto choose = [&](const auto& of) { kernel_ = of.run, kernel = of.level; };
    if (depthwise) choose(kernels.float_depthwise), units_ = depthwise_units(weights.rows, sizeof(float));
    else choose(kernels.float_convolution), units_.count = input.channels();
    packed_ = packed_lanes<float>(weights);
    layer_ = {weights.columns, weights.rows, packed_.data(), bias_.data()};
    plan_.lay(units_.count, !depthwise, output.pixel);
    regions_ = plan_.regions({});
    plan_.forget_pixels();
    window_ = {regions_.data(), regions_.size(), output.pixels(), depthwise ? units_.shift.data() : nullptr, nullptr, 0};
    name = where;
    unit = "float";
    work = products = static_cast<double>(plan_.all_taps() * units_.count * weights.rows);
    done = depthwise ? work : work * static_cast<double>(groups_of(weights.rows) * kGroup) / static_cast<double>(weights.rows);
    weight_bytes = packed_.size() * sizeof(float);
    cost = static_cast<double>(output.pixels() * weights.columns * weights.rows) / 20;
  }

  void run(const Block& block) const override {
    const Rows maps = maps_of(block, x_, result, false);
    const std::size_t pieces = pieces_of(*block.place(x_).value, *block.place(result).value, packed_.size() * sizeof(float));
    share_maps(block, groups_of(layer_.channels), window_.sum_count, cost, [&](const Part& part) {
      run_in_pieces(part, pieces, [&](const Part& piece) { kernel_(layer_, window_, maps, piece); });
    });
  }

 private:
  static constexpr const char* where = "float_convolution";

  float_convolution_kernel* kernel_ = nullptr;
  std::size_t x_;
  WindowPlan plan_;
  GroupUnits units_{};
  Aligned<float> packed_, bias_;
  FloatLayer layer_{};
  std::vector<Region> regions_;
  Window window_{};
};

// Other groups of channels: the outputs of a group side by side, every sum in the order of the weights.
class GroupedFloatStep final : public Step {
 public:
  [[gnu::cold]] GroupedFloatStep(std::size_t x, const Value& input, const Value& output, const WindowSpec& window,
                   Matrix<float> weights, std::span<const float> bias)
      : x_(x), depth_(input.channels() / std::max<std::size_t>(window.group, 1)), plan_(where, input, window),
        bias_(bias.begin(), bias.end()) {
    require(input.kind == Kind::real, where, "floats", "others");
    check_shape(where, input, output, window, plan_, weights.columns);
    require(weights.rows == output.channels() && bias.size() == weights.rows, where,
            {output.channels(), " channels"}, weights.rows);
    each_ = weights.rows / window.group;
    weights_.resize(weights.rows * weights.columns);
    for (std::size_t o = 0; o < weights.rows; ++o) {
      for (std::size_t n = 0; n < weights.columns; ++n) {
        weights_[(o / each_ * weights.columns + n) * each_ + o % each_] = weights.row(o)[n];
      }
    }
    for (std::size_t r = 0; r < plan_.region_count(); ++r) valid_.push_back(plan_.valid(r));
    name = where;
    kernel = "portable";
    unit = "float";
    work = products = done = static_cast<double>(output.pixels() * weights_.size());
    weight_bytes = weights_.size() * sizeof(float);
    cost = work / 4;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    const std::size_t from = in.value->channels(), channels = bias_.size();
    share_maps(block, 1, out.value->pixels(), cost, [&](const Part& part) {
      for (std::size_t row = 0; row < block.rows; ++row) {
        for (std::size_t r = 0; r < plan_.region_count(); ++r) {
          plan_.each_pixel(r, part.part, part.parts, [&](const std::vector<std::uint32_t>& taps, std::size_t first, std::size_t at) {
            pixel(in.real(row) + first * from, from, taps, valid_[r], out.real(row) + at * channels);
          });
        }
      }
    });
  }

 private:
  static constexpr const char* where = "float_convolution";

  using Taps = std::vector<std::uint32_t>;
  typedef float Four __attribute__((vector_size(16)));

  void pixel(const float* x, std::size_t from, const Taps& taps, const std::vector<std::size_t>& valid, float* y) const {
    for (std::size_t first = 0; first < bias_.size(); first += each_) {
      const float* group = x + first / each_ * depth_;
      std::size_t o = first;
      for (const std::size_t end = first + each_; o != end;) {
        if (end - o >= 16) o += sum<Four, 4>(group, from, taps, valid, o, y);
        else if (end - o >= 12) o += sum<Four, 3>(group, from, taps, valid, o, y);
        else if (end - o >= 8) o += sum<Four, 2>(group, from, taps, valid, o, y);
        else if (end - o >= 4) o += sum<Four, 1>(group, from, taps, valid, o, y);
        else o += sum<float, 1>(group, from, taps, valid, o, y);
      }
    }
  }

  // Some outputs of a group from `o` on, whose sums stay in registers; returns how many.
  template <class Vector, std::size_t kVectors>
  std::size_t sum(const float* x, std::size_t from, const Taps& taps, const std::vector<std::size_t>& valid, std::size_t o, float* y) const {
    Vector sums[kVectors], weights[kVectors];
    std::memcpy(sums, bias_.data() + o, sizeof sums);
    const std::size_t count = weights_.size() / bias_.size();
    for (std::size_t t = 0; t < taps.size(); ++t) {
      const float* w = weights_.data() + o / each_ * each_ * count + valid[t] * depth_ * each_ + o % each_;
      for (std::size_t c = 0; c < depth_; ++c, w += each_) {
        std::memcpy(weights, w, sizeof weights);
#pragma GCC unroll 4
        for (std::size_t v = 0; v < kVectors; ++v) sums[v] += x[taps[t] * from + c] * weights[v];
      }
    }
    std::memcpy(y + o, sums, sizeof sums);
    return kVectors * (sizeof(Vector) / sizeof(float));
  }

  std::size_t x_, depth_, each_ = 1;
  WindowPlan plan_;
  std::vector<std::vector<std::size_t>> valid_;  // taps, by region
  Aligned<float> weights_;
  std::vector<float> bias_;
};

}  // namespace

[[gnu::cold]] std::unique_ptr<Step> plane_convolution(const KernelSet& kernels, std::size_t x, const Value& input,
                                        const Value& output, const WindowSpec& window, const PlaneWeights& weights,
                                        const EpilogueSpec& epilogue) {
  return std::make_unique<PlaneConvolutionStep>(kernels, x, input, output, window, weights, epilogue);
}

[[gnu::cold]] std::unique_ptr<Step> byte_convolution(const KernelSet& kernels, std::size_t x, const Value& input,
                                       const Value& output, const WindowSpec& window,
                                       const ByteWeights& weights, const EpilogueSpec& epilogue) {
  return std::make_unique<ByteConvolutionStep>(kernels, x, input, output, window, weights, epilogue);
}

[[gnu::cold]] std::unique_ptr<Step> float_convolution(const KernelSet& kernels, std::size_t x, const Value& input,
                                        const Value& output, const WindowSpec& window, Matrix<float> weights,
                                        std::span<const float> bias) {
  if (window.group == 1 || is_depthwise(input, output, window)) {
    return std::make_unique<FloatConvolutionStep>(kernels, x, input, output, window, weights, bias);
  }
  return std::make_unique<GroupedFloatStep>(x, input, output, window, weights, bias);
}

}  // namespace lowbit
