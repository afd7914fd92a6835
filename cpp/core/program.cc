#include "program.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "error.h"
#include "float_elements.h"

namespace lowbit {

Value real_value(std::size_t features) { return {Kind::real, features, 0, 4 * features, 0, 0}; }

Value bytes_value(std::size_t features, unsigned top) {
  return {Kind::bytes, features, 0, round_up(features, 16), 0, 0, 1, 1, 0, top};
}

Value words_value(std::size_t features, unsigned range) {
  return {Kind::words, features, 0, round_up(2 * (features + 1), 16), 0, 0, 1, 1, 0, range};
}

Value planes_value(std::size_t features, unsigned bits) {
  const std::size_t plane = round_up(features, 64) / 8;
  return {Kind::planes, features, bits, bits * plane, plane, 0};
}

Value map_value(Kind kind, unsigned range, std::size_t channels, std::size_t height, std::size_t width) {
  const bool fits = channels <= kMaxFeatures && height <= kMaxFeatures && width <= kMaxFeatures &&
                    channels * height <= kMaxFeatures && channels * height * width <= kMaxFeatures;
  require(fits && channels * height * width >= 1, "value", "1 to 2^24 features",
          {channels, " x ", height, " x ", width});
  const std::size_t pixels = height * width, features = channels * pixels;
  if (kind == Kind::real) return {kind, features, 0, 4 * features, 0, 0, height, width, 4 * channels};
  if (kind == Kind::bytes) {
    const std::size_t pixel = round_up(channels, 4);
    return {kind, features, 0, round_up(pixels * pixel, 16), 0, 0, height, width, pixel, range};
  }
  if (kind == Kind::words) {
    const std::size_t pixel = round_up(2 * channels, 4);
    return {kind, features, 0, round_up(pixels * pixel, 16), 0, 0, height, width, pixel, range};
  }
  const std::size_t pixel = round_up(channels, 32) / 8, plane = round_up(pixels * pixel, 8);
  return {kind, features, range, range * plane, plane, 0, height, width, pixel};
}

namespace {

constexpr std::size_t kWord = 8;  // bytes

// Whether steps that fill planes leave bits of them as they are.
bool has_padding(const Value& value) {
  if (value.kind != Kind::planes) return false;
  return value.pixel == 0 ? value.features % (8 * kWord) != 0
                          : value.channels() % 32 != 0 || value.pixels() * value.pixel != value.plane;
}

// Whole pixels need their last word alone.
void clear_padding(const Place& place, std::size_t rows) {
  const Value& value = *place.value;
  if (value.pixel != 0 && value.channels() % 32 != 0) {
    std::memset(place.at, 0, rows * value.row);
    return;
  }
  for (std::size_t end = value.plane; end <= rows * value.row; end += value.plane) {
    std::memset(place.at + end - kWord, 0, kWord);
  }
}

// Bytes of a lane that the result of step `from` has until step `until` has run.
struct Taken {
  std::size_t begin, end, from, until;
};

// The first gap of `size` bytes between what is taken, in order of place.
std::size_t gap(const std::vector<Taken>& taken, std::size_t first, std::size_t size) {
  for (const Taken& other : taken) {
    if (other.begin >= first + size) break;
    first = std::max(first, other.end);
  }
  return first;
}

// Finds the places that overlap: in order of place, with the one before them that reaches furthest.
void mark_shared(std::vector<Taken>& places, const std::vector<Value>& values,
                 const std::vector<std::unique_ptr<Step>>& steps) {
  const auto mark = [&](const Taken& place) {
    Step& step = *steps[place.from];
    step.clear = has_padding(values[step.result]);
  };
  std::sort(places.begin(), places.end(), [](const Taken& a, const Taken& b) { return a.begin < b.begin; });
  const Taken* furthest = nullptr;
  for (const Taken& place : places) {
    if (furthest != nullptr && place.begin < furthest->end) mark(place), mark(*furthest);
    if (furthest == nullptr || place.end > furthest->end) furthest = &place;
  }
}

// When each value is read for the last time. What a chain reads it reads in the turn of its last step; what lies inside of
// it is read only where its steps run one by one.
std::vector<std::size_t> last_readers(std::size_t values, const std::vector<std::unique_ptr<Step>>& steps) {
  std::vector<std::size_t> last(values), made_in(values, steps.size());
  for (std::size_t n = 0; n < steps.size(); ++n) {
    const std::size_t turn = steps[n]->turn.value_or(n);
    last[steps[n]->result] = n;  // what nobody reads is still filled
    made_in[steps[n]->result] = turn;
    for (const std::size_t source : steps[n]->sources) last[source] = std::max(last[source], made_in[source] == turn ? n : turn);
  }
  return last;
}

// Inputs and outputs lie in the caller's arrays.
std::vector<Value> with_ports(std::vector<Value> values, std::size_t steps, const std::vector<std::size_t>& outputs) {
  const std::size_t inputs = values.size() - steps;
  for (std::size_t n = 0; n < inputs; ++n) values[n].port = n;
  for (std::size_t n = 0; n < outputs.size(); ++n) values[outputs[n]].port = inputs + n;
  return values;
}

}  // namespace

std::size_t place_values(std::vector<Value>& values, const std::vector<std::unique_ptr<Step>>& steps, std::size_t rows,
                         std::size_t first) {
  const std::vector<std::size_t> last = last_readers(values.size(), steps);
  std::vector<Taken> taken, given;  // now; and ever
  std::size_t end = first;
  const auto give = [&](std::size_t n, std::size_t until) {
    Value& value = values[steps[n]->result];
    if (value.port != kArena) return;
    const std::size_t size = round_up(rows * value.row, kCacheLine), at = gap(taken, first, size);
    value.offset = at;
    const Taken place{at, at + size, n, until};
    taken.insert(std::find_if(taken.begin(), taken.end(), [&](const Taken& other) { return other.begin > at; }), place);
    given.push_back(place);
    end = std::max(end, place.end);
  };
  for (std::size_t n = 0; n < steps.size(); ++n) {
    if (steps[n]->once) give(n, steps.size());
  }
  for (std::size_t n = 0; n < steps.size(); ++n) {
    if (!steps[n]->once) give(n, last[steps[n]->result]);
    std::erase_if(taken, [&](const Taken& place) { return place.until <= n; });
  }
  mark_shared(given, values, steps);
  return end;
}

[[gnu::cold]] Program::Program(Kernel<holds_nan_kernel> holds_nan, std::vector<Value> values, std::vector<std::unique_ptr<Step>> steps,
                 std::vector<std::size_t> outputs, std::size_t threads, bool pinned, std::size_t constant_bytes,
                 std::size_t allowed)
    : holds_nan_(holds_nan), values_(with_ports(std::move(values), steps.size(), outputs)), steps_(std::move(steps)),
      chains_(join_chains(steps_, values_)), inputs_(values_.size() - steps_.size()), outputs_(std::move(outputs)),
      ports_(threads * (inputs_ + outputs_.size())), constant_bytes_(constant_bytes),
      arena_(plan_arena(threads, allowed)), pool_(threads, pinned) {
  for (std::size_t n = 0; n < inputs_; ++n) port_rows_.push_back(values_[n].row);
  for (const std::size_t n : outputs_) port_rows_.push_back(values_[n].row);
  for (std::size_t n = 0; n < steps_.size(); ++n) {
    const bool kept = steps_[n]->once && values_[steps_[n]->result].port == kArena;
    if (chains_[n]) turns_.push_back(chains_[n].get());
    else if (!steps_[n]->turn && !kept) turns_.push_back(steps_[n].get());
  }
  for (const auto& step : steps_) {
    const bool reads_samples = std::any_of(step->sources.begin(), step->sources.end(),
                                           [&](std::size_t source) { return source < inputs(); });
    look_for_nan_ = look_for_nan_ || (reads_samples && !step->finds_nan);
  }
  for (std::size_t lane = 0; lane < threads; ++lane) {
    for (const auto& step : steps_) {
      const Value& value = values_[step->result];
      // What keeps its own place keeps the zeros of its padding.
      if (step->clear || value.port != kArena || !has_padding(value)) continue;
      std::memset(arena_.data() + lane * lane_bytes_ + value.offset, 0, block_rows_ * value.row);
    }
    const Block all = block({}, 0, block_rows_, lane, nullptr);
    for (const auto& step : steps_) {
      if (step->once && values_[step->result].port == kArena) step->run(all);
    }
  }
}

std::size_t Program::plan_arena(std::size_t threads, std::size_t allowed) {
  std::size_t row_bytes = 1, sums = 1, fixed = 0;
  for (const Value& value : values_) row_bytes += value.port == kArena ? value.row : 0;
  for (const auto& step : steps_) row_cost_ += step->cost, sums = std::max(sums, step->scratch), fixed = std::max(fixed, step->fixed_scratch);
  block_rows_ = std::clamp<std::size_t>(kBlockBytes / row_bytes, 1, kBlockRows);
  const std::size_t scratch = round_up(std::max(block_rows_ * sums * sizeof(std::int32_t), fixed), kCacheLine);
  lane_bytes_ = place_values(values_, steps_, block_rows_, scratch);
  const std::size_t needed = constant_bytes_ + lane_bytes_ * threads;
  if (needed > allowed) throw TooLarge("the network", needed, allowed);
  return lane_bytes_ * threads;
}

void Program::run(std::span<std::byte* const> ports, std::size_t rows) {
  const std::size_t blocks = (rows + block_rows_ - 1) / block_rows_;
  std::atomic<bool> refused{false};
  std::atomic<const Step*> failed{nullptr};
  const auto run_one = [&](std::size_t block, std::size_t lane, Pool* pool) {
    const std::size_t first = block * block_rows_, count = std::min(block_rows_, rows - first);
    Block one = this->block(ports, first, count, lane, pool);
    // Block by block, so that the first step finds the samples in the cache.
    bool nan = false;
    for (std::size_t n = 0; look_for_nan_ && n < inputs(); ++n) nan |= holds_nan(n, one.ports[n], count);
    const Step* fault = nullptr;
    one.nan = &nan, one.fault = &fault;
    for (const Step* step : turns_) run_step(*step, one);
    if (nan) refused.store(true, std::memory_order_relaxed);
    if (fault != nullptr) failed.store(fault, std::memory_order_relaxed);
  };
  if (threads() == 1 || blocks < threads()) {
    const bool share = threads() > 1 && cost(std::min(rows, block_rows_)) > kWorthSharing;
    for (std::size_t block = 0; block < blocks; ++block) run_one(block, 0, share ? &pool_ : nullptr);
  } else {
    pool_.run([&](std::size_t lane) {
      for (std::size_t block = lane; block < blocks; block += threads()) run_one(block, lane, nullptr);
    });
  }
  if (refused.load(std::memory_order_relaxed)) check_samples(ports, rows);
  check_places(failed.load(std::memory_order_relaxed));
}

std::size_t Program::alive_bytes() const {
  const std::vector<std::size_t> last = last_readers(values_.size(), steps_);
  std::size_t most = 0;
  for (std::size_t now = 0; now < steps_.size(); ++now) {
    std::size_t alive = 0;
    for (std::size_t n = 0; n < steps_.size(); ++n) {
      const Value& value = values_[steps_[n]->result];
      if (value.port == kArena && (steps_[n]->once || (n <= now && last[steps_[n]->result] >= now))) alive += value.row;
    }
    most = std::max(most, alive);
  }
  return most;
}

bool Program::merges_codes() const {
  return std::any_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->merges_codes; });
}

