// Movement of elements: any places give the same as taking them one by one, however they are found to be regular.
#include "../core/movement.h"

#include <numeric>

#include "layer_case.h"

namespace lowbit::testing {
namespace {

using Places = std::vector<std::uint32_t>;

// Places of an array of several axes, some turned round, left out, repeated or exchanged.
Places regular(Random& random, std::size_t& features) {
  const int axes = draw(random, 1, 5);
  std::vector<std::size_t> lengths, order(static_cast<std::size_t>(axes));
  for (int n = 0; n < axes; ++n) lengths.push_back(static_cast<std::size_t>(draw(random, 1, 7)));
  features = std::accumulate(lengths.begin(), lengths.end(), std::size_t{1}, std::multiplies<>());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  std::vector<std::ptrdiff_t> strides(lengths.size(), 1);
  for (std::size_t n = lengths.size() - 1; n-- > 0;) strides[n] = strides[n + 1] * static_cast<std::ptrdiff_t>(lengths[n + 1]);
  std::vector<std::ptrdiff_t> places{0};
  for (const std::size_t axis : order) {
    std::ptrdiff_t first = 0, step = strides[axis], count = static_cast<std::ptrdiff_t>(lengths[axis]);
    const int kind = draw(random, 0, 5);
    if (kind == 0) first = step * (count - 1), step = -step;
    if (kind == 1) count = (count + 1) / 2, step *= 2;
    if (kind == 2) count = draw(random, 1, 4), step = 0;
    std::vector<std::ptrdiff_t> next;
    for (const std::ptrdiff_t place : places) {
      for (std::ptrdiff_t n = 0; n < count; ++n) next.push_back(place + first + n * step);
    }
    places = std::move(next);
  }
  return {places.begin(), places.end()};
}

TEST(elements_are_taken_from_any_places) {
  Random random(3);
  std::size_t looped = 0, filled = 0;
  for (int round = 0; round < 400; ++round) {
    std::size_t features = 1;
    Places places = regular(random, features);
    const bool loops = !loops_of(places).empty();
    const int kind = draw(random, 0, 3);
    if (kind == 0) places[places.size() / 2] = kNowhere;
    if (kind == 1) places.insert(places.begin(), places.size(), kNowhere);
    if (kind == 2) std::shuffle(places.begin(), places.end(), random);
    const Value in = real_value(features), out = real_value(places.size());
    const std::size_t rows = pick(random, kRowCounts);
    const Guarded x(rows * in.row, Against::back), y(rows * out.row, Against::back);
    auto* from = reinterpret_cast<float*>(x.data());
    for (std::size_t n = 0; n < rows * features; ++n) from[n] = static_cast<float>(n + 1);
    const auto step = gather(0, in, out, places, -2.5f);
    run_step(*step, in, out, rows, x.data(), y.data());
    bool equal = true;
    for (std::size_t n = 0; n < rows * places.size(); ++n) {
      const std::uint32_t place = places[n % places.size()];
      const float wanted = place == kNowhere ? -2.5f : from[n / places.size() * features + place];
      equal = equal && reinterpret_cast<const float*>(y.data())[n] == wanted;
    }
    CHECK(equal, std::to_string(round));
    looped += loops, filled += kind < 2;
  }
  CHECK(looped == 400 && filled > 100, std::to_string(looped) + " " + std::to_string(filled));
}

TEST(places_that_only_begin_as_loops_are_none) {
  for (const Places& places : {Places{0, 1, 2, 3, 5, 4}, {0, 2, 1, 3, 5, 4}, {0, 1, 4}, {0, 1, 4, 5, 9, 8}}) {
    CHECK(loops_of(places).empty(), std::to_string(places.size()));
  }
  CHECK(loops_of(Places{4, 0, 5, 1}).size() == 2 && loops_of(Places{7}).size() == 1, "loops");
}

}  // namespace
}  // namespace lowbit::testing
