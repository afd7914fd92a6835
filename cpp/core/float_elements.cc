#include "float_elements.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <variant>

#include "error.h"

namespace lowbit {
namespace {

// Floats of a block: with a few slots, what lies between the steps of a chain stays in the first cache.
constexpr std::size_t kChunk = 1024;
constexpr std::size_t kSlots = 5;
// Rows shorter than this are repeated, so that loops over them are worth it.
constexpr std::size_t kShort = 256;

void require_real(const char* where, const Value& value) {
  require(value.kind == Kind::real, where, "floats", "another kind of value");
}

struct Clip {
  float low, high;
};

// What a link reads: a value, or what another link of the chain left in a slot.
struct Operand {
  std::size_t value;
  std::optional<std::size_t> slot = std::nullopt;
};

struct Kernels {
  Kernel<arithmetic_kernel> arithmetic;
  Kernel<clip_kernel> clip;
  Kernel<apply_function_kernel> apply_function;

  explicit Kernels(const KernelSet& all) : arithmetic(all.arithmetic), clip(all.clip), apply_function(all.apply_function) {}
};

// One step, as it runs on a run of floats.
struct Link {
  Kernels kernels;
  std::variant<Function, Clip, Arithmetic> operation;
  Operand x;
  Operand y;                // of arithmetic without a row
  std::vector<float> row;   // repeated
  std::size_t period;       // of the second operand
  std::size_t slot = 0;     // where the result goes, unless it is the chain's

  // `b` is the second operand from its start, or a run of it, of which these are the elements from `first` on.
  void run(const float* a, const float* b, std::size_t first, std::size_t count, float* out) const {
    if (const auto* clip = std::get_if<Clip>(&operation)) {
      kernels.clip.run(clip->low, clip->high, a, out, count);
    } else if (const auto* arithmetic = std::get_if<Arithmetic>(&operation)) {
      combine(*arithmetic, a, b, first, count, out);
    } else {
      kernels.apply_function.run(std::get<Function>(operation), a, out, count);
    }
  }

 private:
  // `count` elements of what repeats b, from its element `at` on: once, then what is there already, twice as much each time.
  void repeat(const float* b, std::size_t at, std::size_t count, float* to) const {
    std::size_t done = std::min(period - at, count);
    std::copy_n(b + at, done, to);
    const std::size_t before = std::min(at, count - done);
    std::copy_n(b, before, to + done);
    for (done += before; done < count;) {
      const std::size_t more = std::min(done, count - done);
      std::copy_n(to, more, to + done);
      done += more;
    }
  }

  void combine(Arithmetic arithmetic, const float* a, const float* b, std::size_t first, std::size_t count, float* out) const {
    const auto& run = *kernels.arithmetic.run;
    if (period == 1) return run(arithmetic, a, b, true, out, count);
    float spread[kChunk];
    if (period < kShort) {
      repeat(b, first % period, count, spread);
      return run(arithmetic, a, spread, false, out, count);
    }
    for (std::size_t n = 0; n < count;) {
      const std::size_t at = (first + n) % period, length = std::min(period - at, count - n);
      run(arithmetic, a + n, b + at, false, out + n, length);
      n += length;
    }
  }
};

// Where a run of the last link's results goes: place(row, first), until done(row, first, count) is called.
template <class Where, class Done>
void run_links(std::span<const Link> links, const Block& block, std::size_t features, const Where& place, const Done& done) {
  alignas(kCacheLine) float slots[kSlots][kChunk];
  const auto begin = [&](const Operand& operand, std::size_t row) { return block.place(operand.value).real(row); };
  for (std::size_t row = 0; row < block.rows; ++row) {
    for (std::size_t first = 0; first < features; first += kChunk) {
      const std::size_t count = std::min(kChunk, features - first);
      for (const Link& link : links) {
        const bool held = link.y.slot.has_value();  // a slot has this run alone
        const float* a = link.x.slot ? slots[*link.x.slot] : begin(link.x, row) + first;
        const float* b = !link.row.empty() ? link.row.data() : held ? slots[*link.y.slot] : begin(link.y, row);
        link.run(a, b, held ? 0 : first, count, &link == &links.back() ? place(row, first) : slots[link.slot]);
      }
      done(row, first, count);
    }
  }
}

void run_links(std::span<const Link> links, const Block& block, std::size_t result) {
  const Place out = block.place(result);
  run_links(links, block, out.value->features, [&](std::size_t row, std::size_t first) { return out.real(row) + first; },
            [](std::size_t, std::size_t, std::size_t) {});
}

class ElementStep final : public Step {
 public:
  [[gnu::cold]] ElementStep(const char* what, const char* level, double nanoseconds, const Value& input, Link one) : link(std::move(one)) {
    require_real(what, input);
    name = what;
    kernel = level;
    cost = static_cast<double>(input.features) * nanoseconds;
    features = input.features;
    by_elements = true;
  }

