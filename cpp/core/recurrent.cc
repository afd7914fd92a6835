#include "recurrent.h"

#include <algorithm>

#include "error.h"
#include "float_products.h"
#include "share.h"

namespace lowbit {
namespace {

class RecurrentStep final : public Step {
 public:
  [[gnu::cold]] RecurrentStep(const KernelSet& kernels, const std::vector<std::size_t>& x, const std::vector<Value>& inputs, const RecurrentSpec& spec)
      : product_(kernels.float_fully_connected), function_(kernels.apply_function), x_(x), spec_(spec), hidden_(spec.hidden()),
        inputs_(spec.weights.columns), wide_(spec.gates() * spec.hidden()),
        by_state_(spec.cell == Cell::gru && !spec.reset_after ? 2 * hidden_ : wide_) {
    name = "recurrent";
    check(inputs);
    for (std::size_t d = 0; d < spec.directions(); ++d) directions_.push_back(packed(d));
    // Gates of all places, gates of one place by its state, the state, and an LSTM's cells.
    const std::size_t floats = spec.length * spec.batch * wide_ + spec.batch * wide_ + 3 * spec.batch * hidden_;
    fixed_scratch = sizeof(float) * floats;
    kernel = product_.level;
    unit = "float";
    work = static_cast<double>(spec.directions() * spec.length * spec.batch) * static_cast<double>(wide_ * (inputs_ + hidden_));
    cost = work / 20;
    spec_.weights = spec_.recurrent = {}, spec_.bias = spec_.peepholes = {};  // the caller's
  }

  void run(const Block& block) const override {
    for (std::size_t row = 0; row < block.rows; ++row) {
      for (std::size_t d = 0; d < directions_.size(); ++d) run_direction(block, row, d);
    }
  }

 private:
  struct Packed {
    Aligned<float> weights, recurrent, bias, recurrent_bias;
    Aligned<float> candidate, zeros;  // a GRU's, where it resets before its weights
    std::vector<float> peepholes;
  };

  void check(const std::vector<Value>& inputs) const {
    for (const Value& input : inputs) require(input.kind == Kind::real, name, "floats", "another kind of value");
    const std::size_t all = spec_.directions() * wide_, states = spec_.states();
    require(hidden_ >= 1 && spec_.length >= 1 && spec_.batch >= 1 && std::max({spec_.length, spec_.batch, inputs_, all}) <= kMaxFeatures,
            name, "lengths of 1 to 2^24", "others");
    require(inputs[0].features == spec_.length * spec_.batch * inputs_, name,
            {spec_.length * spec_.batch * inputs_, " inputs"}, inputs[0].features);
    require(spec_.weights.rows == all && spec_.recurrent.rows == all, name, {all, " rows of weights"},
            {spec_.weights.rows, ", ", spec_.recurrent.rows});
    require(spec_.bias.empty() || spec_.bias.size() == 2 * all, name, {2 * all, " biases"}, spec_.bias.size());
    require(spec_.peepholes.empty() || (spec_.cell == Cell::lstm && spec_.peepholes.size() == spec_.directions() * 3 * hidden_), name,
            "three peepholes for each cell of an LSTM", spec_.peepholes.size());
    require(spec_.bound >= 0, name, "a bound, or 0", spec_.bound);
    require(inputs.size() == std::size_t{1} + spec_.has_lengths + spec_.has_state + spec_.has_cell, name, "as many values as it reads",
            inputs.size());
    for (std::size_t n = 1; n < inputs.size(); ++n) {
      const std::size_t expected = n == 1 && spec_.has_lengths ? spec_.batch : states;
      require(inputs[n].features == expected, name, {expected, " elements"}, inputs[n].features);
    }
  }

