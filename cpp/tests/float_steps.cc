// Steps on floats that are no single elements, as whole programs: against loops in float64; on every level, with any number of
// threads and rows the same bits.
#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "../core/builder.h"
#include "../core/error.h"
#include "layer_case.h"

namespace lowbit::testing {
namespace {

using Reals = std::vector<double>;
using Floats = std::vector<float>;

// A program of one input, and what it makes of a sample.
struct StepCase {
  std::string what;
  std::size_t features;
  std::function<std::size_t(Builder&)> build;
  std::function<Reals(const Reals&)> expected;
};

Floats ran(const StepCase& c, const std::string& level, std::size_t threads, const Floats& x) {
  Builder builder({c.features}, level);
  const std::size_t value = c.build(builder), rows = x.size() / c.features, made = builder.value(value).features;
  const auto program = builder.finish({value}, threads);
  const Guarded in(4 * x.size(), Against::back), out(4 * rows * made, Against::back);
  std::copy(x.begin(), x.end(), reinterpret_cast<float*>(in.data()));
  std::byte* const ports[] = {in.data(), out.data()};
  program->run(ports, rows);
  const auto* y = reinterpret_cast<const float*>(out.data());
  return {y, y + rows * made};
}

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](float p, float q) {
    return std::bit_cast<std::uint32_t>(p) == std::bit_cast<std::uint32_t>(q) || (std::isnan(p) && std::isnan(q));
  });
}

// Halves and quarters, so that ties are met.
void check_case(Random& random, const StepCase& c, double tolerance = 1e-5) {
  for (const std::size_t rows : {1u, 3u, 70u}) {
    Floats x(rows * c.features);
    for (float& one : x) one = static_cast<float>(draw(random, -40, 40)) / 4;
    const Floats y = ran(c, "portable", 1, x);
    for (std::size_t row = 0; row < rows; ++row) {
      const Reals expected = c.expected(Reals(x.begin() + static_cast<std::ptrdiff_t>(row * c.features),
                                              x.begin() + static_cast<std::ptrdiff_t>((row + 1) * c.features)));
      double largest = 1;
      for (const double e : expected) largest = std::isfinite(e) ? std::max(largest, std::fabs(e)) : largest;
      CHECK(expected.size() * rows == y.size(), c.what);
      for (std::size_t n = 0; n < expected.size() && expected.size() * rows == y.size(); ++n) {
        const float given = y[row * expected.size() + n];
        CHECK(given == expected[n] || std::fabs(given - expected[n]) <= tolerance * largest,
              c.what + ": " + std::to_string(given) + " for " + std::to_string(expected[n]) + " at " + std::to_string(n));
      }
    }
    for (const std::string& level : available_levels()) {
      for (const std::size_t threads : {1u, 2u}) CHECK(same_bits(ran(c, level, threads, x), y), c.what + " " + level);
    }
  }
}

struct View {
  std::size_t outer, axis, inner;
  std::size_t size() const { return outer * axis * inner; }
  std::string text() const { return " " + std::to_string(outer) + "x" + std::to_string(axis) + "x" + std::to_string(inner); }
  // The axis at one place of the others.
  Reals line(const Reals& x, std::size_t part, std::size_t i) const {
    Reals out;
    for (std::size_t n = 0; n < axis; ++n) out.push_back(x[(part * axis + n) * inner + i]);
    return out;
  }
};

constexpr View kViews[] = {{1, 1, 1}, {1, 9, 1}, {3, 1, 2}, {2, 5, 1}, {1, 33, 17}, {4, 3, 8}, {5, 16, 3}, {1, 200, 2}};

// Results of lines, in the order [outer, results, inner].
Reals of_lines(const View& v, const Reals& x, const std::function<Reals(const Reals&)>& apply) {
  const std::size_t count = apply(v.line(x, 0, 0)).size();
  Reals y(v.outer * count * v.inner);
  for (std::size_t part = 0; part < v.outer; ++part) {
    for (std::size_t i = 0; i < v.inner; ++i) {
      const Reals line = apply(v.line(x, part, i));
      for (std::size_t n = 0; n < count; ++n) y[(part * count + n) * v.inner + i] = line[n];
    }
  }
  return y;
}

