// Ranks of sums that are narrowed to words, so that a vector compares twice as many; see NarrowRanks.
#pragma once

#include "kernel.h"
#include "memory.h"

namespace lowbit {

// Sets the narrow ranks of an ending in bytes of up to 4 bits; returns the array behind them, empty where it is another. `reach`: no
// sum is further from zero.
Aligned<NarrowRanks> set_narrow_ranks(Epilogue& epilogue, std::int64_t reach);

}  // namespace lowbit