  void run(const Block& block) const override { run_links({&link, 1}, block, result); }

  bool follows(Following& what) const override {
    const auto* clip = std::get_if<Clip>(&link.operation);
    if (clip == nullptr) return false;
    const auto within = [&](float x) { return x < clip->low ? clip->low : x > clip->high ? clip->high : x; };
    what.low = within(what.low), what.high = within(what.high);
    return true;
  }

  // Whether each element of the result is made of the one at the same place of that value.
  bool reads_in_place(std::size_t value) const {
    const bool second = std::holds_alternative<Arithmetic>(link.operation) && link.row.empty() && link.y.value == value;
    return !second || link.period == features;
  }

  Link link;
  std::size_t features;
};

// Links whose results are encoded run by run, so that floats never reach memory.
class EncodedChainStep final : public Step {
 public:
  [[gnu::cold]] EncodedChainStep(std::vector<Link> links, const Step& chain, const Following& next)
      : links_(std::move(links)), encoder_(*next.encoder), encode_(next.encode) {
    name = chain.name;
    kernel = chain.kernel;
  }

  void run(const Block& block) const override {
    alignas(kCacheLine) float run[kChunk];
    const Place out = block.place(result);
    AffineEncoder encoder = encoder_;
    run_links(links_, block, out.value->features, [&](std::size_t, std::size_t) { return run; },
              [&](std::size_t row, std::size_t first, std::size_t count) {
                encoder.features = count;
                const auto at = [](auto* bytes) { return reinterpret_cast<std::byte*>(bytes); };
                encode_(encoder, {1, at(run), 0, 0, nullptr, at(out.bytes(row) + first), 0, 0});
              });
  }

 private:
  std::vector<Link> links_;
  AffineEncoder encoder_;
  encode_affine_kernel* encode_;
};

class ChainStep final : public Step {
 public:
  [[gnu::cold]] ChainStep(std::vector<Link> links, const Step& last) : links_(std::move(links)) {
    name = last.name;
    kernel = last.kernel;
    result = last.result;
  }

  void run(const Block& block) const override { run_links(links_, block, result); }

  [[gnu::cold]] std::unique_ptr<Step> followed(const Following& next, const Value& last) const override {
    const float most = std::numeric_limits<float>::infinity();
    if (!next.encodes || !last.dense() || next.low != -most || next.high != most) return nullptr;
    return std::make_unique<EncodedChainStep>(links_, *this, next);
  }

