// Endings that round, as straight lines of float32: floor(rate n + (rest n + first)), proven at load to be what the ending gives, for
// every sum n. A kernel then takes three instructions for what takes a dozen in float64.
#pragma once

#include "kernel.h"
#include "memory.h"

namespace lowbit {

// Sets the lines of an ending that has them for all channels; returns the array behind them, empty where it has none. `reach`: no
// sum is further from zero.
Aligned<LineGroup> set_lines(Epilogue& epilogue, std::int64_t reach);

// The least n >= 0, n <= most, with low <= a n mod modulus <= high; `most` + 1 if there is none. 0 <= low <= high < modulus < 2^62.
std::uint64_t first_within(std::uint64_t a, std::uint64_t modulus, std::uint64_t low, std::uint64_t high, std::uint64_t most);

}  // namespace lowbit