TEST(steps_along_an_axis) {
  Random random(41);
  for (const View& v : kViews) {
    const auto check = [&](const std::string& what, const steps::Any& step, const std::function<Reals(const Reals&)>& line) {
      check_case(random, {what + v.text(), v.size(), [&](Builder& b) { return b.add({0}, step); },
                          [&](const Reals& x) { return of_lines(v, x, line); }});
    };
    check("sum", steps::Reduce{v.outer, v.axis, v.inner, Reduction::sum},
          [](const Reals& x) { return Reals{std::accumulate(x.begin(), x.end(), 0.0)}; });
    check("mean", steps::Reduce{v.outer, v.axis, v.inner, Reduction::mean},
          [](const Reals& x) { return Reals{std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size())}; });
    check("maximum", steps::Reduce{v.outer, v.axis, v.inner, Reduction::maximum},
          [](const Reals& x) { return Reals{*std::max_element(x.begin(), x.end())}; });
    check("softmax", steps::Softmax{v.outer, v.axis, v.inner, false}, [](const Reals& x) {
      Reals y;
      double sum = 0;
      for (const double a : x) y.push_back(std::exp(a)), sum += y.back();
      for (double& a : y) a /= sum;
      return y;
    });
    check("cumulated", steps::Accumulate{v.outer, v.axis, v.inner, false, false}, [](Reals x) {
      for (std::size_t n = 1; n < x.size(); ++n) x[n] += x[n - 1];
      return x;
    });
    check("cumulated from behind, without itself", steps::Accumulate{v.outer, v.axis, v.inner, true, true}, [](Reals x) {
      double sum = 0;
      for (std::size_t n = x.size(); n-- > 0;) sum += std::exchange(x[n], sum);
      return x;
    });
    for (const bool last : {false, true}) {
      check("largest", steps::FindExtreme{v.outer, v.axis, v.inner, true, last}, [&](const Reals& x) {
        std::size_t best = 0;
        for (std::size_t n = 1; n < x.size(); ++n) best = x[n] > x[best] || (last && x[n] == x[best]) ? n : best;
        return Reals{static_cast<double>(best)};
      });
    }
    check("smallest", steps::FindExtreme{v.outer, v.axis, v.inner, false, false}, [](const Reals& x) {
      return Reals{static_cast<double>(std::min_element(x.begin(), x.end()) - x.begin())};
    });
    for (const bool largest : {false, true}) {
      const std::size_t count = (v.axis + 1) / 2;
      const auto sorted = [&](const Reals& x) {
        std::vector<std::size_t> order(x.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return largest ? x[a] > x[b] : x[a] < x[b]; });
        order.resize(count);
        return order;
      };
      check_case(random, {"sorted" + v.text(), v.size(),
                          [&](Builder& b) { return b.add({0}, steps::SortExtremes{v.outer, v.axis, v.inner, count, largest}); },
                          [&](const Reals& x) {
                            Reals y = of_lines(v, x, [&](const Reals& line) {
                              Reals out;
                              for (const std::size_t n : sorted(line)) out.push_back(line[n]);
                              return out;
                            });
                            const Reals places = of_lines(v, x, [&](const Reals& line) {
                              const auto order = sorted(line);
                              return Reals(order.begin(), order.end());
                            });
                            y.insert(y.end(), places.begin(), places.end());
                            return y;
                          }});
    }
    std::vector<std::uint32_t> places;
    Floats weights;
    for (std::size_t n = 0; n < 3 * 7; ++n) {
      places.push_back(static_cast<std::uint32_t>(draw(random, 0, static_cast<int>(v.axis) - 1)));
      weights.push_back(static_cast<float>(draw(random, -9, 9)) / 8);
    }
    check("resampled", steps::Resample{v.outer, v.axis, v.inner, {places.data(), 7, 3}, {weights.data(), 7, 3}, v.outer * 7 * v.inner, 0, 0},
          [&](const Reals& x) {
            Reals y(7, 0.0);
            for (std::size_t n = 0; n < places.size(); ++n) y[n / 3] += double{weights[n]} * x[places[n]];
            return y;
          });
  }
}