  Packed packed(std::size_t d) const {
    Packed p;
    const std::size_t groups = groups_of(wide_) * kGroup, from = d * wide_;
    p.weights.resize(groups * inputs_), p.recurrent.resize(groups * hidden_), p.bias.resize(groups), p.recurrent_bias.resize(groups);
    pack_rows(spec_.weights.row(from), wide_, inputs_, inputs_, 1, p.weights.data());
    pack_rows(spec_.recurrent.row(from), by_state_, hidden_, hidden_, 1, p.recurrent.data());
    if (by_state_ != wide_) {
      p.zeros.resize(round_up(hidden_, kGroup)), p.candidate.resize(p.zeros.size() * hidden_);
      pack_rows(spec_.recurrent.row(from + by_state_), hidden_, hidden_, hidden_, 1, p.candidate.data());
    }
    for (std::size_t n = 0; n < wide_ && !spec_.bias.empty(); ++n) {
      const float first = spec_.bias[2 * from + n], second = spec_.bias[2 * from + wide_ + n];
      // What a reset gate multiplies has its own bias with it.
      const bool apart = spec_.cell == Cell::gru && spec_.reset_after && n >= 2 * hidden_;
      p.bias[n] = apart ? first : first + second, p.recurrent_bias[n] = apart ? second : 0;
    }
    if (!spec_.peepholes.empty()) {
      const auto own = spec_.peepholes.subspan(d * 3 * hidden_, 3 * hidden_);
      p.peepholes.assign(own.begin(), own.end());
    }
    return p;
  }

  [[gnu::noinline]] void multiply(const Block* shared, const FloatLayer& layer, const float* x, std::size_t rows, float* y) const {
    const Rows all{rows, reinterpret_cast<const std::byte*>(x), sizeof(float) * layer.features, 0, nullptr,
                   reinterpret_cast<std::byte*>(y), sizeof(float) * layer.channels, 0};
    const std::size_t groups = groups_of(layer.channels);
    if (shared == nullptr) return product_.run(layer, all, {0, groups});
    share_groups(*shared, groups, static_cast<double>(rows * layer.features * layer.channels) / 20,
                 [&](Groups some) { product_.run(layer, all, some); });
  }

  void run_direction(const Block& block, std::size_t row, std::size_t d) const {
    const std::size_t batch = spec_.batch, one = batch * hidden_, each = spec_.directions() * one;
    const Packed& p = directions_[d];
    auto* all = reinterpret_cast<float*>(block.sums);
    float *by_state = all + spec_.length * batch * wide_, *state = by_state + batch * by_state_, *cell = state + one, *spare = cell + one;
    multiply(&block, {inputs_, wide_, p.weights.data(), p.bias.data()}, block.place(x_[0]).real(row), spec_.length * batch, all);
    std::size_t next = 1;
    const float* lengths = spec_.has_lengths ? block.place(x_[next++]).real(row) : nullptr;
    begin(spec_.has_state ? block.place(x_[next++]).real(row) + d * one : nullptr, one, state);
    begin(spec_.has_cell ? block.place(x_[next++]).real(row) + d * one : nullptr, one, cell);
    const bool backwards = spec_.direction == Direction::reverse || d == 1;
    float* out = block.place(result).real(row);
    for (std::size_t n = 0; n < spec_.length; ++n) {
      for (std::size_t b = 0; b < batch; ++b) std::fill_n(out + n * each + d * one + b * hidden_, hidden_, 0.0f);
    }
    for (std::size_t n = 0; n < spec_.length; ++n) {
      multiply(nullptr, {hidden_, by_state_, p.recurrent.data(), p.recurrent_bias.data()}, state, batch, by_state);
      for (std::size_t b = 0; b < batch; ++b) {
        const std::size_t length = length_of(lengths, b);
        if (n >= length) continue;
        const std::size_t at = backwards ? length - 1 - n : n;
        step(p, all + (at * batch + b) * wide_, by_state + b * by_state_, state + b * hidden_, cell + b * hidden_, spare);
        std::copy_n(state + b * hidden_, hidden_, out + at * each + d * one + b * hidden_);
      }
    }
    std::copy_n(state, one, out + spec_.length * each + d * one);
    if (spec_.cell == Cell::lstm) std::copy_n(cell, one, out + (spec_.length + 1) * each + d * one);
  }

  static void begin(const float* from, std::size_t count, float* to) {
    if (from == nullptr) std::fill_n(to, count, 0.0f);
    else std::copy_n(from, count, to);
  }

  std::size_t length_of(const float* lengths, std::size_t b) const {
    if (lengths == nullptr) return spec_.length;
    const float given = lengths[b], most = static_cast<float>(spec_.length);
    return given >= most ? spec_.length : given > 0 ? static_cast<std::size_t>(given) : 0;
  }

