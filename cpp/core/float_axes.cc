#include "float_axes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "error.h"
#include "share.h"

namespace lowbit {
namespace {

// A step that does each of the `outer` parts of every row alike.
class AxisStep : public Step {
 public:
  [[gnu::cold]] AxisStep(const char* what, const char* level, double nanoseconds, std::size_t x, const Value& input, const AxisView& view)
      : view_(view), x_(x) {
    require(input.kind == Kind::real, what, "floats", "another kind of value");
    view.check(what, input);
    name = what;
    kernel = level;
    cost = static_cast<double>(input.features) * nanoseconds;
  }

  void run(const Block& block) const final {
    const Place in = block.place(x_), out = block.place(result);
    const std::size_t x_step = view_.axis * view_.inner, y_step = out.value->features / view_.outer / copies_;
    share_parts(block, block.rows * view_.outer, cost, [&](std::size_t begin, std::size_t end) {
      for (std::size_t n = begin; n < end; ++n) {
        const std::size_t row = n / view_.outer, part = n % view_.outer;
        part_of(in.real(row) + part * x_step, out.real(row) + part * y_step, block.sums + n * order_);
      }
    });
  }

 protected:
  // `order`: so many integers of its own as `order_` says.
  virtual void part_of(const float* x, float* y, std::int32_t* order) const = 0;

  AxisView view_;
  std::size_t copies_ = 1;  // arrays of results behind each other
  std::size_t order_ = 0;

 private:
  std::size_t x_;
};

class ReduceStep final : public AxisStep {
 public:
  [[gnu::cold]] ReduceStep(const KernelSet& kernels, std::size_t x, const Value& input, const AxisView& view, Reduction reduction)
      : AxisStep("reduce", kernels.reduce.level, 0.3, x, input, view), kernel_(kernels.reduce), reduction_(reduction) {}

  void part_of(const float* x, float* y, std::int32_t*) const override { kernel_.run(reduction_, x, view_.axis, view_.inner, y); }

 private:
  Kernel<reduce_kernel> kernel_;
  Reduction reduction_;
};

class SoftmaxStep final : public AxisStep {
 public:
  [[gnu::cold]] SoftmaxStep(const KernelSet& kernels, std::size_t x, const Value& input, const AxisView& view, bool logarithm)
      : AxisStep("softmax", kernels.softmax.level, 1, x, input, view), kernel_(kernels.softmax), logarithm_(logarithm) {}

  void part_of(const float* x, float* y, std::int32_t*) const override { kernel_.run(logarithm_, x, view_.axis, view_.inner, y); }

 private:
  Kernel<softmax_kernel> kernel_;
  bool logarithm_;
};

class ExtremeStep final : public AxisStep {
 public:
  [[gnu::cold]] ExtremeStep(std::size_t x, const Value& input, const AxisView& view, bool largest, bool last)
      : AxisStep("find_extreme", "portable", 2, x, input, view), largest_(largest), last_(last) {
    require(view.axis <= kMaxFeatures, "find_extreme", "places that floats hold", "more");
  }

  void part_of(const float* x, float* y, std::int32_t*) const override {
    for (std::size_t i = 0; i < view_.inner; ++i) {
      std::size_t best = 0;
      float found = x[i];
      for (std::size_t n = 1; n < view_.axis; ++n) {
        const float one = x[n * view_.inner + i];
        const bool further = largest_ ? one > found : one < found, equal = last_ && one == found;
        if (further || equal || (std::isnan(one) && (last_ || !std::isnan(found)))) best = n, found = one;
        // What follows NaN is neither larger nor smaller.
      }
      y[i] = static_cast<float>(best);
    }
  }

 private:
  bool largest_, last_;
};

class SortStep final : public AxisStep {
 public:
  [[gnu::cold]] SortStep(std::size_t x, const Value& input, const AxisView& view, std::size_t count, bool largest)
      : AxisStep("sort_extremes", "portable", 20, x, input, view), count_(count), largest_(largest) {
    require(count >= 1 && count <= view.axis, "sort_extremes", {"1 to ", view.axis, " elements"}, count);
    copies_ = 2;
    order_ = view.axis, scratch = view.outer * view.axis;
    places_ = view.outer * count * view.inner;
  }

  void part_of(const float* x, float* y, std::int32_t* order) const override {
    for (std::size_t i = 0; i < view_.inner; ++i) {
      const auto at = [&](std::int32_t n) { return x[static_cast<std::size_t>(n) * view_.inner + i]; };
      // NaN is above infinity, so that the order is a total one.
      const auto below = [](float a, float b) { return std::isnan(b) ? !std::isnan(a) : a < b; };
      const auto first = [&](std::int32_t a, std::int32_t b) {
        const bool falls = below(at(b), at(a)), rises = below(at(a), at(b));
        return falls == rises ? a < b : largest_ ? falls : rises;
      };
      std::iota(order, order + view_.axis, 0);
      std::partial_sort(order, order + count_, order + view_.axis, first);
      for (std::size_t n = 0; n < count_; ++n) {
        y[n * view_.inner + i] = at(order[n]);
        y[places_ + n * view_.inner + i] = static_cast<float>(order[n]);
      }
    }
  }

