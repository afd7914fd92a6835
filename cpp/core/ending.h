// How sums become what any encoding holds: planes, bytes, 16-bit words or floats. Kernels have endings of their own for what
// most layers end in (see Epilogue); this is what every other pair of encodings needs, and all that layers of words end in.
// Declarations only: this header is compiled with every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lowbit {

// What a result is stored as.
enum class Form : std::uint8_t { planes, bytes, words, reals };
inline constexpr char kForms[] = "planes | bytes | words | reals";

enum class Rule : std::uint8_t {
  ranks,       // table[#{sum > threshold}]
  shift_up,    // floor(sum 2^-shift + 1/2), in integers
  shift_down,  // floor(sum 2^-shift)
  round_even,  // rint((scale sum + bias) / step), in float64
  round_up,    // floor((scale sum + bias) / step + 1/2)
  round_down,  // floor((scale sum + bias) / step)
  real,        // float32(scale sum + bias)
};
inline constexpr char kRules[] = "ranks | shift_up | shift_down | round_even | round_up | round_down | real";

// Arrays by channel are padded to whole groups. Rules that shift or round give whole levels: they clip to [low, high], and
// take `base` off, the lowest level, for bytes.
struct Ending {
  Rule rule;
  Form form;
  std::size_t channels;
  unsigned bits;                        // planes: how many
  std::size_t steps;                    // ranks: thresholds of a channel
  const std::int32_t* thresholds;       // [groups][steps][16], rising
  const std::int64_t* wide_thresholds;  // the same, for sums of 64 bits
  const std::uint16_t* table;           // [steps + 1]: code, byte or word
  int shift;                            // to the left where it is negative
  std::int32_t low, high, base;
  const double* scale;  // [groups * 16]
  const double* bias;   // [groups * 16], or null: nothing is added
  double step;
};

}  // namespace lowbit
