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

// Computes as many spots as it is made for, of whatever layer `what` is part of.
using Tile = void (*)(const void* what, const Task& task, const Spot* spots);

template <std::size_t kSpots, class Visit>
void call_visit(const void* visit, const Task& task, const Spot* spots) {
  static_cast<const Visit*>(visit)->template operator()<kSpots>(task, spots);
}

constexpr std::size_t kMostSpots = 8;

template <std::size_t kRows>
inline void spots_of_rows(const Rows& rows, std::size_t row, Spot* spots) {
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kRows; ++r) {
    spots[r] = {rows.x + (row + r) * rows.x_row, rows.y + (row + r) * rows.y_row,
                rows.sums == nullptr ? 0 : rows.sums[row + r]};
  }
}

[[gnu::noinline, maybe_unused]] std::size_t visit_all_rows(const Task& task, const Rows& rows, std::size_t row, std::size_t each, Tile tile,
                                             const void* what) {
  Spot spots[kMostSpots];
  for (; row + each <= rows.count; row += each) {
    for (std::size_t r = 0; r < each; ++r) spots_of_rows<1>(rows, row + r, spots + r);
    tile(what, task, spots);
  }
  return row;
}

// Calls visit.operator()<kRows>(task, spots) with all whole tiles of rows from `row` on; returns the first row that is left.
template <std::size_t kRows, class Visit>
inline std::size_t visit_rows(const Task& task, const Rows& rows, std::size_t row, const Visit& visit) {
  return visit_all_rows(task, rows, row, kRows, call_visit<kRows, Visit>, &visit);
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

// tiles[n] computes 2^n spots.
[[gnu::noinline, maybe_unused]] void visit_all_regions(const Window& window, const Rows& maps, const Part& part, std::size_t group, std::size_t most,
                                         const Tile* tiles, const void* what) {
  const std::size_t shift = window.shift == nullptr ? 0 : window.shift[group];
  for (const Region* region = window.regions; region != window.regions + window.region_count; ++region) {
    const Task task{region->runs,   region->run_count, &region->epilogue, maps.x_plane, maps.y_plane,
                    region->units, region->unit_count};
    Walk walk(*region, window, maps, part, shift);
    Spot spots[kMostSpots] = {};
    for (std::size_t n = most; n-- > 0;) {
      for (const std::size_t each = std::size_t{1} << n; walk.left() >= each;) {
        walk.next(each, spots);
        tiles[n](what, task, spots);
      }
    }
  }
}

// All of one thread's tiles for one or more groups of channels that start at `group`: calls visit.operator()<n>(task, spots) with tiles
// of kMost spots, then of half as many, … then of one.
template <std::size_t kMost, class Visit>
inline void visit_regions(const Window& window, const Rows& maps, const Part& part, std::size_t group, const Visit& visit) {
  static_assert(kMost <= kMostSpots);
  constexpr std::size_t kKinds = kMost >= 8 ? 4 : kMost >= 4 ? 3 : kMost;
  const Tile tiles[] = {call_visit<1, Visit>, call_visit<kMost >= 2 ? 2 : 1, Visit>, call_visit<kMost >= 4 ? 4 : 1, Visit>,
                        call_visit<kMost >= 8 ? 8 : 1, Visit>};
  visit_all_regions(window, maps, part, group, kKinds, tiles, &visit);
}
