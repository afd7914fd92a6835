// Layers of planes: up to four planes of inputs, of one or more spots, times 64 channels at a time. All counts of a pass
// over the weights stay in registers; planes of weights that do not fit pass one after the other. Included inside an
// anonymous namespace.

// Spots whose planes fill the registers.
constexpr std::size_t rows_of_tile(std::size_t input_planes) { return 4 / input_planes; }

// Where a pass begins: planes of inputs, and the first of its planes of weights. Words are `step` apart, pairs twice that,
// their own two words `width`.
struct Pass {
  const Task& task;
  const std::byte* const* x;
  const std::uint32_t* weights;
  std::size_t step, width;
};

// Negated counts [kPlanes][kInputs][kGroups]: minus popcount(x ^ w), in pairs without the layer's own popcount(W).
template <std::size_t kInputs, std::size_t kPlanes, std::size_t kGroups, bool kPairs>
[[gnu::noinline]] void count_pass(const Pass& pass, __m512i* counts) {
  constexpr std::size_t kEach = kPairs ? 2 : 1, kCounts = kPlanes * kInputs * kGroups;
  const std::size_t width = kGroups == kBlock ? kBlock * kGroup : pass.width;
  __m512i count[kCounts];
  std::uint32_t sum[kInputs] = {};
#pragma GCC unroll 16
  for (std::size_t c = 0; c < kCounts; ++c) count[c] = _mm512_setzero_si512();
  for (const Run* run = pass.task.runs; run != pass.task.runs + pass.task.run_count; ++run) {
    const std::uint32_t* w = pass.weights + run->weight * pass.step;
    const std::byte* x[kInputs];
#pragma GCC unroll 16
    for (std::size_t n = 0; n < kInputs; ++n) x[n] = pass.x[n] + run->x;
    for (std::size_t k = 0; k < run->length; k += kEach, w += kEach * pass.step) {
#pragma GCC unroll 16
      for (std::size_t j = 0; j < kPlanes; ++j) {
        __m512i weight[kEach * kGroups];
#pragma GCC unroll 16
        for (std::size_t m = 0; m < kEach * kGroups; ++m) {
          weight[m] = _mm512_load_si512(w + (j * kEach + m / kGroups) * width + m % kGroups * kGroup);
        }
#pragma GCC unroll 16
        for (std::size_t n = 0; n < kInputs; ++n) {
          __m512i* to = count + (j * kInputs + n) * kGroups;
          if constexpr (kPairs) {
            count_pair<kGroups, 1>(x[n] + 4 * k, weight, weight + kGroups, to);
          } else {
            count_word<kGroups, 1>(x[n] + 4 * k, weight, to);
          }
        }
      }
#pragma GCC unroll 16
      for (std::size_t n = 0; kPairs && n < kInputs; ++n) sum[n] += ones_in(x[n] + 4 * k + 4);
    }
  }
#pragma GCC unroll 16
  for (std::size_t c = 0; c < kCounts; ++c) {
    const __m512i sums = _mm512_set1_epi32(static_cast<int>(sum[c / kGroups % kInputs]));
    counts[c] = kPairs ? _mm512_add_epi32(_mm512_add_epi32(count[c], count[c]), sums) : count[c];
  }
}

// All planes of weights, in as few passes as the registers allow.
template <std::size_t kInputs, std::size_t kGroups, bool kPairs>
inline void count_planes(Pass pass, std::size_t planes, __m512i* counts) {
  if (planes == 1) return count_pass<kInputs, 1, kGroups, kPairs>(pass, counts);
  if constexpr (kInputs <= 2) {
    if (planes == 2) return count_pass<kInputs, 2, kGroups, kPairs>(pass, counts);
  }
  if constexpr (kInputs == 1) {
    if (planes == 3) return count_pass<kInputs, 3, kGroups, kPairs>(pass, counts);
    return count_pass<kInputs, 4, kGroups, kPairs>(pass, counts);
  }
  for (std::size_t j = 0; j < planes; ++j, pass.weights += (kPairs ? 2 : 1) * pass.width, counts += kInputs * kGroups) {
    count_pass<kInputs, 1, kGroups, kPairs>(pass, counts);
  }
}

// Counts [weight planes][kRows][kX][kGroups] of spots.
template <std::size_t kX, std::size_t kRows, std::size_t kGroups>
inline void count_spots(const PlaneLayer& layer, const Task& task, const Spot* spots, std::size_t group, __m512i* counts) {
  const BlockWeights block(layer, group);
  const std::byte* x[kRows * kX];
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kRows * kX; ++n) x[n] = spots[n / kX].x + n % kX * task.x_plane;
  const Pass pass{task, x, block.at, layer.weight_planes * block.width, block.width};
  const auto count = layer.pairs ? count_planes<kRows * kX, kGroups, true> : count_planes<kRows * kX, kGroups, false>;
  count(pass, layer.weight_planes, counts);
}

