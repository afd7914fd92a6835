// Means of 16-bit words over windows of maps: in integers, rounded once.
#pragma once

#include <memory>

#include "dispatch.h"
#include "layer_ending.h"
#include "window.h"

namespace lowbit {

// clip(floor(sum 2^-shift / count [+ 1/2]), low, high) of each window of a map of words; see Rule. Taps outside the map count
// where `count_all`.
std::unique_ptr<Step> average_words(const KernelSet& kernels, std::size_t x, const Value& input, const Value& output,
                                    const WindowSpec& window, bool count_all, const EndingSpec& spec);

}  // namespace lowbit
