#include "float_products.h"

#include <algorithm>
#include <cstring>

#include "error.h"
#include "share.h"
#include "transpose.h"

namespace lowbit {

void pack_rows(const float* from, std::size_t channels, std::size_t features, std::size_t channel_step, std::size_t feature_step,
               float* to) {
  const std::size_t whole = channels / kGroup * kGroup;
  if (channel_step == 1) {
    for (std::size_t first = 0; first < whole; first += kGroup) {
      for (std::size_t n = 0; n < features; ++n, to += kGroup) std::memcpy(to, from + n * feature_step + first, kGroup * sizeof(float));
    }
  } else if (feature_step == 1) {
    for (std::size_t first = 0; first < whole; first += kGroup, to += features * kGroup) {
      transpose(from + first * channel_step, kGroup, features, channel_step, to, kGroup);
    }
  }
  // What is left of a group, or lies neither way.
  const std::size_t done = channel_step == 1 || feature_step == 1 ? whole / kGroup : 0;
  for (std::size_t group = done; group < groups_of(channels); ++group) {
    const std::size_t first = group * kGroup, count = std::min(kGroup, channels - first);
    for (std::size_t n = 0; n < features; ++n, to += kGroup) {
      const float* at = from + first * channel_step + n * feature_step;
      for (std::size_t lane = 0; lane < count; ++lane) to[lane] = at[lane * channel_step];
      std::fill(to + count, to + kGroup, 0.0f);
    }
  }
}

namespace {

class ProductStep final : public Step {
 public:
  [[gnu::cold]] ProductStep(const KernelSet& kernels, std::size_t x, std::size_t y, const Value& left, const Value& right, const ProductShape& shape)
      : kernel_(kernels.float_fully_connected), x_(x), y_(y), shape_(shape), bias_(round_up(shape.columns, kGroup)) {
    name = "matrix_product";
    require(left.kind == Kind::real && right.kind == Kind::real, name, "floats", "another kind of value");
    for (const std::size_t n : {shape.batches, shape.rows, shape.depth, shape.columns}) {
      require(n >= 1 && n <= kMaxFeatures, name, "lengths up to 2^24", n);
    }
    left_ = batches_of(left, shape.rows * shape.depth), right_ = batches_of(right, shape.depth * shape.columns);
    if (right_ == 1 && left_ == shape.batches) shape_.rows *= shape.batches, shape_.batches = left_ = 1;
    kernel = kernel_.level;
    unit = "float";
    work = products = done = static_cast<double>(shape.batches * shape.rows) * static_cast<double>(shape.depth * shape.columns);
    cost = work / 20;
    fixed_scratch = sizeof(float) * bias_.size() * shape.depth;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), other = block.place(y_), out = block.place(result);
    auto* packed = reinterpret_cast<float*>(block.sums);
    const FloatLayer layer{shape_.depth, shape_.columns, packed, bias_.data()};
    const std::size_t left = shape_.rows * shape_.depth, right = shape_.depth * shape_.columns, each_out = shape_.rows * shape_.columns;
    for (std::size_t row = 0; row < block.rows; ++row) {
      for (std::size_t batch = 0; batch < shape_.batches; ++batch) {
        // What the last one used is still there.
        if (batch < right_ || right_ != 1) pack(other.real(row) + batch % right_ * right, packed);
        const auto* from = reinterpret_cast<const std::byte*>(in.real(row) + batch % left_ * left);
        auto* to = reinterpret_cast<std::byte*>(out.real(row) + batch * each_out);
        const Rows rows{shape_.rows, from, sizeof(float) * shape_.depth, 0, nullptr, to, sizeof(float) * shape_.columns, 0};
        const double each = cost / static_cast<double>(shape_.batches * block.rows);
        share_groups(block, groups_of(shape_.columns), each, [&](Groups groups) { kernel_.run(layer, rows, groups); });
      }
    }
  }

 private:
  std::size_t batches_of(const Value& value, std::size_t each) const {
    const std::size_t batches = value.features / each;
    require(batches >= 1 && batches * each == value.features && shape_.batches % batches == 0, name,
            {shape_.batches, " matrices of ", each, " elements, or a divisor"}, {value.features, " elements"});
    return batches;
  }

  void pack(const float* from, float* to) const {
    const bool t = shape_.transposed;
    pack_rows(from, shape_.columns, shape_.depth, t ? shape_.depth : 1, t ? 1 : shape_.columns, to);
  }

  Kernel<float_fully_connected_kernel> kernel_;
  std::size_t x_, y_;
  ProductShape shape_;
  Aligned<float> bias_;
  std::size_t left_ = 1, right_ = 1;
};

}  // namespace

[[gnu::cold]] std::unique_ptr<Step> matrix_product(const KernelSet& kernels, std::size_t x, std::size_t y, const Value& left, const Value& right,
                                     const ProductShape& shape) {
  return std::make_unique<ProductStep>(kernels, x, y, left, right, shape);
}

}  // namespace lowbit