TEST(places_of_nan_are_the_first) {
  const float nan = std::nanf("");
  for (const bool largest : {false, true}) {
    for (const auto& [x, first] : std::vector<std::pair<Floats, float>>{{{1, nan, 3, nan}, 1}, {{nan, 2, 3, 1}, 0}, {{1, 2, 3, nan}, 3}}) {
      Builder builder({5}, "");  // NaN that the network makes: 0 / 0
      Floats numbers;
      for (const float one : x) numbers.push_back(std::isnan(one) ? 0 : one);
      const std::size_t top = builder.add({}, steps::Constant{numbers});
      Floats under;
      for (const float one : x) under.push_back(std::isnan(one) ? 0 : 1);
      const std::size_t made = builder.add({top}, steps::CombineConstant{under, Arithmetic::divide});
      const auto program = builder.finish({builder.add({made}, steps::FindExtreme{1, 4, 1, largest, false})}, 1);
      Floats in(5);
      float y = -1;
      std::byte* const ports[] = {reinterpret_cast<std::byte*>(in.data()), reinterpret_cast<std::byte*>(&y)};
      program->run(ports, 1);
      CHECK(y == first, std::to_string(y));
    }
  }
}

std::size_t part(Builder& builder, std::size_t from, std::size_t first, std::size_t count) {
  std::vector<std::uint32_t> places(count);
  std::iota(places.begin(), places.end(), static_cast<std::uint32_t>(first));
  return builder.add({from}, steps::Gather{places, count, 0, 0, 0});
}

TEST(products_of_two_values) {
  Random random(42);
  for (int repeat = 0; repeat < 25; ++repeat) {
    const auto size = [&](int most) { return static_cast<std::size_t>(draw(random, 1, most)); };
    const std::size_t batches = size(4), rows = size(9), depth = size(40), columns = size(70);
    const std::size_t left = draw(random, 0, 1) ? batches : 1, right = draw(random, 0, 1) ? batches : 1;
    const bool transposed = draw(random, 0, 1) == 1;
    const std::size_t first = left * rows * depth, second = right * depth * columns;
    check_case(random, {"product " + std::to_string(batches) + " " + std::to_string(rows) + "x" + std::to_string(depth) + "x" + std::to_string(columns),
                        first + second,
                        [&](Builder& b) {
                          return b.add({part(b, 0, 0, first), part(b, 0, first, second)},
                                       steps::MatrixProduct{batches, rows, depth, columns, transposed});
                        },
                        [&](const Reals& x) {
                          Reals y;
                          for (std::size_t n = 0; n < batches * rows * columns; ++n) {
                            const std::size_t batch = n / (rows * columns), row = n / columns % rows, column = n % columns;
                            double sum = 0;
                            for (std::size_t k = 0; k < depth; ++k) {
                              const std::size_t at = transposed ? column * depth + k : k * columns + column;
                              sum += x[(batch % left * rows + row) * depth + k] * x[first + batch % right * depth * columns + at];
                            }
                            y.push_back(sum);
                          }
                          return y;
                        }});
  }
}

