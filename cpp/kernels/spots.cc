#include "spots.h"

namespace lowbit {

std::size_t visit_all_rows(const Task& task, const Rows& rows, std::size_t row, std::size_t each, Tile tile,
                           const void* what) {
  Spot spots[kMostSpots];
  for (; row + each <= rows.count; row += each) {
    for (std::size_t r = 0; r < each; ++r) spots[r] = spot_of_row(rows, row + r);
    tile(what, task, spots);
  }
  return row;
}

void visit_all_regions(const Window& window, const Rows& maps, const Part& part, std::size_t group, std::size_t most,
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

}  // namespace lowbit
