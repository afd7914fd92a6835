// Whole programs: any batch, any number of threads, the same integers; and programs that must be refused.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "../core/loader.h"
#include "../core/error.h"
#include "check.h"
#include "guarded.h"

namespace lowbit::testing {
namespace {

constexpr std::size_t kIn = 65, kHidden = 1500, kOut = 37;

struct Parts {
  std::vector<float> thresholds{-0.5f, 0.0f, 0.5f};
  std::vector<std::uint8_t> order{0, 1, 2, 3};
  std::vector<std::uint32_t> first, second;
  std::vector<std::int32_t> first_factors, second_factors, hidden_thresholds, first_offsets, second_offsets;
  std::vector<std::int32_t> input_factors{1, 2};
  std::vector<double> scale, bias;

  Parts() {
    std::mt19937 random(7);
    const auto planes = [&](std::size_t channels, std::size_t features) {
      const std::size_t words = round_up(features, 32) / 32;
      std::vector<std::uint32_t> out(channels * 2 * words);
      for (std::size_t n = 0; n < out.size(); ++n) {
        const bool last = n % words + 1 == words && features % 32 != 0;
        out[n] = static_cast<std::uint32_t>(random()) & (last ? (1u << (features % 32)) - 1 : ~0u);
      }
      return out;
    };
    first = planes(kHidden, kIn), second = planes(kOut, kHidden);
    for (std::size_t n = 0; n < 2 * kHidden; ++n) first_factors.push_back(static_cast<std::int32_t>(1 + n % 2));
    for (std::size_t n = 0; n < 2 * kOut; ++n) second_factors.push_back(static_cast<std::int32_t>(1 + n % 2));
    for (std::size_t n = 0; n < kHidden; ++n) {
      for (const std::int32_t t : {-40, 1, 30}) hidden_thresholds.push_back(t);
    }
    first_offsets.assign(kHidden, 1), second_offsets.assign(kOut, 0);
    scale.assign(kOut, 0.01), bias.assign(kOut, 0.5);
  }

  steps::PlaneEnding hidden_end() const { return {{hidden_thresholds.data(), kHidden, 3}, order}; }

  PlaneWeights first_weights() const {
    return {{first.data(), kHidden, 2 * 3}, {first_factors.data(), kHidden, 2}, first_offsets, input_factors};
  }

  PlaneWeights second_weights() const {
    return {{second.data(), kOut, 2 * 47}, {second_factors.data(), kOut, 2}, second_offsets, input_factors};
  }

