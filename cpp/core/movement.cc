#include "movement.h"

#include <algorithm>
#include <cstring>

#include "error.h"
#include "transpose.h"

namespace lowbit {
namespace {

constexpr std::size_t kMostLoops = 12;
// Elements that follow each other: from this many on, copying them as one is worth it.
constexpr std::size_t kRun = 4;

// Elements that lie side by side on both sides, or are all filled.
struct Run {
  std::uint32_t from, length;
};

// How many equal steps of `stride` a row of places begins with, `unit` places apart.
std::size_t steps_of(std::span<const std::uint32_t> places, std::size_t unit, std::ptrdiff_t stride) {
  std::size_t count = 1;
  for (; count * unit < places.size(); ++count) {
    const auto at = static_cast<std::ptrdiff_t>(places[count * unit]);
    if (at != static_cast<std::ptrdiff_t>(places[0]) + static_cast<std::ptrdiff_t>(count) * stride) break;
  }
  return count;
}

std::vector<Run> runs_of(std::span<const std::uint32_t> places) {
  std::vector<Run> runs;
  for (const std::uint32_t place : places) {
    const bool joins = !runs.empty() && (place == kNowhere ? runs.back().from == kNowhere
                                                           : runs.back().from != kNowhere &&
                                                                 place == runs.back().from + runs.back().length);
    if (joins) {
      ++runs.back().length;
    } else {
      runs.push_back({place, 1});
    }
  }
  return runs;
}

class GatherStep final : public Step {
 public:
  [[gnu::cold]] GatherStep(std::size_t x, const Value& input, const Value& output, std::span<const std::uint32_t> places, float fill)
      : x_(x), fill_(fill) {
    const bool codes = input.kind == Kind::bytes || input.kind == Kind::words;
    require(input.kind == output.kind && (input.kind == Kind::real || (codes && input.pixel == 0)), name = "gather",
            "floats, or bytes or words that are no map", "others");
    require(places.size() == output.features, name, {output.features, " elements"},
            places.size());
    bool filled = false;
    for (const std::uint32_t place : places) {
      filled = filled || place == kNowhere;
      require(place < input.features || (place == kNowhere && !codes), name, {"elements below ", input.features},
              place);
    }
    first_ = places[0];
    if (!filled) loops_ = loops_of(places);
    if (loops_.empty()) runs_ = runs_of(places);
    if (runs_.size() * kRun > places.size()) runs_.clear(), places_.assign(places.begin(), places.end());
    kernel = "portable";
    cost = static_cast<double>(output.features) / (places_.empty() ? 4 : 1);
  }

  void run(const Block& block) const override {
    const Place in = block.place(x_), out = block.place(result);
    for (std::size_t row = 0; row < block.rows; ++row) {
      if (in.value->kind == Kind::real) {
        move(in.real(row), out.real(row));
      } else if (in.value->kind == Kind::words) {
        move(in.words(row), out.words(row));
      } else {
        move(in.bytes(row), out.bytes(row));
      }
    }
  }

 private:
  template <class Element>
  void move(const Element* x, Element* y) const {
    if (!loops_.empty()) {
      follow<Element>(loops_, x + first_, y);
    } else if (!runs_.empty()) {
      for (const Run& run : runs_) {
        if (run.from == kNowhere) {
          std::fill_n(y, run.length, static_cast<Element>(fill_));
        } else {
          std::memcpy(y, x + run.from, run.length * sizeof *y);
        }
        y += run.length;
      }
    } else {
      for (std::size_t n = 0; n < places_.size(); ++n) y[n] = places_[n] == kNowhere ? static_cast<Element>(fill_) : x[places_[n]];
    }
  }

  // Goes through the loops; returns behind what it wrote.
  template <class Element>
  static Element* follow(std::span<const Loop> loops, const Element* x, Element* y) {
    const Loop& outer = loops.front();
    if (loops.size() == 1) return one<Element>(outer, x, y);
    if (loops.size() == 2 && outer.stride == 1 && loops[1].stride > 1) {  // columns become rows
      const std::size_t rows = loops[1].count;
      transpose<Element>(x, rows, outer.count, static_cast<std::size_t>(loops[1].stride), y, rows);
      return y + rows * outer.count;
    }
    for (std::size_t n = 0; n < outer.count; ++n, x += outer.stride) y = follow(loops.subspan(1), x, y);
    return y;
  }

  template <class Element>
  static Element* one(const Loop& loop, const Element* x, Element* y) {
    if (loop.stride == 1) {
      std::memcpy(y, x, loop.count * sizeof *y);
    } else if (loop.stride == 0) {
      std::fill_n(y, loop.count, *x);
    } else {
      for (std::size_t n = 0; n < loop.count; ++n, x += loop.stride) y[n] = *x;
    }
    return y + loop.count;
  }

  std::size_t x_, first_ = 0;
  float fill_;
  std::vector<Loop> loops_;
  std::vector<Run> runs_;
  std::vector<std::uint32_t> places_;
};

}  // namespace

std::vector<Loop> loops_of(std::span<const std::uint32_t> places) {
  std::vector<Loop> loops;  // the innermost first
  for (std::size_t unit = 1; unit < places.size();) {
    const auto stride = static_cast<std::ptrdiff_t>(places[unit]) - static_cast<std::ptrdiff_t>(places[0]);
    const std::size_t count = steps_of(places, unit, stride);
    if (places.size() % (unit * count) != 0 || loops.size() == kMostLoops) return {};
    loops.push_back({count, stride}), unit *= count;
  }
  if (loops.empty()) loops.push_back({1, 1});
  // Every place must be where the loops say, not the first of each alone.
  std::vector<std::size_t> at(loops.size());
  std::ptrdiff_t place = static_cast<std::ptrdiff_t>(places[0]);
  for (const std::uint32_t found : places) {
    if (place != static_cast<std::ptrdiff_t>(found)) return {};
    for (std::size_t n = 0; n < loops.size(); ++n) {
      place += loops[n].stride;
      if (++at[n] < loops[n].count) break;
      place -= static_cast<std::ptrdiff_t>(loops[n].count) * loops[n].stride, at[n] = 0;
    }
  }
  std::reverse(loops.begin(), loops.end());
  return loops;
}

[[gnu::cold]] std::unique_ptr<Step> gather(std::size_t x, const Value& input, const Value& output, std::span<const std::uint32_t> places,
                             float fill) {
  return std::make_unique<GatherStep>(x, input, output, places, fill);
}

}  // namespace lowbit
