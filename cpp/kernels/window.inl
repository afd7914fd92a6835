// Tiles of spots (spots.h), for all levels.
// Included inside an anonymous namespace, so that each file keeps its own copy for its own instruction set.

template <std::size_t kSpots, class Visit>
void call_visit(const void* visit, const Task& task, const Spot* spots) {
  static_cast<const Visit*>(visit)->template operator()<kSpots>(task, spots);
}

template <std::size_t kRows>
inline void spots_of_rows(const Rows& rows, std::size_t row, Spot* spots) {
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kRows; ++r) {
    spots[r] = spot_of_row(rows, row + r);
  }
}

// Calls visit.operator()<kRows>(task, spots) with all whole tiles of rows from `row` on; returns the first row that is left.
template <std::size_t kRows, class Visit>
inline std::size_t visit_rows(const Task& task, const Rows& rows, std::size_t row, const Visit& visit) {
  return visit_all_rows(task, rows, row, kRows, call_visit<kRows, Visit>, &visit);
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
