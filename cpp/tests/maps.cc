// Steps that move or pool maps, against loops over elements; input and output touch guard pages.
#include "../core/maps.h"

#include "layer_case.h"

namespace lowbit::testing {
namespace {

constexpr std::size_t kMapChannels[] = {1, 3, 4, 31, 32, 33, 63, 64, 65};

struct Form {
  Kind kind;
  unsigned range;
};

constexpr Form kForms[] = {{Kind::planes, 1}, {Kind::planes, 2}, {Kind::planes, 3}, {Kind::bytes, 255}, {Kind::words, word_range(0, 255)}, {Kind::real, 0}};

std::size_t size(Random& random, int low, int high) { return static_cast<std::size_t>(draw(random, low, high)); }

// One number for each element, in the order [row][pixel][channel], whatever the kind.
std::vector<unsigned> random_elements(Random& random, const Value& value, std::size_t rows) {
  const int top = value.kind == Kind::planes ? (1 << value.bits) - 1 : 255;
  std::vector<unsigned> elements(rows * value.features);
  for (unsigned& element : elements) element = static_cast<unsigned>(draw(random, 0, top));
  return elements;
}

void store(const Value& value, const std::vector<unsigned>& elements, std::byte* to) {
  if (value.kind != Kind::real) return store_codes(value, elements, to);
  for (std::size_t n = 0; n < elements.size(); ++n) reinterpret_cast<float*>(to)[n] = static_cast<float>(elements[n]);
}

unsigned load(const Value& value, std::byte* from, std::size_t row, std::size_t n) {
  if (value.kind != Kind::real) return load_code(value, from, row, n);
  return static_cast<unsigned>(reinterpret_cast<const float*>(from + row * value.row)[n]);
}

// Runs the step on elements and compares all it writes with expected(row, element).
template <class Expected>
void check_step(Random& random, Step& step, const Value& in, const Value& out, std::size_t rows,
                const std::vector<unsigned>& elements, const std::string& what, const Expected& expected) {
  const Against against = draw(random, 0, 1) ? Against::front : Against::back;
  const Guarded x(rows * in.row, against), y(rows * out.row, against);
  store(in, elements, x.data());
  run_step(step, in, out, rows, x.data(), y.data());
  bool equal = true;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t n = 0; n < out.features; ++n) equal &= load(out, y.data(), row, n) == expected(row, n);
  }
  CHECK(equal, what);
  if (out.kind == Kind::planes) CHECK(padding_is_zero(out, y.data(), rows), what);
}

// A window whose every output sees the map.
AxisSpec any_axis(Random& random, std::size_t extent) {
  AxisSpec spec{size(random, 1, 4), size(random, 1, 3)};
  spec.kernel = std::min(spec.kernel, extent);
  spec.before = size(random, 0, static_cast<int>(spec.kernel) - 1);
  spec.after = size(random, 0, static_cast<int>(spec.kernel) - 1);
  return spec;
}

// Calls visit(input pixel) for the taps of one output pixel that lie in the map.
template <class Visit>
void each_tap(const Value& in, const Value& out, const WindowSpec& window, std::size_t pixel, const Visit& visit) {
  for (std::size_t i = 0; i < window.rows.kernel; ++i) {
    for (std::size_t j = 0; j < window.columns.kernel; ++j) {
      const std::size_t y = pixel / out.width * window.rows.stride + i - window.rows.before;
      const std::size_t x = pixel % out.width * window.columns.stride + j - window.columns.before;
      if (y < in.height && x < in.width) visit(y * in.width + x);
    }
  }
}

struct Case {
  Value in, out;
  WindowSpec window;
  std::size_t rows;
  std::vector<unsigned> elements;
  std::string text;

  Case(Random& random, const Form& form, std::size_t channels)
      : in(map_value(form.kind, form.range, channels, size(random, 1, 7), size(random, 1, 7))),
        window{any_axis(random, in.height), any_axis(random, in.width)}, rows(size(random, 1, 3)) {
    const Axis y("test", in.height, window.rows), x("test", in.width, window.columns);
    out = map_value(form.kind, form.range, channels, y.outputs(), x.outputs());
    elements = random_elements(random, in, rows);
    text = "kind " + std::to_string(static_cast<int>(form.kind)) + " channels " + std::to_string(channels) + " @" +
           std::to_string(in.height) + "x" + std::to_string(in.width) + " k" + std::to_string(window.rows.kernel) + "x" +
           std::to_string(window.columns.kernel);
  }

  unsigned at(std::size_t row, std::size_t pixel, std::size_t channel) const {
    return elements[row * in.features + pixel * in.channels() + channel];
  }
};

