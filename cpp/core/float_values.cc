#include "float_values.h"

#include <algorithm>

#include "error.h"
#include "share.h"

namespace lowbit {
namespace {

void require_real(const char* where, const Value& value) {
  require(value.kind == Kind::real, where, "floats", "another kind of value");
}

class SelectStep final : public Step {
 public:
  SelectStep(const std::vector<std::size_t>& x, const std::vector<Value>& inputs) : x_(x) {
    std::size_t features = 0;
    for (const Value& input : inputs) require_real("select", input), features = std::max(features, input.features);
    for (const Value& input : inputs) {
      require(features % input.features == 0, "select", std::to_string(features) + " elements, or a divisor", std::to_string(input.features));
    }
    name = "select";
    kernel = "portable";
    cost = static_cast<double>(features) / 2;
  }

  void run(const Block& block) const override {
    const Place chosen = block.place(x_[0]), yes = block.place(x_[1]), no = block.place(x_[2]), out = block.place(result);
    const std::size_t count = out.value->features;
    const std::size_t periods[] = {chosen.value->features, yes.value->features, no.value->features};
    for (std::size_t row = 0; row < block.rows; ++row) {
      const float *c = chosen.real(row), *a = yes.real(row), *b = no.real(row);
      float* y = out.real(row);
      // Runs in which none of them begins again.
      for (std::size_t n = 0; n < count;) {
        std::size_t length = count - n;
        for (const std::size_t period : periods) {
          if (period != 1) length = std::min(length, period - n % period);
        }
        run_of(c + n % periods[0], a + n % periods[1], b + n % periods[2], periods, y + n, length);
        n += length;
      }
    }
  }

 private:
  // Single numbers serve for all.
  static void run_of(const float* c, const float* a, const float* b, const std::size_t* periods, float* y, std::size_t count) {
    const std::size_t steps[] = {periods[0] == 1 ? 0u : 1u, periods[1] == 1 ? 0u : 1u, periods[2] == 1 ? 0u : 1u};
    if (steps[0] == 0) {
      const float* from = *c != 0 ? a : b;
      const std::size_t step = *c != 0 ? steps[1] : steps[2];
      for (std::size_t n = 0; n < count; ++n) y[n] = from[n * step];
    } else {
      for (std::size_t n = 0; n < count; ++n) y[n] = c[n] != 0 ? a[n * steps[1]] : b[n * steps[2]];
    }
  }

  std::vector<std::size_t> x_;
};

class TakeStep final : public Step {
 public:
  TakeStep(const std::vector<std::size_t>& x, const std::vector<Value>& inputs, const AxisView& view, std::span<const float> table)
      : view_(view), x_(x), table_(table.begin(), table.end()) {
    for (const Value& input : inputs) require_real("take_rows", input);
    view.check("take_rows", table.empty() ? inputs[0] : real_value(table.size()));
    name = "take_rows";
    kernel = "portable";
    cost = static_cast<double>(view.outer * inputs.back().features * (view.inner + 4)) / 4;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_.front()), places = block.place(x_.back()), out = block.place(result);
    const std::size_t count = places.value->features;
    for (std::size_t row = 0; row < block.rows; ++row) {
      const float *from = table_.empty() ? in.real(row) : table_.data(), *at = places.real(row);
      float* y = out.real(row);
      for (std::size_t part = 0; part < view_.outer; ++part, from += view_.axis * view_.inner) {
        for (std::size_t n = 0; n < count; ++n, y += view_.inner) {
          std::copy_n(from + place(at[n], block) * view_.inner, view_.inner, y);
        }
      }
    }
  }

 private:
  // Within the axis, whatever it is; what is outside, NaN included, is noted.
  std::size_t place(float given, const Block& block) const {
    const auto extent = static_cast<float>(view_.axis);
    if (!(given >= -extent && given < extent)) {
      if (block.fault != nullptr) *block.fault = this;
      return 0;
    }
    const auto whole = static_cast<std::int64_t>(given);
    return static_cast<std::size_t>(whole < 0 ? whole + static_cast<std::int64_t>(view_.axis) : whole);
  }

  AxisView view_;
  std::vector<std::size_t> x_;
  std::vector<float> table_;
};

}  // namespace

std::unique_ptr<Step> select(const std::vector<std::size_t>& x, const std::vector<Value>& inputs) {
  return std::make_unique<SelectStep>(x, inputs);
}

std::unique_ptr<Step> take_rows(const std::vector<std::size_t>& x, const std::vector<Value>& inputs, const AxisView& view,
                                std::span<const float> table) {
  return std::make_unique<TakeStep>(x, inputs, view, table);
}

}  // namespace lowbit