TEST(choices_and_rows) {
  Random random(43);
  check_case(random, {"select", 12 + 12 + 4,
                      [](Builder& b) {
                        const std::size_t chosen = b.add({part(b, 0, 0, 12)}, steps::Clip{0, 1});
                        return b.add({chosen, part(b, 0, 12, 12), part(b, 0, 24, 4)}, steps::Select{});
                      },
                      [](const Reals& x) {
                        Reals y;
                        for (std::size_t n = 0; n < 12; ++n) y.push_back(x[n] > 0 ? x[12 + n] : x[24 + n % 4]);
                        return y;
                      }});
  const Floats one{0.5f};
  check_case(random, {"select of one condition", 3 + 12,
                      [&](Builder& b) {
                        const std::size_t chosen = b.add({part(b, 0, 0, 3)}, steps::Clip{0, 1});
                        return b.add({chosen, b.add({}, steps::Constant{one}), part(b, 0, 3, 12)}, steps::Select{});
                      },
                      [](const Reals& x) {
                        Reals y;
                        for (std::size_t n = 0; n < 12; ++n) y.push_back(x[n % 3] > 0 ? 0.5 : x[3 + n]);
                        return y;
                      }});
  const Floats bounds{-5, 4};
  check_case(random, {"rows", 3 + 2 * 5 * 3,
                      [](Builder& b) {
                        const std::size_t places = b.add({b.add({part(b, 0, 0, 3)}, steps::Clip{-5, 4})}, steps::Activate{Function::truncate});
                        return b.add({part(b, 0, 3, 30), places}, steps::TakeRows{2, 5, 3, {}});
                      },
                      [](const Reals& x) {
                        Reals y;
                        for (std::size_t n = 0; n < 2 * 3 * 3; ++n) {
                          const auto place = static_cast<std::ptrdiff_t>(std::clamp(x[n / 3 % 3], -5.0, 4.0));
                          const auto at = static_cast<std::size_t>(place < 0 ? place + 5 : place);
                          y.push_back(x[3 + (n / 9 * 5 + at) * 3 + n % 3]);
                        }
                        return y;
                      }});
  const Floats table{1, 2, 3, 4, 5, 6};
  for (float place : {-4.0f, 3.0f, 1e30f, -HUGE_VALF}) {
    Builder builder({1}, "");
    const auto program = builder.finish({builder.add({0}, steps::TakeRows{1, 3, 2, table})}, 1);
    Floats y(2);
    std::string found;
    try {
      std::byte* const ports[] = {reinterpret_cast<std::byte*>(&place), reinterpret_cast<std::byte*>(y.data())};
      program->run(ports, 1);
    } catch (const Error& error) {
      found = error.what();
    }
    CHECK(found.find("index") != std::string::npos, std::to_string(place) + found);
  }
}

