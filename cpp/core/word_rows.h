// What steps on single words share: how elements lie side by side, and what a table of words has to cover.
#pragma once

#include <string>

#include "error.h"
#include "program.h"

namespace lowbit {

// Calls visit(x, y, count) with elements that lie side by side: whole samples, or pixels where maps have gaps.
template <class In, class Out, class Visit>
void each_row(const Block& block, std::size_t x, std::size_t y, const Visit& visit) {
  const Place in = block.place(x), out = block.place(y);
  const bool whole = in.value->dense() && out.value->dense();
  const std::size_t pixels = whole ? 1 : in.value->pixels(), count = in.value->features / pixels;
  for (std::size_t row = 0; row < block.rows; ++row) {
    for (std::size_t p = 0; p < pixels; ++p) {
      visit(reinterpret_cast<const In*>(in.at + row * in.value->row + p * in.value->pixel),
            reinterpret_cast<Out*>(out.at + row * out.value->row + p * out.value->pixel), count);
    }
  }
}

inline void require_covered(const char* where, const Value& input, std::int32_t least, std::size_t count) {
  const std::int32_t low = input.kind == Kind::words ? input.least() : 0;
  const std::int32_t high = input.kind == Kind::words ? input.most() : static_cast<std::int32_t>(input.top);
  require((input.kind == Kind::words || input.kind == Kind::bytes) && least <= low && high < least + static_cast<std::int64_t>(count),
          where, {"a table from ", low, " to ", high},
          {count, " entries from ", least, " on"});
}

}  // namespace lowbit