// The counts of one group, weighted and summed; `step` from plane to plane of the weights, kGroups from plane to plane of
// the inputs.
template <std::size_t kX>
inline __m512i combine(const PlaneLayer& layer, std::size_t group, const __m512i* count, std::size_t groups, std::size_t step) {
  if (layer.bare) return count[0];
  const std::int32_t* factor = layer.weight_factor + group * layer.weight_planes * kGroup;
  __m512i sum = _mm512_setzero_si512();
  for (std::size_t j = 0; j < layer.weight_planes; ++j, count += step) {
    __m512i inner = count[0];
    // A single input plane's factor is folded into the weights' by whoever built the layer.
    if (kX > 1) inner = _mm512_mullo_epi32(inner, _mm512_set1_epi32(layer.input_factor[0]));
#pragma GCC unroll 4
    for (std::size_t i = 1; i < kX; ++i) {
      const __m512i input_factor = _mm512_set1_epi32(layer.input_factor[i]);
      inner = _mm512_add_epi32(inner, _mm512_mullo_epi32(count[i * groups], input_factor));
    }
    sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(inner, _mm512_loadu_si512(factor + j * kGroup)));
  }
  return sum;
}

template <std::size_t kX, std::size_t kRows>
[[gnu::noinline]] void end_spots(const PlaneLayer& layer, const Task& task, const Spot* spots, Groups groups, const __m512i* counts) {
  const Epilogue& e = *task.epilogue;
  const std::size_t count = groups.end - groups.begin;
  for (std::size_t group = groups.begin; group < groups.end; ++group, ++counts) {
    Group acc[kRows];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m512i sum = combine<kX>(layer, group, counts + r * kX * count, count, kRows * kX * count);
      acc[r] = group_of(sum) + constants(e, spots[r].sum, group);
    }
    finish(e, acc, {group, kRows, spots, task.y_plane});
  }
}

// One threshold, one plane, nothing to combine: straight to bits.
[[gnu::noinline]] void write_bits(const Epilogue& e, const Spot* spots, std::size_t rows, Groups groups, const __m512i* count) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t group = groups.begin; group < groups.end; ++group, ++count) {
      const std::uint16_t piece = _mm512_cmpgt_epi32_mask(*count, _mm512_loadu_si512(e.thresholds + group * kGroup));
      __builtin_memcpy(spots[r].y + 2 * group, &piece, sizeof piece);
    }
  }
}

template <std::size_t kX, std::size_t kRows, std::size_t kGroups>
inline void tile(const PlaneLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  __m512i counts[kMaxPlanes * kRows * kX * kGroups];
  count_spots<kX, kRows, kGroups>(layer, task, spots, group, counts);
  if constexpr (kX == 1) {
    if (layer.binary) return write_bits(*task.epilogue, spots, kRows, {group, group + kGroups}, counts);
  }
  end_spots<kX, kRows>(layer, task, spots, {group, group + kGroups}, counts);
}

template <std::size_t kX, std::size_t kRows, std::size_t kGroups>
void sweep_rows(const PlaneLayer& layer, const Task& task, const Rows& rows, std::size_t first, std::size_t group) {
  visit_rows<kRows>(task, rows, first, [&]<std::size_t>(const Task& all, const Spot* spots) {
    tile<kX, kRows, kGroups>(layer, all, spots, group);
  });
}

// As many rows as whole tiles hold; returns the next.
template <std::size_t kX, std::size_t kRows>
std::size_t sweep(const PlaneLayer& layer, const Task& task, const Rows& rows, std::size_t row, Groups groups) {
  std::size_t group = groups.begin;
  for (; group + kBlock <= groups.end; group += kBlock) sweep_rows<kX, kRows, kBlock>(layer, task, rows, row, group);
  for (; group < groups.end; ++group) sweep_rows<kX, kRows, 1>(layer, task, rows, row, group);
  return row + (rows.count - row) / kRows * kRows;
}

// Weights of a few groups stay in the first cache while all pixels pass by.
template <std::size_t kX>
void convolution(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  constexpr std::size_t kRows = rows_of_tile(kX);
  std::size_t group = part.groups.begin;
  for (; window.shift == nullptr && group + kBlock <= part.groups.end; group += kBlock) {
    visit_regions<kRows>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      tile<kX, kSpots, kBlock>(layer, task, spots, group);
    });
  }
  for (; group < part.groups.end; ++group) {
    visit_regions<kRows>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      tile<kX, kSpots, 1>(layer, task, spots, group);
    });
  }
}
