// The geometry of a sliding window with true zero padding: taps outside the map are skipped.
//   outputs = floor((extent + before + after - dilation (kernel - 1) - 1) / stride) + 1
//   tap i of output y reads y stride + i dilation - before, where that is in [0, extent)
// Outputs with the same taps form a region; regions are numbered rows first, in the order in which they appear.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "fields.h"
#include "finish.h"
#include "program.h"

namespace lowbit {

struct AxisSpec {
  std::size_t kernel, stride = 1, before = 0, after = 0, dilation = 1;
  LOWBIT_FIELDS(Axis, kernel, stride, before, after, dilation)
};

struct WindowSpec {
  AxisSpec rows, columns;
  std::size_t group = 1;
};

// Taps [first, first + count) of one axis.
struct Taps {
  std::size_t first, count;
  bool operator==(const Taps&) const = default;
};

class Axis final {
 public:
  Axis(const char* where, std::size_t extent, const AxisSpec& spec);

  std::size_t outputs() const { return class_of_.size(); }
  std::size_t class_of(std::size_t output) const { return class_of_[output]; }
  std::size_t outputs_of(std::size_t one) const { return static_cast<std::size_t>(std::count(class_of_.begin(), class_of_.end(), one)); }
  const std::vector<Taps>& classes() const { return classes_; }
  std::size_t all_taps() const;  // of all classes together
  // Where the first tap of an output is; of an output without taps, 0.
  std::size_t position(std::size_t output) const;
  // Where its tap 0 is, which may be outside the map.
  std::ptrdiff_t start(std::size_t output) const {
    return static_cast<std::ptrdiff_t>(output * spec_.stride) - static_cast<std::ptrdiff_t>(spec_.before);
  }
  std::size_t dilation() const { return spec_.dilation; }
  std::size_t kernel() const { return spec_.kernel; }

 private:
  std::size_t taps_below(std::size_t start, std::size_t place) const;

  AxisSpec spec_;
  std::vector<std::size_t> class_of_;
  std::vector<Taps> classes_;
};

// The arrays behind Strips.
struct StripPlan {
  std::vector<std::size_t> regions;     // of its pixels
  std::vector<std::ptrdiff_t> x;
  std::vector<std::vector<Unit>> units;  // by the pixels that read them
  std::vector<Reads> reads;
  std::vector<std::ptrdiff_t> starts;
  std::vector<std::uint32_t> y;
};

class WindowPlan final {
 public:
  WindowPlan(const char* where, const Value& input, const WindowSpec& spec);

  std::size_t height() const { return rows_.outputs(); }
  std::size_t width() const { return columns_.outputs(); }
  std::size_t taps() const { return rows_.kernel() * columns_.kernel(); }  // valid or not
  std::size_t region_count() const { return offsets_.size(); }
  std::size_t taps(std::size_t region) const { return offsets_[region].size(); }

  // Taps of all outputs together.
  std::size_t all_taps() const;

  // The numbers of its valid taps among all of the kernel's.
  std::vector<std::size_t> valid(std::size_t region) const;

  // How many outputs a region has.
  std::size_t outputs(std::size_t region) const;

  // Lets go of what only each_pixel, each_output and sum_windows need, once it is laid.
  void forget_pixels() { pixels_.clear(), pixels_.shrink_to_fit(); }

  // Fills in runs of `units` of four bytes a tap; `whole` when they are all of a pixel. Output pixels have `y_pixel` bytes.
  void lay(std::size_t units, bool whole, std::size_t y_pixel);
  // The regions, each with its ending (one for all, or one each). Points into this object.
  std::vector<Region> regions(const std::vector<Finish>& endings) const;

  // The same outputs as strips, for a binary layer: an ending for every region. A tap is `units` words, read `each` at a time.
  std::vector<Strips> strips(std::size_t units, std::size_t each, std::size_t y_pixel, const std::vector<Finish>& endings);

  // Calls visit(taps: input pixels from the first one, the first one's input pixel, output pixel) for one of `parts`
  // shares of a region.
  template <class Visit>
  void each_pixel(std::size_t region, std::size_t part, std::size_t parts, const Visit& visit) const {
    const std::vector<Pixel>& pixels = pixels_[region];
    const std::size_t end = pixels.size() * (part + 1) / parts;
    for (std::size_t n = pixels.size() * part / parts; n < end; ++n) visit(offsets_[region], pixels[n].x, pixels[n].y);
  }

  // The same for all regions in turn, with the number of the output in this order.
  template <class Visit>
  void each_output(const Visit& visit) const {
    std::size_t sum = 0;
    for (std::size_t r = 0; r < region_count(); ++r) {
      for (const Pixel& pixel : pixels_[r]) visit(offsets_[r], pixel.x, pixel.y, sum++);
    }
  }

  // Of what every input pixel counts for, the sum over each output's valid taps, in the order of each_output.
  void sum_windows(const std::int32_t* pixels, std::int32_t* sums) const {
    each_output([&](const std::vector<std::uint32_t>& taps, std::size_t first, std::size_t, std::size_t sum) {
      sums[sum] = 0;
      for (const std::uint32_t tap : taps) sums[sum] += pixels[first + tap];
    });
  }

 private:
  Strips lay_strips(StripPlan& plan, std::size_t units, std::size_t each, std::size_t y_pixel,
                    const std::vector<Finish>& endings) const;

  std::size_t input_width_, input_pixel_;
  Axis rows_, columns_;
  std::vector<std::vector<std::uint32_t>> offsets_;  // by region: its taps, in input pixels from the first one
  std::vector<std::vector<Pixel>> pixels_;           // by region: in pixels of input and output
  std::vector<std::vector<Run>> runs_;
  std::vector<std::vector<Unit>> units_;
  std::vector<std::vector<Pixel>> places_;           // pixels_ in bytes
  std::vector<std::unique_ptr<StripPlan>> strips_;
};

}  // namespace lowbit
