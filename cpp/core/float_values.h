// Steps that choose among floats: choices by a condition, rows by a computed place.
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

}  // namespace lowbit
