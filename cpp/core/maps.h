// Steps that move or pool maps: between the caller's order and ours, windows of maxima and means, concatenation.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "window.h"

namespace lowbit {

// Floats, bytes or words in the order [channel][height][width] -> a map.
std::unique_ptr<Step> arrange(std::size_t x, const Value& input, const Value& output);

// A map -> the order [channel][height][width].
std::unique_ptr<Step> flatten(std::size_t x, const Value& input);

// The largest of each window. Planes: the code of the largest rank (`ranks` by code); bytes, words and floats: themselves, NaN
// before all else.
std::unique_ptr<Step> max_pool(std::size_t x, const Value& input, const Value& output, const WindowSpec& window,
                               std::span<const std::uint8_t> ranks);

// The mean of each window of floats, summed in float64; taps outside the map count where `count_all`.
std::unique_ptr<Step> average_pool(std::size_t x, const Value& input, const Value& output, const WindowSpec& window,
                                   bool count_all);

// x * scale[channel] + shift[channel], rounded twice.
std::unique_ptr<Step> scale_channels(std::size_t x, const Value& input, std::span<const float> scale,
                                     std::span<const float> shift);

// Maps of one size and kind side by side in their channels, or floats, bytes or words that are no maps; maps of planes have whole
// words of channels.
std::unique_ptr<Step> concatenate(const std::vector<std::size_t>& x, const std::vector<Value>& inputs,
                                  const Value& output);

}  // namespace lowbit
