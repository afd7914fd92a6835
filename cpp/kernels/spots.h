// Where outputs are computed, for all levels: rows of a fully connected layer, or output pixels of a convolution. What has no
// instructions of its own is there once.
#pragma once

#include "../core/kernel.h"

namespace lowbit {

struct Spot {
  const std::byte* x;
  std::byte* y;
  std::int32_t sum;
};

// What the spots of a tile have in common.
struct Task {
  const Run* runs;
  std::size_t run_count;
  const Epilogue* epilogue;
  std::size_t x_plane, y_plane;
  const Unit* units = nullptr;
  std::size_t unit_count = 0;
};

// Computes as many spots as it is made for, of whatever layer `what` is part of.
using Tile = void (*)(const void* what, const Task& task, const Spot* spots);

inline constexpr std::size_t kMostSpots = 8;

// Where the results of a tile go: one group of channels in several spots.
struct Target {
  std::size_t group, rows;
  const Spot* spots;
  std::size_t y_plane;
};

inline Spot spot_of_row(const Rows& rows, std::size_t row) {
  return {rows.x + row * rows.x_row, rows.y + row * rows.y_row, rows.sums == nullptr ? 0 : rows.sums[row]};
}

// Goes through one thread's share of a region, sample after sample.
class Walk final {
 public:
  Walk(const Region& region, const Window& window, const Rows& maps, const Part& part, std::size_t shift)
      : maps_(maps), sum_count_(window.sum_count), begin_(region.pixels + region.pixel_count * part.part / part.parts),
        end_(region.pixels + region.pixel_count * (part.part + 1) / part.parts), pixel_(begin_), x_(maps.x + shift),
        y_(maps.y), sums_(maps.sums == nullptr ? nullptr : maps.sums + region.first_sum + (begin_ - region.pixels)),
        left_(static_cast<std::size_t>(end_ - begin_) * maps.count) {}

  std::size_t left() const { return left_; }

  void next(std::size_t count, Spot* spots) {
    left_ -= count;
    if (static_cast<std::size_t>(end_ - pixel_) > count) {
      for (const Spot* end = spots + count; spots != end; ++spots) take(*spots);
    } else {
      for (const Spot* end = spots + count; spots != end; ++spots) {
        take(*spots);
        if (pixel_ == end_) next_sample();
      }
    }
  }

 private:
  void take(Spot& spot) {
    spot.x = x_ + pixel_->x;
    spot.y = y_ + pixel_->y;
    if (sums_ != nullptr) spot.sum = *sums_++;
    ++pixel_;
  }

  void next_sample() {
    pixel_ = begin_;
    x_ += maps_.x_row, y_ += maps_.y_row;
    if (sums_ != nullptr) sums_ += sum_count_ - static_cast<std::size_t>(end_ - begin_);
  }

  const Rows& maps_;
  std::size_t sum_count_;
  const Pixel *begin_, *end_, *pixel_;
  const std::byte* x_;
  std::byte* y_;
  const std::int32_t* sums_;
  std::size_t left_;
};

// Calls tile with all whole tiles of `each` rows from `row` on; returns the first row that is left.
std::size_t visit_all_rows(const Task& task, const Rows& rows, std::size_t row, std::size_t each, Tile tile, const void* what);

// One thread's share of all regions, for groups of channels that start at `group`. tiles[n] computes 2^n spots, n < most.
void visit_all_regions(const Window& window, const Rows& maps, const Part& part, std::size_t group, std::size_t most,
                       const Tile* tiles, const void* what);

#if defined(__x86_64__)
namespace avx512_vnni {
// Ends sums [spots][16] of one group, for levels that have what this one needs and more.
void finish_sums(const Epilogue& e, const std::int32_t* sums, const Target& to);
}  // namespace avx512_vnni
#endif

}  // namespace lowbit