  std::unique_ptr<Program> build(const std::string& level, std::size_t threads) const {
    Builder builder({kIn}, level);
    std::size_t value = builder.add({0}, steps::EncodePlanes{thresholds, order});
    value = builder.add({value}, steps::PlaneFullyConnected{first_weights(), hidden_end()});
    value = builder.add({value}, steps::PlaneFullyConnected{second_weights(), steps::RealEnding{scale, bias}});
    return builder.finish({builder.add({value}, steps::Softmax{1, kOut, 1, false})}, threads);
  }
};

template <class... Floats>
std::array<std::byte*, sizeof...(Floats)> ports(Floats&... arrays) {
  return {reinterpret_cast<std::byte*>(arrays.data())...};
}

std::vector<float> run(Program& program, const std::vector<float>& x) {
  const std::size_t rows = x.size() / kIn;
  const Guarded in(4 * x.size(), Against::back), out(4 * rows * kOut, Against::back);
  std::copy(x.begin(), x.end(), reinterpret_cast<float*>(in.data()));
  program.run(std::array{in.data(), out.data()}, rows);
  const auto* y = reinterpret_cast<const float*>(out.data());
  return {y, y + rows * kOut};
}

TEST(any_batch_any_threads_any_level) {
  const Parts parts;
  std::mt19937 random(8);
  std::normal_distribution<float> normal;
  for (const std::size_t rows : {0u, 1u, 7u, 63u, 64u, 65u, 200u}) {
    std::vector<float> x(rows * kIn);
    for (float& value : x) value = normal(random);
    const std::vector<float> expected = run(*parts.build("portable", 1), x);
    for (const std::string& level : available_levels()) {
      for (const std::size_t threads : {1u, 2u, 3u}) {
        const auto program = parts.build(level, threads);
        for (int repeat = 0; repeat < 3; ++repeat) CHECK(run(*program, x) == expected, level);
      }
    }
  }
}

// Planes that become bytes when they are loaded, whatever rule ends the layers, and layers that have to stay in planes.
TEST(planes_and_bytes_give_the_same_numbers) {
  Parts parts;
  const std::vector<std::int64_t> wide(parts.hidden_thresholds.begin(), parts.hidden_thresholds.end());
  const std::vector<std::uint16_t> entries{0, 2, 1, 3};
  const std::vector<std::uint8_t> codes{0, 2, 1, 3};
  std::vector<std::int32_t> large = parts.second_factors;
  large[3] = 301;  // an odd channel with levels from -302 to 302
  std::mt19937 random(10);
  std::normal_distribution<float> normal;
  std::vector<float> x(70 * kIn);
  for (float& value : x) value = normal(random);
  const auto load = [&](const steps::Ending& hidden, const PlaneWeights& second, const char* path) {
    Loader loader({kIn}, "", std::numeric_limits<std::size_t>::max(), path);
    loader.add({0}, steps::EncodePlanes{parts.thresholds, parts.order}, "codes", "");
    loader.add({1}, steps::PlaneFullyConnected{parts.first_weights(), hidden}, "hidden", "");
    loader.add({2}, steps::PlaneFullyConnected{second, steps::RealEnding{parts.scale, parts.bias}}, "y", "");
    return loader.finish({3}, 1);
  };
  const auto ran = [](const Program& program) { return std::string(program.steps()[1]->name) + " " + program.steps()[2]->name; };
  PlaneWeights wide_weights = parts.second_weights();
  wide_weights.factors.data = large.data();
  const steps::RankEnding ranks{Form::planes, {wide.data(), kHidden, 3}, entries};
  const steps::PlaneEnding planes{{parts.hidden_thresholds.data(), kHidden, 3}, codes};
  for (const steps::Ending& hidden : {steps::Ending(planes), steps::Ending(ranks)}) {
    const auto counted = load(hidden, parts.second_weights(), "popcount"), multiplied = load(hidden, parts.second_weights(), "dot");
    CHECK(ran(*counted) == "plane_fully_connected plane_fully_connected", ran(*counted));
    CHECK(ran(*multiplied) == "byte_fully_connected byte_fully_connected", ran(*multiplied));
    CHECK(run(*counted, x) == run(*multiplied, x), "the same numbers");
    const auto mixed = load(hidden, wide_weights, "dot");
    CHECK(ran(*mixed) == "byte_fully_connected plane_fully_connected", ran(*mixed));
    CHECK(run(*load(hidden, wide_weights, "popcount"), x) == run(*mixed, x), "weights that fit no bytes");
  }
}

TEST(softmax_is_exact_enough) {
  Builder builder({5}, "");
  const auto program = builder.finish({builder.add({0}, steps::Softmax{1, 5, 1, false})}, 1);
  for (std::vector<float> x : {std::vector<float>{0, 1, 2, 3, 4}, {-500, 0, 500, 1, 2}, {-79.9f, -80.1f, 0, -1, 7}}) {
    std::vector<float> y(5);
    program->run(ports(x, y), 1);
    const double top = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (const float value : x) sum += std::exp(value - top);
    for (std::size_t n = 0; n < 5; ++n) {
      CHECK(std::abs(y[n] - std::exp(x[n] - top) / sum) < 1e-6, std::to_string(y[n]));
    }
  }
}

struct Nothing final : Step {
  void run(const Block&) const override {}
};

// Any steps that read any earlier values: bytes belong to one value from the step that fills it to its last reader, and
// what gave its bytes away or got another's has its padding cleared.
TEST(values_have_their_bytes_as_long_as_they_are_read) {
  std::mt19937 random(9);
  const auto draw = [&](std::size_t most) { return random() % (most + 1); };
  std::size_t together = 0, apart = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<Value> values{real_value(8)};
    std::vector<std::unique_ptr<Step>> steps;
    const std::size_t count = 1 + draw(30), rows = 1 + draw(3);
    for (std::size_t n = 0; n < count; ++n) {
      auto step = std::make_unique<Nothing>();
      for (std::size_t reads = draw(3); reads-- > 0;) step->sources.push_back(draw(3) ? draw(n) : n);
      step->result = values.size();
      const std::size_t features = 1 + draw(300);
      values.push_back(draw(1) ? planes_value(features, 2) : real_value(features));
      steps.push_back(std::move(step));
    }
    const std::size_t output = 1 + draw(count - 1), first = 64 * draw(2);
    values[0].port = 0, values[output].port = 1;
    const std::size_t end = place_values(values, steps, rows, first);
    const auto until = [&](std::size_t value) {
      std::size_t last = value - 1;
      for (std::size_t n = 0; n < count; ++n) {
        if (std::count(steps[n]->sources.begin(), steps[n]->sources.end(), value)) last = std::max(last, n);
      }
      return last;
    };
    std::vector<bool> shared(count + 1);
    for (std::size_t a = 1; a <= count; ++a) {
      if (a == output) continue;
      CHECK(values[a].offset >= first && values[a].offset + rows * values[a].row <= end, "within the lane");
      CHECK(values[a].offset % kCacheLine == 0, "on a cache line");
      for (std::size_t b = a + 1; b <= count; ++b) {
        const auto size = [&](std::size_t n) { return round_up(rows * values[n].row, kCacheLine); };
        if (b == output || values[a].offset >= values[b].offset + size(b) || values[b].offset >= values[a].offset + size(a)) continue;
        shared[a] = shared[b] = true;
        CHECK(b - 1 > until(a), "values " + std::to_string(a) + " and " + std::to_string(b));
      }
    }
    for (std::size_t n = 1; n <= count; ++n) {
      const bool padded = values[n].kind == Kind::planes && values[n].features % 64 != 0;
      CHECK(steps[n - 1]->clear == (shared[n] && padded), "cleared " + std::to_string(n));
      (shared[n] ? together : apart) += 1;
    }
  }
  CHECK(together > 500 && apart > 500, std::to_string(together) + " " + std::to_string(apart));
}

// Any number of inputs and outputs, an output that later steps read among them, numbers that no input changes.
TEST(several_inputs_and_outputs) {
  const std::vector<float> numbers{3, -1, 4, 1, -5};
  for (const std::size_t threads : {1u, 2u}) {
    Builder builder({5, 1, 5}, "");
    const std::size_t sum = builder.add({0, 2}, steps::Combine{Arithmetic::add});
    const std::size_t kept = builder.add({}, steps::Constant{numbers}), other = builder.add({sum, kept}, steps::Combine{Arithmetic::multiply});
    const auto program = builder.finish({builder.add({other, 1}, steps::Combine{Arithmetic::subtract}), sum}, threads);
    for (const std::size_t rows : {1u, 7u, 500u}) {
      std::vector<float> a(5 * rows), b(rows), c(5 * rows), y(5 * rows), z(5 * rows);
      for (std::size_t n = 0; n < a.size(); ++n) a[n] = static_cast<float>(n % 11), c[n] = static_cast<float>(n % 7);
      for (std::size_t n = 0; n < rows; ++n) b[n] = static_cast<float>(n);
      for (int repeat = 0; repeat < 2; ++repeat) program->run(ports(a, b, c, y, z), rows);
      bool equal = true;
      for (std::size_t n = 0; n < a.size(); ++n) {
        equal = equal && z[n] == a[n] + c[n] && y[n] == (a[n] + c[n]) * numbers[n % 5] - b[n / 5];
      }
      CHECK(equal, std::to_string(rows) + " rows");
      std::string found;
      c.back() = std::nanf("");
      try {
        program->run(ports(a, b, c, y, z), rows);
      } catch (const Error& error) {
        found = error.where + ": " + error.found;
      }
      CHECK(found == "input 2: NaN in sample " + std::to_string(rows - 1), found);
    }
  }
}

TEST(samples_with_nan_are_refused) {
  const Parts parts;
  for (const std::size_t threads : {1u, 2u}) {
    const auto program = parts.build("", threads);
    for (const std::size_t rows : {1u, 70u, 300u}) {
      std::vector<float> x(rows * kIn, 1), y(rows * kOut);
      x[(rows - 1) * kIn + 7] = std::nanf("");
      std::string found;
      try {
        program->run(ports(x, y), rows);
      } catch (const Error& error) {
        found = error.found;
      }
      CHECK(found == "NaN in sample " + std::to_string(rows - 1), found);
    }
  }
}

template <class Function>
bool refused(const Function& call) {
  try {
    call();
  } catch (const Error&) {
    return true;
  }
  return false;
}

TEST(programs_that_do_not_fit_are_refused) {
  const Parts parts;
  using Ending = steps::PlaneEnding;
  const auto with = [&](auto change) {
    return refused([&] {
      Builder builder({kIn}, "");
      const std::size_t value = builder.add({0}, steps::EncodePlanes{parts.thresholds, parts.order});
      PlaneWeights weights = parts.first_weights();
      steps::PlaneEnding end = parts.hidden_end();
      change(weights, end);
      builder.add({value}, steps::PlaneFullyConnected{weights, end});
    });
  };
  std::vector<std::uint32_t> padded = parts.first;
  padded[2] |= 0x80000000u;
  std::vector<std::int32_t> falling = parts.hidden_thresholds;
  std::swap(falling[0], falling[2]);
  const std::vector<std::uint8_t> large{0, 1, 2, 9}, odd{0, 1, 2};
  const std::vector<std::int32_t> huge(2 * kHidden, 1 << 23), none;
  CHECK(!with([](PlaneWeights&, Ending&) {}), "the good one");
  CHECK(with([](PlaneWeights& w, Ending&) { w.planes.rows -= 1; }), "rows");
  CHECK(with([](PlaneWeights& w, Ending&) { w.planes.columns -= 1; }), "words");
  CHECK(with([](PlaneWeights& w, Ending&) { w.factors.columns = 5; }), "planes");
  CHECK(with([](PlaneWeights& w, Ending&) { w.factors.columns = 0; }), "no planes");
  CHECK(with([](PlaneWeights& w, Ending&) { w.input_factors = w.input_factors.first(1); }), "input factors");
  CHECK(with([](PlaneWeights& w, Ending&) { w.offsets = w.offsets.first(3); }), "offsets");
  CHECK(with([&](PlaneWeights& w, Ending&) { w.factors.data = huge.data(); }), "overflow");
  CHECK(with([&](PlaneWeights& w, Ending&) { w.planes.data = padded.data(); }), "padding");
  CHECK(with([](PlaneWeights&, Ending& e) { e.thresholds.rows -= 1; }), "thresholds");
  CHECK(with([&](PlaneWeights&, Ending& e) { e.thresholds.data = falling.data(); }), "falling");
  CHECK(with([&](PlaneWeights&, Ending& e) { e.table = large; }), "codes");
  CHECK(with([&](PlaneWeights&, Ending& e) { e.table = odd; }), "table");

  Builder builder({kIn}, "");
  const auto added = [&](const Sources& x, const steps::Any& step) { return refused([&] { builder.add(x, step); }); };
  const steps::Softmax softmax{1, kIn, 1, false};
  CHECK(added({1}, softmax), "no such value");
  CHECK(added({}, softmax), "nothing to read");
  CHECK(added({0, 0}, softmax), "too much to read");
  CHECK(added({0}, steps::LookUp{parts.order}), "floats have no table");
  CHECK(added({0}, steps::EncodeAffine{0.0, 0, 255}), "scale");
  CHECK(added({0}, steps::EncodeAffine{1.0, 0, 256}), "top");
  CHECK(added({0}, steps::CombineConstant{parts.thresholds, Arithmetic::add}), "size");
  const std::size_t map = builder.add({0}, steps::Arrange{kIn, 1, 1}), pooled = builder.add({map}, softmax);
  const std::vector<std::uint32_t> outside{0, kIn}, two{0, 0};
  CHECK(!added({map, pooled}, steps::Combine{Arithmetic::multiply}), "a number for each channel");
  CHECK(added({map}, steps::Combine{Arithmetic::multiply}), "one of two");
  const std::size_t twice = builder.add({0}, steps::Gather{two, 2, 0, 0, 0});
  CHECK(added({0, twice}, steps::Combine{Arithmetic::multiply}), "two for all");
  CHECK(added({0}, steps::Gather{outside, 2, 0, 0, 0}), "an element outside");
  CHECK(added({0}, steps::Gather{two, 3, 0, 0, 0}), "too few elements");
  CHECK(added({0}, steps::Gather{two, 1, 2, 0, 0}), "a map without columns");
  CHECK(added({0}, steps::EncodePlanes{std::span(parts.thresholds).first(2), parts.order}), "thresholds");
  CHECK(refused([&] { builder.finish({0}, 1); }), "no step");
  CHECK(refused([&] { builder.finish({}, 1); }), "no output");
  CHECK(refused([&] { builder.finish({pooled, pooled}, 1); }), "one output twice");
  // Lengths whose product wraps to 16.
  CHECK(added({0}, steps::Arrange{7, 7905747460161236407u, 16}), "wrapped lengths");
  const steps::Clip clip{0, 1};
  CHECK(refused([&] {
          Builder small({1 << 20}, "", 1 << 20);
          small.finish({small.add({small.add({0}, clip)}, clip)}, 1);
        }), "more than allowed");
  CHECK(refused([&] { Builder none_at_all({0}, ""); }), "no features");
  CHECK(refused([&] { Builder unknown({1}, "abacus"); }), "level");
}

}  // namespace
}  // namespace lowbit::testing