 private:
  std::vector<Link> links_;
};

using Steps = std::vector<std::unique_ptr<Step>>;

const ElementStep* element(const Step& step) { return step.by_elements ? static_cast<const ElementStep*>(&step) : nullptr; }

// The steps that read each value.
std::map<std::size_t, std::vector<std::size_t>> readers_of(const Steps& steps) {
  std::map<std::size_t, std::vector<std::size_t>> readers;
  for (std::size_t n = 0; n < steps.size(); ++n) {
    for (const std::size_t source : steps[n]->sources) readers[source].push_back(n);
  }
  return readers;
}

// The turn that all readers of a value have, if they are elements that read it in place.
std::optional<std::size_t> turn_of(const std::vector<std::size_t>& readers, const Steps& steps, std::size_t value,
                                   const std::vector<std::size_t>& turns) {
  std::optional<std::size_t> turn;
  for (const std::size_t n : readers) {
    const ElementStep* reader = element(*steps[n]);
    if (reader == nullptr || !reader->reads_in_place(value) || (turn && *turn != turns[n])) return std::nullopt;
    turn = turns[n];
  }
  return turn;
}

// The links of a chain with slots between them, or none where there are too few.
std::vector<Link> linked(const Steps& steps, const std::vector<std::size_t>& members) {
  std::vector<Link> links;
  std::map<std::size_t, std::size_t> last, slots;  // by value: the last link that reads it, and where it is
  std::vector<std::size_t> free(kSlots);
  for (std::size_t n = 0; n < kSlots; ++n) free[n] = kSlots - 1 - n;
  for (std::size_t n = 0; n < members.size(); ++n) {
    for (const std::size_t source : steps[members[n]]->sources) last[source] = n;
  }
  for (std::size_t n = 0; n < members.size(); ++n) {
    const Step& step = *steps[members[n]];
    Link link = element(step)->link;
    for (Operand* operand : {&link.x, &link.y}) {
      const auto found = slots.find(operand->value);
      if (found != slots.end() && (operand == &link.x || link.row.empty())) operand->slot = found->second;
    }
    for (auto held = slots.begin(); held != slots.end();) {
      if (last[held->first] > n) {
        ++held;
      } else {
        free.push_back(held->second), held = slots.erase(held);
      }
    }
    if (n + 1 < members.size()) {
      if (free.empty()) return {};
      slots[step.result] = link.slot = free.back(), free.pop_back();
    }
    links.push_back(std::move(link));
  }
  return links;
}

}  // namespace

[[gnu::cold]] std::unique_ptr<Step> activate(const KernelSet& kernels, std::size_t x, const Value& input, Function function) {
  return std::make_unique<ElementStep>("activate", kernels.apply_function.level, 2, input, Link{Kernels(kernels), function, {x}, {x}, {}, 1});
}

[[gnu::cold]] std::unique_ptr<Step> clip(const KernelSet& kernels, std::size_t x, const Value& input, float low, float high) {
  require(low <= high, "clip", "a lower and an upper bound", {low, ", ", high});
  return std::make_unique<ElementStep>("clip", kernels.clip.level, 0.2, input, Link{Kernels(kernels), Clip{low, high}, {x}, {x}, {}, 1});
}

[[gnu::cold]] std::unique_ptr<Step> combine(const KernelSet& kernels, std::size_t x, std::size_t y, const Value& input,
                              const Value& other, Arithmetic operation) {
  require_real("combine", other);
  require(other.features >= 1 && input.features % other.features == 0, "combine",
          {input.features, " features, or a divisor"}, other.features);
  Link link{Kernels(kernels), operation, {x}, {y}, {}, other.features};
  return std::make_unique<ElementStep>("combine", kernels.arithmetic.level, 0.2, input, std::move(link));
}

[[gnu::cold]] std::unique_ptr<Step> combine_constant(const KernelSet& kernels, std::size_t x, const Value& input,
                                       std::span<const float> row, Arithmetic operation) {
  require(!row.empty() && input.features % row.size() == 0, "combine",
          {input.features, " features, or a divisor"}, row.size());
  Link link{Kernels(kernels), operation, {x}, {x}, {row.begin(), row.end()}, 1};
  while (row.size() > 1 && link.row.size() < kShort) link.row.insert(link.row.end(), row.begin(), row.end());
  link.period = link.row.size();
  return std::make_unique<ElementStep>("combine", kernels.arithmetic.level, 0.2, input, std::move(link));
}

[[gnu::cold]] std::vector<std::unique_ptr<Step>> join_chains(const Steps& steps, const std::vector<Value>& values) {
  auto readers = readers_of(steps);
  std::vector<std::size_t> turns(steps.size());
  for (std::size_t n = steps.size(); n-- > 0;) {
    const bool alone = element(*steps[n]) == nullptr || values[steps[n]->result].port != kArena;
    turns[n] = alone ? n : turn_of(readers[steps[n]->result], steps, steps[n]->result, turns).value_or(n);
  }
  std::vector<std::unique_ptr<Step>> chains(steps.size());
  std::map<std::size_t, std::vector<std::size_t>> members;
  for (std::size_t n = 0; n < steps.size(); ++n) members[turns[n]].push_back(n);
  for (const auto& [turn, chain] : members) {
    if (chain.size() == 1) continue;
    std::vector<Link> links = linked(steps, chain);
    if (links.empty()) continue;
    for (const std::size_t n : chain) steps[n]->turn = turn;
    chains[turn] = std::make_unique<ChainStep>(std::move(links), *steps[turn]);
  }
  join_endings(steps, values, chains);
  return chains;
}

}  // namespace lowbit
