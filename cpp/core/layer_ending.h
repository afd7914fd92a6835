// The arrays behind an Ending, in the kernels' layout.
#pragma once

#include <span>

#include "ending.h"
#include "matrix.h"
#include "memory.h"

namespace lowbit {

// How a layer ends, as the caller says it; see Ending.
struct EndingSpec {
  Rule rule = Rule::real;
  Form form = Form::reals;
  Matrix<std::int64_t> thresholds{};         // ranks: [channels, steps]; of a convolution also [regions * channels, steps]
  std::span<const std::uint16_t> table{};    // ranks: [steps + 1]
  std::int32_t shift = 0;                    // those that shift
  std::span<const double> scale{}, bias{};   // those that round, and real: [channels]; bias also [regions * channels], or empty
  double step = 1;                           // those that round
  std::int32_t low = 0, high = 0, base = 0;  // those that shift or round

  // The least and the largest integer that it leaves.
  std::int32_t least() const;
  std::int32_t most() const;
  // Throws where these do not fit the form; `bits` are those of planes.
  void check_range(const char* where, unsigned bits) const;
};

class LayerEnding final {
 public:
  // wide: the sums have 64 bits.
  LayerEnding(const char* where, std::size_t channels, const EndingSpec& spec, bool wide);

  // Points into this object.
  Ending view() const;

 private:
  void set_thresholds(const char* where, const EndingSpec& spec, bool wide);
  void set_scales(const char* where, const EndingSpec& spec);
  void take_step_out();

  Ending ending_{};
  Aligned<std::int32_t> thresholds_;
  Aligned<std::int64_t> wide_thresholds_;
  std::vector<std::uint16_t> table_;
  Aligned<double> scale_, bias_;
};

}  // namespace lowbit
