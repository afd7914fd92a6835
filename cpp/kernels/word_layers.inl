// Layers of 16-bit words, for all levels: tiles of spots times groups of channels. Included inside an anonymous namespace,
// behind window.inl and ending.inl, by files that have said
//   Sums, kParts                  a vector of int32 sums, and how many of them make a group of sixteen channels
//   Pair, spread(pair)            the same two words in every lane
//   dot(sum, pair, weights)       adds both products to each lane, modulo 2^32; weights: of the lanes, [lane][2]
//   load_sums(at), store_sums(at, sum)

inline std::int32_t pair_at(const std::byte* at) {
  std::int32_t pair;
  __builtin_memcpy(&pair, at, sizeof pair);
  return pair;
}

constexpr std::size_t kVectorLanes = kGroup / kParts;
constexpr std::size_t kPairWords = 2 * kGroup;  // of a group's weights for one pair of inputs

// Adds one pair of every spot times the weights of every group, which lie w_step apart.
template <std::size_t kRows, std::size_t kGroups>
inline void add_pair(const Spot* spots, std::size_t x, const std::int16_t* w, std::size_t w_step, Sums* sum) {
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kRows; ++r) {
    const Pair pair = spread(pair_at(spots[r].x + x));
#pragma GCC unroll 16
    for (std::size_t n = 0; n < kGroups * kParts; ++n) {
      dot(sum[r * kGroups * kParts + n], pair, w + n / kParts * w_step + n % kParts * 2 * kVectorLanes);
    }
  }
}

// Sums [spots][groups][16].
[[gnu::noinline]] void end_tile(const Task& task, const std::int32_t* sums, const Spot* spots, std::size_t rows, Groups groups) {
  const Ending& ending = *task.epilogue->ending;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t group = groups.begin; group < groups.end; ++group, sums += kGroup) {
      if (end_levels(ending, load_group(sums), group, spots[r].y)) continue;
      end_lanes(ending, sums, group, spots[r].y, task.y_plane);
    }
  }
}

// A tile whose sums fit int32: all of them live in registers. kChains: so many pairs in turn have sums of their own, where
// one spot and one group would wait for themselves.
template <std::size_t kRows, std::size_t kGroups, std::size_t kChains = 1>
[[gnu::noinline]] void word_tile(const WordLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  constexpr std::size_t kEach = kRows * kGroups * kParts;
  const std::size_t w_step = layer.pairs * kPairWords;
  const std::int16_t* weights = layer.weights + group * w_step;
  Sums sum[kChains * kEach];
#pragma GCC unroll 32
  for (std::size_t n = 0; n < kChains * kEach; ++n) {
    const std::size_t at = group * kGroup + n % (kGroups * kParts) * kVectorLanes;
    sum[n] = n < kEach ? load_sums(layer.constant + at) : Sums{};
  }
  if (task.units != nullptr) {
    for (const Unit* unit = task.units; unit != task.units + task.unit_count; ++unit) {
      add_pair<kRows, kGroups>(spots, unit->x, weights + unit->weight * kPairWords, w_step, sum);
    }
  } else {
    for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
      const std::int16_t* w = weights + run->weight * kPairWords;
      std::size_t k = 0;
      for (; k + kChains <= run->length; k += kChains) {
#pragma GCC unroll 16
        for (std::size_t c = 0; c < kChains; ++c) {
          add_pair<kRows, kGroups>(spots, run->x + 4 * (k + c), w + (k + c) * kPairWords, w_step, sum + c * kEach);
        }
      }
      for (; kChains > 1 && k < run->length; ++k) {
        add_pair<kRows, kGroups>(spots, run->x + 4 * k, w + k * kPairWords, w_step, sum);
      }
    }
  }
  alignas(64) std::int32_t lanes[kChains][kRows * kGroups * kGroup];
#pragma GCC unroll 32
  for (std::size_t n = 0; n < kChains * kEach; ++n) store_sums(lanes[n / kEach] + n % kEach * kVectorLanes, sum[n]);
  for (std::size_t c = 1; c < kChains; ++c) {
    for (std::size_t n = 0; n < kRows * kGroups * kGroup; ++n) lanes[0][n] += lanes[c][n];
  }
  end_tile(task, lanes[0], spots, kRows, {group, group + kGroups});
}

inline void add_wide(Sums sum, std::int64_t* total) {
  alignas(64) std::int32_t lanes[kVectorLanes];
  store_sums(lanes, sum);
  for (std::size_t n = 0; n < kVectorLanes; ++n) total[n] += lanes[n];
}

