// Layers of bytes over a level's own sum_tile, for all levels of 64-bit ARM. Included inside an anonymous namespace, behind
// finish.inl, by files that have said
//   kMostRows                                                                          a power of two
//   template <std::size_t kRows> void sum_tile(layer, task, spots, group, Group* sums)     kRows: kMostRows, half of it, … 1

template <std::size_t kRows>
void byte_tile(const ByteLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  Group sums[kRows];
  sum_tile<kRows>(layer, task, spots, group, sums);
  for (std::size_t r = 0; r < kRows; ++r) sums[r] = sums[r] + constants(*task.epilogue, spots[r].sum, group);
  finish(*task.epilogue, sums, {group, kRows, spots, task.y_plane});
}

// All rows from `row` on, so many at a time; what is left of them by half as many, … by one.
template <std::size_t kRows>
void sweep_bytes(const ByteLayer& layer, const Task& task, const Rows& rows, std::size_t row, std::size_t group) {
  row = visit_rows<kRows>(task, rows, row, [&]<std::size_t>(const Task& all, const Spot* spots) {
    byte_tile<kRows>(layer, all, spots, group);
  });
  if constexpr (kRows > 1) sweep_bytes<kRows / 2>(layer, task, rows, row, group);
}

}  // namespace

void byte_fully_connected(const ByteLayer& layer, const Rows& rows, Groups groups) {
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.quads)};
  const Task task{&whole, 1, &layer.epilogue, rows.x_plane, rows.y_plane};
  for (std::size_t group = groups.begin; group < groups.end; ++group) sweep_bytes<kMostRows>(layer, task, rows, 0, group);
}

void byte_convolution(const ByteLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; ++group) {
    visit_regions<kMostRows>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      byte_tile<kSpots>(layer, task, spots, group);
    });
  }
}

namespace {
