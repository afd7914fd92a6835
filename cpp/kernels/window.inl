// Where outputs are computed, for all levels: rows of a fully connected layer, or output pixels of a convolution.
// Included inside an anonymous namespace, so that each file keeps its own copy for its own instruction set.

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

template <std::size_t kRows>
inline void spots_of_rows(const Rows& rows, std::size_t row, Spot* spots) {
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kRows; ++r) {
    spots[r] = {rows.x + (row + r) * rows.x_row, rows.y + (row + r) * rows.y_row,
                rows.sums == nullptr ? 0 : rows.sums[row + r]};
  }
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

  template <std::size_t kRows>
  void next(Spot* spots) {
    if (static_cast<std::size_t>(end_ - pixel_) > kRows) {
#pragma GCC unroll 16
      for (std::size_t r = 0; r < kRows; ++r) take(spots[r]);
    } else {
      for (std::size_t r = 0; r < kRows; ++r) {
        take(spots[r]);
        if (pixel_ == end_) next_sample();
      }
    }
    left_ -= kRows;
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

// Calls visit.operator()<n>(task, spots) with tiles of kMost spots, then of half as many, … then of one.
template <std::size_t kMost, class Visit>
inline void visit_tiles(const Task& task, Walk& walk, const Visit& visit) {
  Spot spots[kMost] = {};
  while (walk.left() >= kMost) {
    walk.next<kMost>(spots);
    visit.template operator()<kMost>(task, spots);
  }
  if constexpr (kMost > 1) visit_tiles<kMost / 2>(task, walk, visit);
}

// All of one thread's tiles for one or more groups of channels that start at `group`.
template <std::size_t kMost, class Visit>
inline void visit_regions(const Window& window, const Rows& maps, const Part& part, std::size_t group,
                          const Visit& visit) {
  const std::size_t shift = window.shift == nullptr ? 0 : window.shift[group];
  for (const Region* region = window.regions; region != window.regions + window.region_count; ++region) {
    Walk walk(*region, window, maps, part, shift);
    visit_tiles<kMost>({region->runs, region->run_count, &region->epilogue, maps.x_plane, maps.y_plane, region->units,
                        region->unit_count},
                       walk, visit);
  }
}