 private:
  std::size_t count_, places_ = 0;
  bool largest_;
};

class AccumulateStep final : public AxisStep {
 public:
  [[gnu::cold]] AccumulateStep(std::size_t x, const Value& input, const AxisView& view, bool exclusive, bool backwards)
      : AxisStep("accumulate", "portable", 2, x, input, view), exclusive_(exclusive), backwards_(backwards) {}

  void part_of(const float* x, float* y, std::int32_t*) const override {
    for (std::size_t i = 0; i < view_.inner; ++i) {
      double sum = 0;
      for (std::size_t n = 0; n < view_.axis; ++n) {
        const std::size_t at = (backwards_ ? view_.axis - 1 - n : n) * view_.inner + i;
        const double before = sum;
        sum += double{x[at]};
        y[at] = static_cast<float>(exclusive_ ? before : sum);
      }
    }
  }

 private:
  bool exclusive_, backwards_;
};

class ResampleStep final : public AxisStep {
 public:
  [[gnu::cold]] ResampleStep(std::size_t x, const Value& input, const Value& output, const AxisView& view, const Matrix<std::uint32_t>& places,
               const Matrix<float>& weights)
      : AxisStep("resample", "portable", 1, x, input, view), outputs_(places.rows), taps_(places.columns) {
    require(places.rows == weights.rows && taps_ == weights.columns && taps_ >= 1 && outputs_ >= 1 &&
                output.features == view.outer * outputs_ * view.inner,
            name, "a weight for each place, for each output", {weights.rows, " x ", weights.columns});
    for (std::size_t n = 0; n < outputs_ * taps_; ++n) {
      require(places.data[n] < view.axis, name, {"places below ", view.axis}, places.data[n]);
    }
    places_.assign(places.data, places.data + outputs_ * taps_), weights_.assign(weights.data, weights.data + outputs_ * taps_);
    cost = static_cast<double>(output.features * taps_) / 4;
  }

  void part_of(const float* x, float* y, std::int32_t*) const override {
    const std::size_t inner = view_.inner;
    for (std::size_t j = 0; j < outputs_; ++j, y += inner) {
      for (std::size_t t = 0; t < taps_; ++t) {
        const float weight = weights_[j * taps_ + t], *from = x + places_[j * taps_ + t] * inner;
        if (t == 0) {
          for (std::size_t i = 0; i < inner; ++i) y[i] = weight * from[i];
        } else {
          for (std::size_t i = 0; i < inner; ++i) y[i] += weight * from[i];
        }
      }
    }
  }

 private:
  std::size_t outputs_, taps_;
  std::vector<std::uint32_t> places_;
  std::vector<float> weights_;
};

}  // namespace

void AxisView::check(const char* where, const Value& input) const {
  const bool bounded = outer >= 1 && axis >= 1 && inner >= 1 && outer <= kMaxFeatures && axis <= kMaxFeatures && inner <= kMaxFeatures;
  require(bounded && outer * axis <= kMaxFeatures && outer * axis * inner == input.features, where,
          {input.features, " elements"},
          {outer, " x ", axis, " x ", inner});
}

[[gnu::cold]] std::unique_ptr<Step> reduce(const KernelSet& kernels, std::size_t x, const Value& input, const AxisView& view, Reduction reduction) {
  return std::make_unique<ReduceStep>(kernels, x, input, view, reduction);
}

[[gnu::cold]] std::unique_ptr<Step> softmax(const KernelSet& kernels, std::size_t x, const Value& input, const AxisView& view, bool logarithm) {
  return std::make_unique<SoftmaxStep>(kernels, x, input, view, logarithm);
}

[[gnu::cold]] std::unique_ptr<Step> find_extreme(std::size_t x, const Value& input, const AxisView& view, bool largest, bool last) {
  return std::make_unique<ExtremeStep>(x, input, view, largest, last);
}

[[gnu::cold]] std::unique_ptr<Step> sort_extremes(std::size_t x, const Value& input, const AxisView& view, std::size_t count, bool largest) {
  return std::make_unique<SortStep>(x, input, view, count, largest);
}

[[gnu::cold]] std::unique_ptr<Step> accumulate(std::size_t x, const Value& input, const AxisView& view, bool exclusive, bool backwards) {
  return std::make_unique<AccumulateStep>(x, input, view, exclusive, backwards);
}

[[gnu::cold]] std::unique_ptr<Step> resample(std::size_t x, const Value& input, const Value& output, const AxisView& view,
                               const Matrix<std::uint32_t>& places, const Matrix<float>& weights) {
  return std::make_unique<ResampleStep>(x, input, output, view, places, weights);
}

}  // namespace lowbit