void Program::check_places(const Step* fault) {
  if (fault == nullptr) return;
  throw Error(Error::Kind::data, "a computed index is outside of what it points into", fault->made, "an index within the axis",
              "one outside, or NaN", "Compare the samples with what the network was made for: its vocabulary, for example.");
}

void Program::check_samples(std::span<std::byte* const> ports, std::size_t rows) const {
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t n = 0; n < inputs(); ++n) {
      if (!holds_nan(n, ports[n] + row * values_[n].row, 1)) continue;
      const std::string where = inputs() == 1 ? "input" : "input " + std::to_string(n);
      throw Error(Error::Kind::data, "a sample holds NaN", where, "numbers", "NaN in sample " + std::to_string(row),
                  "Find such samples with numpy.isnan, and leave them out or fill them in.");
    }
  }
}

Block Program::block(std::span<std::byte* const> ports, std::size_t first, std::size_t rows, std::size_t lane, Pool* pool) {
  std::byte* arena = arena_.data() + lane * lane_bytes_;
  auto* sums = reinterpret_cast<std::int32_t*>(arena);
  if (first == 0) return {rows, &values_, arena, sums, ports.data(), pool};
  std::byte** own = ports_.data() + lane * ports.size();
  for (std::size_t n = 0; n < ports.size(); ++n) own[n] = ports[n] + first * port_rows_[n];
  return {rows, &values_, arena, sums, own, pool};
}

void Program::run_step(const Step& step, const Block& block) const {
  if (step.clear) clear_padding(block.place(step.result), block.rows);
  step.run(block);
}

}  // namespace lowbit
