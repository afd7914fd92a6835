#include "window.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "error.h"

namespace lowbit {
namespace {

// From here on a run is worth a loop of its own.
constexpr std::uint32_t kLongRun = 16;

// By a heap: a tenth of std::stable_sort's code. `before` has to tell any two apart.
template <class T, class Before>
void sort(std::vector<T>& all, const Before& before) {
  std::make_heap(all.begin(), all.end(), before);
  std::sort_heap(all.begin(), all.end(), before);
}

}  // namespace

Axis::Axis(const char* where, std::size_t extent, const AxisSpec& spec) : spec_(spec) {
  constexpr std::size_t kMost = std::size_t{1} << 20;
  require(spec.kernel >= 1 && spec.stride >= 1 && spec.dilation >= 1 &&
              std::max({spec.kernel, spec.stride, spec.dilation, spec.before, spec.after, extent}) < kMost,
          where, "a window with positive numbers below 2^20", "others");
  const std::size_t reach = spec.dilation * (spec.kernel - 1) + 1, padded = extent + spec.before + spec.after;
  require(reach <= padded, where, {"a window within the padded map of ", padded}, reach);
  std::map<std::pair<std::size_t, std::size_t>, std::size_t> known;
  for (std::size_t start = 0; start + reach <= padded; start += spec.stride) {
    const std::size_t first = taps_below(start, spec.before), end = taps_below(start, extent + spec.before);
    const Taps taps{end > first ? first : 0, end - first};
    const auto [at, is_new] = known.try_emplace({taps.first, taps.count}, classes_.size());
    class_of_.push_back(at->second);
    if (is_new) classes_.push_back(taps);
  }
}

// How many taps of a window lie before a place of the padded map.
std::size_t Axis::taps_below(std::size_t start, std::size_t place) const {
  return place <= start ? 0 : std::min(spec_.kernel, (place - start + spec_.dilation - 1) / spec_.dilation);
}

std::size_t Axis::all_taps() const {
  std::size_t taps = 0;
  for (const Taps& one : classes_) taps += one.count;
  return taps;
}

std::size_t Axis::position(std::size_t output) const {
  const Taps& taps = classes_[class_of_[output]];
  return taps.count == 0 ? 0 : output * spec_.stride + taps.first * spec_.dilation - spec_.before;
}

WindowPlan::WindowPlan(const char* where, const Value& input, const WindowSpec& spec)
    : input_width_(input.width), input_pixel_(input.pixel), rows_(where, input.height, spec.rows),
      columns_(where, input.width, spec.columns) {
  require(input.pixel != 0, where, "a map", "a value without height and width");
  for (const Taps& row : rows_.classes()) {
    for (const Taps& column : columns_.classes()) {
      std::vector<std::uint32_t>& offsets = offsets_.emplace_back();
      for (std::size_t i = 0; i < row.count; ++i) {
        for (std::size_t j = 0; j < column.count; ++j) {
          const std::size_t offset = i * rows_.dilation() * input.width + j * columns_.dilation();
          offsets.push_back(static_cast<std::uint32_t>(offset));
        }
      }
    }
  }
  pixels_.resize(offsets_.size());
  for (std::size_t r = 0; r < pixels_.size(); ++r) pixels_[r].reserve(outputs(r));
  for (std::size_t y = 0; y < height(); ++y) {
    for (std::size_t x = 0; x < width(); ++x) {
      const std::size_t region = rows_.class_of(y) * columns_.classes().size() + columns_.class_of(x);
      const std::size_t first = offsets_[region].empty() ? 0 : rows_.position(y) * input.width + columns_.position(x);
      pixels_[region].push_back({static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(y * width() + x)});
    }
  }
}

std::size_t WindowPlan::outputs(std::size_t region) const {
  const std::size_t columns = columns_.classes().size();
  return rows_.outputs_of(region / columns) * columns_.outputs_of(region % columns);
}

std::size_t WindowPlan::all_taps() const {
  std::size_t taps = 0;
  for (std::size_t r = 0; r < region_count(); ++r) taps += outputs(r) * offsets_[r].size();
  return taps;
}

std::vector<std::size_t> WindowPlan::valid(std::size_t region) const {
  const Taps& row = rows_.classes()[region / columns_.classes().size()];
  const Taps& column = columns_.classes()[region % columns_.classes().size()];
  std::vector<std::size_t> taps;
  for (std::size_t i = 0; i < row.count; ++i) {
    for (std::size_t j = 0; j < column.count; ++j) {
      taps.push_back((row.first + i) * columns_.kernel() + column.first + j);
    }
  }
  return taps;
}

void WindowPlan::lay(std::size_t units, bool whole, std::size_t y_pixel) {
  const bool merge = whole && columns_.dilation() == 1;
  for (const Taps& row : rows_.classes()) {
    for (const Taps& column : columns_.classes()) {
      std::vector<Run>& runs = runs_.emplace_back();
      const std::size_t steps = column.count == 0 ? 0 : merge ? 1 : column.count, length = merge ? column.count : 1;
      for (std::size_t i = 0; i < row.count; ++i) {
        for (std::size_t j = 0; j < steps; ++j) {
          const std::size_t at = i * rows_.dilation() * input_width_ + j * columns_.dilation();
          const std::size_t tap = (row.first + i) * columns_.kernel() + column.first + j;
          runs.push_back({static_cast<std::uint32_t>(at * input_pixel_), static_cast<std::uint32_t>(tap * units),
                          static_cast<std::uint32_t>(length * units)});
        }
      }
    }
  }
  for (const std::vector<Run>& runs : runs_) {
    std::vector<Unit>& all = units_.emplace_back();
    for (const Run& run : runs) {
      for (std::uint32_t n = 0; run.length < kLongRun && n < run.length; ++n) all.push_back({run.x + 4 * n, run.weight + n});
    }
  }
  for (const std::vector<Pixel>& pixels : pixels_) {
    std::vector<Pixel>& places = places_.emplace_back();
    places.reserve(pixels.size());
    for (const Pixel& pixel : pixels) {
      places.push_back({static_cast<std::uint32_t>(pixel.x * input_pixel_), static_cast<std::uint32_t>(pixel.y * y_pixel)});
    }
  }
}

std::vector<Region> WindowPlan::regions(const std::vector<Finish>& endings) const {
  std::vector<Region> regions;
  std::size_t first_sum = 0;
  for (std::size_t r = 0; r < region_count(); ++r) {
    const Epilogue end = endings.empty() ? Epilogue{} : endings[endings.size() == 1 ? 0 : r].view();
    const Unit* units = units_[r].empty() ? nullptr : units_[r].data();
    regions.push_back({runs_[r].data(), runs_[r].size(), units, units_[r].size(), places_[r].data(), places_[r].size(), first_sum, end});
    first_sum += places_[r].size();
  }
  // Weights reach the first cache where they meet the most pixels; small regions then find them there.
  sort(regions, [](const Region& a, const Region& b) {
    return std::tuple(b.pixel_count, b.run_count, a.first_sum) < std::tuple(a.pixel_count, a.run_count, b.first_sum);
  });
  return regions;
}

std::vector<Strips> WindowPlan::strips(std::size_t units, std::size_t each, std::size_t y_pixel,
                                       const std::vector<Finish>& endings) {
  const std::size_t outputs = height() * width(), region_columns = columns_.classes().size();
  for (std::size_t first = 0; first < outputs; first += kStrip) {
    StripPlan one;
    for (std::size_t p = first; p < std::min(first + kStrip, outputs); ++p) {
      one.regions.push_back(rows_.class_of(p / width()) * region_columns + columns_.class_of(p % width()));
      one.x.push_back((rows_.start(p / width()) * static_cast<std::ptrdiff_t>(input_width_) + columns_.start(p % width())) *
                      static_cast<std::ptrdiff_t>(input_pixel_));
    }
    const std::ptrdiff_t start = one.x[0];
    for (std::ptrdiff_t& x : one.x) x -= start;
    auto alike = std::find_if(strips_.begin(), strips_.end(), [&](const std::unique_ptr<StripPlan>& other) {
      return other->regions == one.regions && other->x == one.x;
    });
    if (alike == strips_.end()) alike = strips_.insert(alike, std::make_unique<StripPlan>(std::move(one)));
    (*alike)->starts.push_back(start);
    (*alike)->y.push_back(static_cast<std::uint32_t>(first * y_pixel));
  }
  // Weights reach the first cache where they meet the most pixels; other strips then find them there.
  sort(strips_, [](const auto& a, const auto& b) { return std::pair(b->y.size(), a->y[0]) < std::pair(a->y.size(), b->y[0]); });
  std::vector<Strips> all;
  for (const std::unique_ptr<StripPlan>& plan : strips_) all.push_back(lay_strips(*plan, units, each, y_pixel, endings));
  return all;
}

Strips WindowPlan::lay_strips(StripPlan& plan, std::size_t units, std::size_t each, std::size_t y_pixel,
                              const std::vector<Finish>& endings) const {
  plan.units.resize(std::size_t{1} << kStrip);
  std::vector<std::size_t> readers(taps());
  for (std::size_t r = 0; r < plan.regions.size(); ++r) {
    for (const std::size_t tap : valid(plan.regions[r])) readers[tap] |= std::size_t{1} << r;
  }
  for (std::size_t tap = 0; tap < taps(); ++tap) {
    const std::size_t row = tap / columns_.kernel() * rows_.dilation(), column = tap % columns_.kernel() * columns_.dilation();
    const std::size_t x = (row * input_width_ + column) * input_pixel_;
    for (std::size_t left = readers[tap]; left != 0;) {
      const std::size_t some = *std::find_if(std::begin(kReaders), std::end(kReaders), [&](std::size_t one) { return (one & ~left) == 0; });
      for (std::size_t n = 0; n < units; n += each) {
        plan.units[some].push_back({static_cast<std::uint32_t>(x + 4 * n), static_cast<std::uint32_t>(tap * units + n)});
      }
      left &= ~some;
    }
  }
  for (std::size_t pixels = plan.units.size(); pixels-- > 1;) {
    const std::vector<Unit>& list = plan.units[pixels];
    if (!list.empty()) plan.reads.push_back({static_cast<unsigned>(pixels), list.data(), list.size()});
  }
  Strips strips{plan.reads.data(), plan.reads.size(), plan.x.size(), y_pixel, {}, {}, plan.starts.data(), plan.y.data(), plan.y.size()};
  for (std::size_t r = 0; r < plan.x.size(); ++r) {
    strips.x[r] = plan.x[r];
    strips.thresholds[r] = endings[endings.size() == 1 ? 0 : plan.regions[r]].view().thresholds;
  }
  return strips;
}

}  // namespace lowbit
