// Steps that choose among floats: choices by a condition, rows and elements by computed places.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "float_axes.h"

namespace lowbit {

// y where the condition is not 0, else z; each of the three may be repeated a whole number of times.
std::unique_ptr<Step> select(const std::vector<std::size_t>& x, const std::vector<Value>& inputs);

// [outer, axis, inner] and n places -> [outer, n, inner]: the elements at these places along the axis, negative ones from its end.
// With a table, that is what is taken from, and the places are all that is read. A place outside the axis is a fault of the
// samples: see Block.
std::unique_ptr<Step> take_rows(const std::vector<std::size_t>& x, const std::vector<Value>& inputs, const AxisView& view,
                                std::span<const float> table);

// What becomes of an element that another one is written to; NaN of either stays.
enum class Writing : std::uint8_t { replace, add, multiply, minimum, maximum };
inline constexpr char kWritings[] = "replace | add | multiply | minimum | maximum";

// Runs of `inner` elements; run p begins at first[p] + sum_k n[p][k] strides[k], where n[p][k] is a computed whole number
// below lengths[k], a negative one from the end. One outside is a fault of the samples.
struct Runs {
  std::span<const std::uint32_t> first, lengths, strides;
  std::size_t inner;

  // Throws where a run could leave a value of so many elements.
  void check(const char* where, const Value& within) const;
};

// Of the first value those at the places that the second one says: [runs, inner].
std::unique_ptr<Step> take_elements(const std::vector<std::size_t>& x, const std::vector<Value>& inputs, const Runs& runs);

// A copy of the first value, with runs of the third one written to the places that the second one says, in order.
std::unique_ptr<Step> put_elements(const std::vector<std::size_t>& x, const std::vector<Value>& inputs, const Runs& runs, Writing writing);

}  // namespace lowbit
