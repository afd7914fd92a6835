// Depthwise convolutions of bytes: every output channel sums its own channel of the window, so sixteen of them are the lanes of
// a group, and four pixels share their weights. One text over vectors.inl. Included inside an anonymous namespace, behind
// finish.inl.

// Adds the products of a group to its sums of some pixels.
template <std::size_t kRows, bool kWhole>
LOWBIT_INLINE void add_taps(const DepthwiseLayer& layer, const Task& task, const Spot* spots, std::size_t group, Group* sum) {
  const std::size_t left = task.epilogue->channels - group * kGroup;
  const std::int32_t* weights = layer.weights + group * layer.taps * kGroup;
  for (const Unit* unit = task.units; unit != task.units + task.unit_count; ++unit) {
    const Group weight = load_group(weights + unit->weight * kGroup);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      const std::byte* at = spots[r].x + unit->x;
      sum[r] = add_products(sum[r], group_of(kWhole ? read_as<Bytes>(at) : load_bytes(at, left)), weight);
    }
  }
}

template <std::size_t kRows, bool kWhole>
[[gnu::noinline]] void depthwise_tile(const DepthwiseLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  const Epilogue& e = *task.epilogue;
  Group sum[kRows];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) sum[r] = load_group(e.constant + group * kGroup);
  add_taps<kRows, kWhole>(layer, task, spots, group, sum);
  Group acc[kRows];  // another one, so that the sums stay in registers
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) acc[r] = sum[r];
  finish(e, acc, {group, kRows, spots, task.y_plane});
}

inline void depthwise(const DepthwiseLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; ++group) {
    const bool whole = (group + 1) * kGroup <= window.regions->epilogue.channels;
    visit_regions<4>(window, maps, part, group, [&]<std::size_t kRows>(const Task& task, const Spot* spots) {
      if (whole) return depthwise_tile<kRows, true>(layer, task, spots, group);
      depthwise_tile<kRows, false>(layer, task, spots, group);
    });
  }
}