TEST(elements_at_computed_places) {
  Random random(47);
  // Data of 4 x 5 in front, then numbers, then what is written.
  const std::vector<std::uint32_t> first{0, 1, 5, 12}, lengths{4}, strides{2}, rows{0, 0, 0}, both{2, 3}, steps_of{10, 3};
  const auto number = [](double x, std::ptrdiff_t length) {
    const auto place = static_cast<std::ptrdiff_t>(std::clamp(x, -2.0, 1.0));
    return static_cast<std::size_t>(place < 0 ? place + length : place);
  };
  const auto whole = [](Builder& b, std::size_t from, std::size_t count) {
    return b.add({b.add({part(b, 0, from, count)}, steps::Clip{-2, 1})}, steps::Activate{Function::truncate});
  };
  check_case(random, {"elements", 20 + 4,
                      [&](Builder& b) { return b.add({part(b, 0, 0, 20), whole(b, 20, 4)}, steps::TakeElements{first, lengths, strides, 1}); },
                      [&](const Reals& x) {
                        Reals y;
                        for (std::size_t n = 0; n < 4; ++n) y.push_back(x[first[n] + 2 * number(x[20 + n], 4)]);
                        return y;
                      }});
  check_case(random, {"parts", 20 + 6,
                      [&](Builder& b) { return b.add({part(b, 0, 0, 20), whole(b, 20, 6)}, steps::TakeElements{rows, both, steps_of, 3}); },
                      [&](const Reals& x) {
                        Reals y;
                        for (std::size_t n = 0; n < 9; ++n) {
                          const std::size_t at = n / 3 * 2 + 20;
                          y.push_back(x[10 * number(x[at], 2) + 3 * number(x[at + 1], 3) + n % 3]);
                        }
                        return y;
                      }});
  for (const Writing writing : {Writing::replace, Writing::add, Writing::minimum, Writing::maximum, Writing::multiply}) {
    check_case(random, {"writing", 20 + 6 + 9,
                        [&](Builder& b) {
                          return b.add({part(b, 0, 0, 20), whole(b, 20, 6), part(b, 0, 26, 9)},
                                       steps::PutElements{rows, both, steps_of, 3, writing});
                        },
                        [&](const Reals& x) {
                          Reals y(x.begin(), x.begin() + 20);
                          for (std::size_t n = 0; n < 9; ++n) {
                            const std::size_t at = n / 3 * 2 + 20;
                            double& to = y[10 * number(x[at], 2) + 3 * number(x[at + 1], 3) + n % 3];
                            const double from = x[26 + n];
                            to = writing == Writing::replace   ? from
                                 : writing == Writing::add     ? to + from
                                 : writing == Writing::minimum ? std::min(to, from)
                                 : writing == Writing::maximum ? std::max(to, from)
                                                               : to * from;
                          }
                          return y;
                        }});
  }
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// One direction of a layer, in float64; gates in ONNX' order.
struct Loop {
  const steps::Recurrent& s;
  std::size_t inputs, hidden, gates, d;

  double gate(const Reals& x, const Reals& state, std::size_t from, std::size_t gate, std::size_t o, double scale = 1) const {
    const std::size_t channel = (d * gates + gate) * hidden + o, all = gates * hidden;
    double sum = 0, own = 0;
    for (std::size_t n = 0; n < inputs; ++n) sum += x[from + n] * double{s.weights.row(channel)[n]};
    for (std::size_t n = 0; n < hidden; ++n) own += state[n] * double{s.recurrent.row(channel)[n]};
    if (!s.bias.empty()) sum += double{s.bias[2 * d * all + gate * hidden + o]}, own += double{s.bias[(2 * d + 1) * all + gate * hidden + o]};
    return sum + scale * own;
  }

  void step(const Reals& x, std::size_t from, Reals& h, Reals& c) const {
    const Reals before = h;
    const double bound = s.bound > 0 ? double{s.bound} : 1e30;
    const auto clipped = [&](double a) { return std::clamp(a, -bound, bound); };
    const auto hole = [&](std::size_t n, std::size_t o) { return s.peepholes.empty() ? 0.0 : double{s.peepholes[(d * 3 + n) * hidden + o]}; };
    Reals reset(hidden), gated(hidden);
    for (std::size_t o = 0; s.cell == Cell::gru && o < hidden; ++o) {
      reset[o] = sigmoid(clipped(gate(x, before, from, 1, o)));
      gated[o] = reset[o] * before[o];
    }
    for (std::size_t o = 0; o < hidden; ++o) {
      if (s.cell == Cell::rnn) {
        h[o] = std::tanh(clipped(gate(x, before, from, 0, o)));
      } else if (s.cell == Cell::gru) {
        const double z = sigmoid(clipped(gate(x, before, from, 0, o)));
        const double n = std::tanh(clipped(s.reset_after ? gate(x, before, from, 2, o, reset[o]) : gate(x, gated, from, 2, o)));
        h[o] = (1 - z) * n + z * before[o];
      } else {
        const double i = sigmoid(clipped(gate(x, before, from, 0, o) + hole(0, o) * c[o]));
        const double f = s.coupled ? 1 - i : sigmoid(clipped(gate(x, before, from, 2, o) + hole(2, o) * c[o]));
        c[o] = f * c[o] + i * std::tanh(clipped(gate(x, before, from, 3, o)));
        h[o] = sigmoid(clipped(gate(x, before, from, 1, o) + hole(1, o) * c[o])) * std::tanh(c[o]);
      }
    }
  }
};

TEST(recurrent_layers) {
  Random random(44);
  const auto size = [&](int most) { return static_cast<std::size_t>(draw(random, 1, most)); };
  const auto numbers = [&](std::size_t count) {
    Floats out(count);
    for (float& one : out) one = static_cast<float>(draw(random, -99, 99)) / 150;
    return out;
  };
  for (int repeat = 0; repeat < 36; ++repeat) {
    const auto cell = static_cast<Cell>(repeat % 3);
    const auto direction = static_cast<Direction>(repeat / 3 % 3);
    const std::size_t length = size(6), batch = size(3), inputs = size(20), hidden = size(20), gates = cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1;
    const std::size_t directions = direction == Direction::bidirectional ? 2 : 1, all = directions * gates * hidden, states = directions * batch * hidden;
    const bool lengths = draw(random, 0, 1) == 1, state = draw(random, 0, 1) == 1, cells = state && cell == Cell::lstm;
    const Floats weights = numbers(all * inputs), recurrent = numbers(all * hidden), bias = numbers(draw(random, 0, 1) ? 2 * all : 0),
                 peepholes = numbers(cell == Cell::lstm && draw(random, 0, 1) ? directions * 3 * hidden : 0);
    const steps::Recurrent s{cell, direction, length, batch, {weights.data(), all, inputs}, {recurrent.data(), all, hidden}, bias, peepholes,
                             cell == Cell::rnn ? Function::tanh : Function::sigmoid, Function::tanh, Function::tanh,
                             draw(random, 0, 2) == 0 ? 0.75f : 0.0f, cell == Cell::lstm && draw(random, 0, 2) == 0, draw(random, 0, 1) == 1,
                             lengths, state, cells};
    const std::size_t own = length * batch * inputs, first = own + batch, second = first + states;
    check_case(random, {"recurrent " + std::to_string(repeat), second + states,
                        [&](Builder& b) {
                          Sources x{part(b, 0, 0, own)};
                          if (lengths) x.push_back(part(b, 0, own, batch));
                          if (state) x.push_back(part(b, 0, first, states));
                          if (cells) x.push_back(part(b, 0, second, states));
                          return b.add(x, s);
                        },
                        [&](const Reals& x) {
                          Reals y(length * states), last, last_cells;
                          for (std::size_t d = 0; d < directions; ++d) {
                            for (std::size_t n = 0; n < batch; ++n) {
                              const Loop loop{s, inputs, hidden, gates, d};
                              Reals h(hidden, 0.0), c(hidden, 0.0);
                              for (std::size_t o = 0; o < hidden; ++o) {
                                if (state) h[o] = x[first + (d * batch + n) * hidden + o];
                                if (cells) c[o] = x[second + (d * batch + n) * hidden + o];
                              }
                              const auto most = static_cast<double>(length);
                              const auto steps = static_cast<std::size_t>(lengths ? std::clamp(x[own + n], 0.0, most) : most);
                              const bool backwards = direction == Direction::reverse || d == 1;
                              for (std::size_t t = 0; t < steps; ++t) {
                                const std::size_t at = backwards ? steps - 1 - t : t;
                                loop.step(x, (at * batch + n) * inputs, h, c);
                                for (std::size_t o = 0; o < hidden; ++o) y[at * states + (d * batch + n) * hidden + o] = h[o];
                              }
                              last.insert(last.end(), h.begin(), h.end()), last_cells.insert(last_cells.end(), c.begin(), c.end());
                            }
                          }
                          y.insert(y.end(), last.begin(), last.end());
                          if (cell == Cell::lstm) y.insert(y.end(), last_cells.begin(), last_cells.end());
                          return y;
                        }});
  }
}

// What a plan of a stranger could say.
TEST(float_steps_that_do_not_fit_are_refused) {
  const auto refused = [](const steps::Any& step, const Sources& x = {0}) {
    Builder builder({12}, "");
    try {
      builder.add(x, step);
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  const std::size_t huge = std::size_t{1} << 63;
  const Floats none, two{1, 2};
  const std::vector<std::uint32_t> outside{12}, zero{0};
  CHECK(!refused(steps::Reduce{3, 4, 1, Reduction::sum}), "the good one");
  CHECK(refused(steps::Reduce{3, 5, 1, Reduction::sum}), "view");
  CHECK(refused(steps::Reduce{huge, 2, 12, Reduction::sum}), "wrapped view");
  CHECK(refused(steps::Reduce{0, 0, 0, Reduction::sum}), "no view");
  CHECK(refused(steps::SortExtremes{1, 12, 1, 13, true}), "more than there are");
  CHECK(refused(steps::SortExtremes{1, 12, 1, huge, true}), "many more");
  CHECK(refused(steps::Resample{1, 12, 1, {outside.data(), 1, 1}, {two.data(), 1, 1}, 1, 0, 0}), "a place outside");
  CHECK(refused(steps::Resample{1, 12, 1, {zero.data(), 1, 1}, {two.data(), 2, 1}, 1, 0, 0}), "another number of weights");
  CHECK(refused(steps::Constant{none}, {}), "nothing");
  CHECK(refused(steps::Constant{two}, {0}), "a constant that reads");
  CHECK(refused(steps::Select{}, {0, 0}), "two of three");
  CHECK(refused(steps::TakeRows{1, 12, 1, none}, {0}), "nothing to take from");
  CHECK(refused(steps::TakeRows{1, 3, 1, two}, {0}), "a table of another size");
  CHECK(refused(steps::TakeRows{1, 1, huge, two}, {0}), "wrapped rows");
  const std::vector<std::uint32_t> twelve(12), three{3}, four{4}, none_at_all;
  CHECK(!refused(steps::TakeElements{twelve, three, four, 4}, {0, 0}), "good runs");
  CHECK(refused(steps::TakeElements{twelve, four, four, 1}, {0, 0}), "runs that leave the value");
  CHECK(refused(steps::TakeElements{twelve, three, four, 5}, {0, 0}), "runs that are too long");
  CHECK(refused(steps::TakeElements{outside, three, four, 1}, {0, 0}), "a run that begins outside");
  CHECK(refused(steps::TakeElements{zero, three, four, 1}, {0, 0}), "another number of numbers");
  CHECK(refused(steps::TakeElements{twelve, three, none_at_all, 1}, {0, 0}), "no stride");
  CHECK(refused(steps::TakeElements{twelve, three, four, huge}, {0, 0}), "huge runs");
  CHECK(refused(steps::PutElements{twelve, three, four, 4, Writing::add}, {0, 0, 0}), "another number of updates");
  CHECK(!refused(steps::PutElements{twelve, three, four, 1, Writing::add}, {0, 0, 0}), "good updates");
  CHECK(refused(steps::MatrixProduct{1, 3, 4, 4, false}, {0, 0}), "another size");
  CHECK(refused(steps::MatrixProduct{huge, 2, 6, 2, false}, {0, 0}), "wrapped batches");
  CHECK(refused(steps::MatrixProduct{1, 0, 4, 0, false}, {0, 0}), "no rows");
  const Floats weights(64), large(2);
  const steps::Recurrent good{Cell::gru, Direction::forward, 3, 1, {weights.data(), 6, 4}, {weights.data(), 6, 2}, {}, {}, Function::sigmoid,
                              Function::tanh, Function::tanh, 0, false, true, false, false, false};
  CHECK(!refused(good), "a good one");
  steps::Recurrent other = good;
  other.weights.rows = 5;
  CHECK(refused(other), "rows");
  other = good, other.bias = two;
  CHECK(refused(other), "bias");
  other = good, other.peepholes = std::span(weights).first(6);
  CHECK(refused(other), "peepholes of a GRU");
  other = good, other.has_state = true;
  CHECK(refused(other), "a state that is not read");
  other = good, other.length = huge;
  CHECK(refused(other), "length");
  other = good, other.recurrent = {weights.data(), 0, 0};
  CHECK(refused(other), "no state");
}

}  // namespace
}  // namespace lowbit::testing
