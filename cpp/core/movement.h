// What moves elements, repeats them or leaves them out: one step, whatever operator asks for it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "program.h"

namespace lowbit {

// The place of an element that is none of x, but the number to fill with.
inline constexpr std::uint32_t kNowhere = 0xffffffffu;

// Loops, the outermost first: element (i, j, ...) of the result is element first + i stride_i + j stride_j + ... of x.
struct Loop {
  std::size_t count;
  std::ptrdiff_t stride;
};

// Places as loops, or none where they are no such product, or one of many loops.
std::vector<Loop> loops_of(std::span<const std::uint32_t> places);

// Element n of the result is element places[n] of x, as both lie, or `fill`: floats, or bytes or words that are no map, which
// are never filled.
std::unique_ptr<Step> gather(std::size_t x, const Value& input, const Value& output, std::span<const std::uint32_t> places,
                             float fill);

}  // namespace lowbit