template <class Test>
void each_form(unsigned seed, const Test& test) {
  Random random(seed);
  for (const Form& form : kForms) {
    for (const std::size_t channels : kMapChannels) {
      for (int repeat = 0; repeat < 6; ++repeat) test(random, Case(random, form, channels));
    }
  }
}

TEST(max_pool) {
  each_form(21, [](Random& random, const Case& c) {
    std::vector<std::uint8_t> ranks(c.in.kind == Kind::planes ? std::size_t{1} << c.in.bits : 0);
    std::iota(ranks.begin(), ranks.end(), std::uint8_t{0});
    if (draw(random, 0, 1)) std::shuffle(ranks.begin(), ranks.end(), random);
    const auto rank = [&](unsigned code) { return ranks.empty() ? code : ranks[code]; };
    const auto step = max_pool(0, c.in, c.out, c.window, ranks);
    check_step(random, *step, c.in, c.out, c.rows, c.elements, c.text, [&](std::size_t row, std::size_t n) {
      const std::size_t channel = n % c.out.channels();
      bool first = true;
      unsigned best = 0;
      each_tap(c.in, c.out, c.window, n / c.out.channels(), [&](std::size_t pixel) {
        const unsigned code = c.at(row, pixel, channel);
        if (first || rank(code) > rank(best)) best = code;
        first = false;
      });
      return best;
    });
  });
}

TEST(average_pool) {
  each_form(22, [](Random& random, const Case& c) {
    if (c.in.kind != Kind::real) return;
    std::vector<unsigned> multiples = c.elements;  // of 720, which every number of taps up to 16 but 7, 11, 13 divides
    for (unsigned& element : multiples) element *= 720;
    const bool count_all = draw(random, 0, 1) != 0;
    const auto step = average_pool(0, c.in, c.out, c.window, count_all);
    check_step(random, *step, c.in, c.out, c.rows, multiples, c.text, [&](std::size_t row, std::size_t n) {
      unsigned sum = 0, count = 0;
      each_tap(c.in, c.out, c.window, n / c.out.channels(), [&](std::size_t pixel) {
        sum += 720 * c.at(row, pixel, n % c.out.channels()), ++count;
      });
      const auto taps = static_cast<unsigned>(c.window.rows.kernel * c.window.columns.kernel);
      return sum / (count_all ? taps : count);
    });
  });
}

TEST(arrange_and_flatten) {
  each_form(23, [](Random& random, const Case& c) {
    const std::size_t channels = c.in.channels(), pixels = c.in.pixels();
    const Value flat = c.in.kind == Kind::planes  ? planes_value(c.in.features, c.in.bits)
                       : c.in.kind == Kind::bytes ? bytes_value(c.in.features, 255)
                       : c.in.kind == Kind::words ? words_value(c.in.features, c.in.top)
                                                  : real_value(c.in.features);
    const auto flattened = flatten(0, c.in);
    check_step(random, *flattened, c.in, flat, c.rows, c.elements, c.text + " flatten",
               [&](std::size_t row, std::size_t n) { return c.at(row, n % pixels, n / pixels); });
    if (c.in.kind == Kind::planes) return;
    const auto arranged = arrange(0, flat, c.in);
    check_step(random, *arranged, flat, c.in, c.rows, c.elements, c.text + " arrange", [&](std::size_t row, std::size_t n) {
      return c.elements[row * c.in.features + n % channels * pixels + n / channels];
    });
  });
}

TEST(scale_channels) {
  each_form(24, [](Random& random, const Case& c) {
    if (c.in.kind != Kind::real) return;
    std::vector<float> scale(c.in.channels()), shift(c.in.channels());
    for (float& factor : scale) factor = static_cast<float>(draw(random, 1, 9));
    for (float& sum : shift) sum = static_cast<float>(draw(random, 0, 9));
    const auto step = scale_channels(0, c.in, scale, shift);
    check_step(random, *step, c.in, c.in, c.rows, c.elements, c.text, [&](std::size_t row, std::size_t n) {
      const std::size_t channel = n % c.in.channels();
      return static_cast<unsigned>(scale[channel]) * c.at(row, n / c.in.channels(), channel) +
             static_cast<unsigned>(shift[channel]);
    });
  });
}

// The same map twice, its only input: what is read lies against a guard page.
TEST(concatenate) {
  each_form(25, [](Random& random, const Case& c) {
    const std::size_t channels = c.in.channels();
    if (c.in.kind == Kind::planes && channels % 32 != 0) return;
    const Value out = map_value(c.in.kind, c.in.range(), 2 * channels, c.in.height, c.in.width);
    const auto step = concatenate({0, 0}, {c.in, c.in}, out);
    check_step(random, *step, c.in, out, c.rows, c.elements, c.text, [&](std::size_t row, std::size_t n) {
      return c.at(row, n / (2 * channels), n % channels);
    });
  });
}

}  // namespace
}  // namespace lowbit::testing
