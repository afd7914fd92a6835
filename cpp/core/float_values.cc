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
  [[gnu::cold]] SelectStep(const std::vector<std::size_t>& x, const std::vector<Value>& inputs) : x_(x) {
    std::size_t features = 0;
    for (const Value& input : inputs) require_real("select", input), features = std::max(features, input.features);
    for (const Value& input : inputs) {
      require(features % input.features == 0, "select", {features, " elements, or a divisor"}, input.features);
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

// The places of runs, kept.
class Places {
 public:
  explicit Places(const Runs& runs)
      : inner(runs.inner), first_(runs.first.begin(), runs.first.end()), lengths_(runs.lengths.begin(), runs.lengths.end()),
        strides_(runs.strides.begin(), runs.strides.end()) {}

  std::size_t count() const { return first_.size(); }

  // Where run p begins; what is outside, NaN included, is noted, and counts as 0.
  std::size_t of(std::size_t p, const float* numbers, const Block& block, const Step* step) const {
    std::size_t place = first_[p];
    for (std::size_t k = 0; k < lengths_.size(); ++k) {
      const float given = numbers[p * lengths_.size() + k];
      const auto extent = static_cast<float>(lengths_[k]);
      if (!(given >= -extent && given < extent)) {
        if (block.fault != nullptr) *block.fault = step;
        continue;
      }
      const auto whole = static_cast<std::int64_t>(given);
      place += static_cast<std::size_t>(whole < 0 ? whole + std::int64_t{lengths_[k]} : whole) * strides_[k];
    }
    return place;
  }

  std::size_t inner;

 private:
  std::vector<std::uint32_t> first_, lengths_, strides_;
};

class TakeElementsStep final : public Step {
 public:
  TakeElementsStep(const std::vector<std::size_t>& x, const Runs& runs) : x_(x), places_(runs) {
    name = "take_elements";
    kernel = "portable";
    cost = static_cast<double>(runs.first.size() * (runs.inner + 8)) / 4;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_[0]), numbers = block.place(x_[1]), out = block.place(result);
    for (std::size_t row = 0; row < block.rows; ++row) {
      const float *from = in.real(row), *at = numbers.real(row);
      float* y = out.real(row);
      for (std::size_t p = 0; p < places_.count(); ++p, y += places_.inner) {
        std::copy_n(from + places_.of(p, at, block, this), places_.inner, y);
      }
    }
  }

 private:
  std::vector<std::size_t> x_;
  Places places_;
};

class PutElementsStep final : public Step {
 public:
  PutElementsStep(const std::vector<std::size_t>& x, const std::vector<Value>& inputs, const Runs& runs, Writing writing)
      : x_(x), places_(runs), writing_(writing) {
    name = "put_elements";
    kernel = "portable";
    cost = static_cast<double>(inputs[0].features + runs.first.size() * (runs.inner + 8)) / 4;
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_[0]), numbers = block.place(x_[1]), updates = block.place(x_[2]), out = block.place(result);
    for (std::size_t row = 0; row < block.rows; ++row) {
      const float *at = numbers.real(row), *from = updates.real(row);
      float* y = out.real(row);
      std::copy_n(in.real(row), in.value->features, y);
      for (std::size_t p = 0; p < places_.count(); ++p, from += places_.inner) {
        write(from, y + places_.of(p, at, block, this));
      }
    }
  }

 private:
  void write(const float* from, float* to) const {
    const auto each = [&](const auto& joined) {
      for (std::size_t i = 0; i < places_.inner; ++i) to[i] = joined(to[i], from[i]);
    };
    switch (writing_) {
      case Writing::replace: return each([](float, float b) { return b; });
      case Writing::add: return each([](float a, float b) { return a + b; });
      case Writing::multiply: return each([](float a, float b) { return a * b; });
      case Writing::minimum: return each([](float a, float b) { return b < a || b != b ? b : a; });
      case Writing::maximum: return each([](float a, float b) { return b > a || b != b ? b : a; });
    }
  }

  std::vector<std::size_t> x_;
  Places places_;
  Writing writing_;
};

void check_numbers(const char* where, const Value& numbers, const Runs& runs) {
  require(numbers.features == runs.first.size() * runs.lengths.size(), where,
          {runs.lengths.size(), " numbers for each run"}, numbers.features);
}

}  // namespace

void Runs::check(const char* where, const Value& within) const {
  require(!first.empty() && first.size() <= kMaxFeatures && inner >= 1 && inner <= kMaxFeatures / first.size() &&
              lengths.size() == strides.size() && !lengths.empty(),
          where, "up to 2^24 elements, and a stride for each length", strides.size());
  std::size_t last = 0;
  for (std::size_t k = 0; k < lengths.size(); ++k) {
    require(lengths[k] >= 1 && lengths[k] <= kMaxFeatures && strides[k] <= kMaxFeatures, where, "lengths of 1 to 2^24", "others");
    last += std::size_t{lengths[k] - 1} * strides[k];
  }
  const std::size_t farthest = *std::max_element(first.begin(), first.end());
  require(last < within.features && farthest < within.features && last + farthest + inner <= within.features, where,
          {"runs within ", within.features, " elements"}, last + farthest + inner);
}

std::unique_ptr<Step> take_elements(const std::vector<std::size_t>& x, const std::vector<Value>& inputs, const Runs& runs) {
  for (const Value& input : inputs) require_real("take_elements", input);
  runs.check("take_elements", inputs[0]), check_numbers("take_elements", inputs[1], runs);
  return std::make_unique<TakeElementsStep>(x, runs);
}

std::unique_ptr<Step> put_elements(const std::vector<std::size_t>& x, const std::vector<Value>& inputs, const Runs& runs, Writing writing) {
  for (const Value& input : inputs) require_real("put_elements", input);
  runs.check("put_elements", inputs[0]), check_numbers("put_elements", inputs[1], runs);
  require(inputs[2].features == runs.first.size() * runs.inner, "put_elements", {runs.first.size() * runs.inner, " elements"},
          inputs[2].features);
  return std::make_unique<PutElementsStep>(x, inputs, runs, writing);
}

std::unique_ptr<Step> select(const std::vector<std::size_t>& x, const std::vector<Value>& inputs) {
  return std::make_unique<SelectStep>(x, inputs);
}

std::unique_ptr<Step> take_rows(const std::vector<std::size_t>& x, const std::vector<Value>& inputs, const AxisView& view,
                                std::span<const float> table) {
  return std::make_unique<TakeStep>(x, inputs, view, table);
}

}  // namespace lowbit