// Pairs [k, end) of a run; where two products may not fit together, each alone does.
template <class Word>
inline void add_chunk(const std::byte* x, const std::int16_t* w, std::size_t k, std::size_t end, Word mask, std::int64_t* total) {
#pragma GCC unroll 2
  for (std::size_t part = 0; part < kParts; ++part) {
    Sums sum{};
    for (std::size_t n = k; n < end; ++n) {
      dot(sum, spread(pair_at(x + 4 * n) & mask), w + n * kPairWords + part * 2 * kVectorLanes);
    }
    add_wide(sum, total + part * kVectorLanes);
  }
}

// One spot and group whose sums need 64 bits: as many pairs at a time as fit 32.
[[gnu::noinline]] void wide_tile(const WordLayer& layer, const Task& task, const Spot& spot, std::size_t group) {
  alignas(64) std::int64_t total[kGroup];
  for (std::size_t n = 0; n < kGroup; ++n) total[n] = layer.wide_constant[group * kGroup + n];
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::byte* x = spot.x + run->x;
    const std::int16_t* w = layer.weights + (group * layer.pairs + run->weight) * kPairWords;
    for (std::size_t k = 0; k < run->length; k += layer.chunk) {
      const std::size_t end = k + layer.chunk < run->length ? k + layer.chunk : run->length;
      if (layer.split) {
        add_chunk(x, w, k, end, 0xffff, total);
        add_chunk(x, w, k, end, ~0xffff, total);
      } else {
        add_chunk(x, w, k, end, -1, total);
      }
    }
  }
  end_lanes(*task.epilogue->ending, total, group, spot.y, task.y_plane);
}

// Whole tiles of rows from `row` on, for groups [group, end) in whole tiles; returns the first group that is left.
template <std::size_t kRows, std::size_t kGroups, std::size_t kChains = 1>
std::size_t sweep_words(const WordLayer& layer, const Task& task, const Rows& rows, std::size_t row, Groups groups) {
  std::size_t group = groups.begin;
  for (; group + kGroups <= groups.end; group += kGroups) {
    visit_rows<kRows>(task, rows, row, [&]<std::size_t>(const Task& all, const Spot* spots) {
      word_tile<kRows, kGroups, kChains>(layer, all, spots, group);
    });
  }
  return group;
}

// Tiles of kSums sums: four rows with as many groups as that allows; what is left of the rows goes one by one. Fewer groups
// have fewer sums, and wait for them.
template <std::size_t kSums>
inline void word_rows(const WordLayer& layer, const Rows& rows, Groups groups) {
  constexpr std::size_t kGroups = kSums / 4;
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.pairs)};
  const Task task{&whole, 1, &layer.epilogue, rows.x_plane, rows.y_plane};
  for (std::size_t group = groups.begin; layer.chunk != 0 && group < groups.end; ++group) {
    visit_rows<1>(task, rows, 0, [&]<std::size_t>(const Task& all, const Spot* spot) { wide_tile(layer, all, *spot, group); });
  }
  if (layer.chunk != 0) return;
  const std::size_t done = rows.count / 4 * 4;
  std::size_t left = sweep_words<4, kGroups>(layer, task, rows, 0, groups);
  if constexpr (kGroups > 2) left = sweep_words<4, 2>(layer, task, rows, 0, {left, groups.end});
  if constexpr (kGroups > 1) sweep_words<4, 1>(layer, task, rows, 0, {left, groups.end});
  if (done == rows.count) return;
  left = sweep_words<1, kSums / 2>(layer, task, rows, done, groups);
  sweep_words<1, 1, 4>(layer, task, rows, done, {left, groups.end});
}

template <std::size_t kRows, std::size_t kGroups>
inline void word_maps(const WordLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  std::size_t group = part.groups.begin;
  if (layer.chunk != 0) {
    for (; group < part.groups.end; ++group) {
      visit_regions<1>(window, maps, part, group, [&]<std::size_t>(const Task& task, const Spot* spot) {
        wide_tile(layer, task, *spot, group);
      });
    }
    return;
  }
  for (; window.shift == nullptr && group + kGroups <= part.groups.end; group += kGroups) {
    visit_regions<kRows>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      word_tile<kSpots, kGroups>(layer, task, spots, group);
    });
  }
  for (; group < part.groups.end; ++group) {
    visit_regions<kRows>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      word_tile<kSpots, 1>(layer, task, spots, group);
    });
  }
}