  // f(clip(x)), in place.
  [[gnu::noinline]] void apply(Function function, float* x, std::size_t count) const {
    for (std::size_t n = 0; n < count && spec_.bound > 0; ++n) x[n] = x[n] < -spec_.bound ? -spec_.bound : x[n] > spec_.bound ? spec_.bound : x[n];
    function_.run(function, x, x, count);
  }

  // One place of one sequence: `gates` hold what the input says, and are written; state and cell go on.
  void step(const Packed& p, float* gates, const float* by_state, float* state, float* cell, float* spare) const {
    switch (spec_.cell) {
      case Cell::rnn:
        add(by_state, gates, hidden_);
        apply(spec_.gate, gates, hidden_);
        std::copy_n(gates, hidden_, state);
        break;
      case Cell::gru: gru(p, gates, by_state, state, spare); break;
      case Cell::lstm: lstm(p, gates, by_state, state, cell); break;
    }
  }

  // Update, reset, candidate.
  void gru(const Packed& p, float* gates, const float* by_state, float* state, float* spare) const {
    float *update = gates, *reset = gates + hidden_, *candidate = reset + hidden_;
    add(by_state, update, 2 * hidden_);
    apply(spec_.gate, update, 2 * hidden_);
    if (spec_.reset_after) {
      for (std::size_t n = 0; n < hidden_; ++n) candidate[n] += reset[n] * by_state[2 * hidden_ + n];
    } else {
      for (std::size_t n = 0; n < hidden_; ++n) reset[n] *= state[n];
      multiply(nullptr, {hidden_, hidden_, p.candidate.data(), p.zeros.data()}, reset, 1, spare);
      add(spare, candidate, hidden_);
    }
    apply(spec_.candidate, candidate, hidden_);
    for (std::size_t n = 0; n < hidden_; ++n) state[n] = (1 - update[n]) * candidate[n] + update[n] * state[n];
  }

  // Input, output, forget, candidate.
  void lstm(const Packed& p, float* gates, const float* by_state, float* state, float* cell) const {
    float *input = gates, *output = gates + hidden_, *forget = output + hidden_, *candidate = forget + hidden_;
    add(by_state, gates, 4 * hidden_);
    if (!p.peepholes.empty()) {
      for (std::size_t n = 0; n < hidden_; ++n) {
        input[n] += p.peepholes[n] * cell[n], forget[n] += p.peepholes[2 * hidden_ + n] * cell[n];
      }
    }
    apply(spec_.gate, input, hidden_);
    apply(spec_.gate, forget, hidden_);
    apply(spec_.candidate, candidate, hidden_);
    for (std::size_t n = 0; n < hidden_; ++n) {
      const float kept = spec_.coupled ? 1 - input[n] : forget[n];
      cell[n] = kept * cell[n] + input[n] * candidate[n];
    }
    for (std::size_t n = 0; n < hidden_ && !p.peepholes.empty(); ++n) output[n] += p.peepholes[hidden_ + n] * cell[n];
    apply(spec_.gate, output, hidden_);
    function_.run(spec_.output, cell, state, hidden_);
    for (std::size_t n = 0; n < hidden_; ++n) state[n] *= output[n];
  }

  static void add(const float* x, float* y, std::size_t count) {
    for (std::size_t n = 0; n < count; ++n) y[n] += x[n];
  }

  Kernel<float_fully_connected_kernel> product_;
  Kernel<apply_function_kernel> function_;
  std::vector<std::size_t> x_;
  RecurrentSpec spec_;
  std::size_t hidden_, inputs_, wide_;  // wide_: of all gates
  std::size_t by_state_;                // of those that the state's product gives at once
  std::vector<Packed> directions_;
};

}  // namespace

[[gnu::cold]] std::unique_ptr<Step> recurrent(const KernelSet& kernels, const std::vector<std::size_t>& x, const std::vector<Value>& inputs,
                                const RecurrentSpec& spec) {
  return std::make_unique<RecurrentStep>(kernels, x, inputs, spec);
}

}  // namespace lowbit
