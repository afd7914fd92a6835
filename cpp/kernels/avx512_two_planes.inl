// Convolutions of two planes by two in pairs: the counts of one pixel and 64 channels fill the registers, and stay there until
// they are sums. Included inside an anonymous namespace, behind avx512_tiles.inl.

constexpr std::size_t kTwo = 2;

// Negated counts [weight planes][input planes][groups]; `ones` of the inputs' X, weighted.
LOWBIT_INLINE std::int32_t count_two_planes(const PlaneLayer& layer, const Task& task, const std::byte* first, const std::uint32_t* weights,
                                            __m512i* count) {
  constexpr std::size_t kPair = 2 * kBlock * kGroup;
  std::uint32_t ones[kTwo] = {};
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::uint32_t* w = weights + run->weight * kPair;
    const std::byte* x = first + run->x;
    for (const std::byte* end = x + 4 * std::size_t{run->length}; x != end; x += 8, w += kTwo * kPair) {
#pragma GCC unroll 2
      for (std::size_t j = 0; j < kTwo; ++j) {
        __m512i weight[2 * kBlock];
#pragma GCC unroll 8
        for (std::size_t m = 0; m < 2 * kBlock; ++m) weight[m] = _mm512_load_si512(w + j * kPair + m * kGroup);
#pragma GCC unroll 2
        for (std::size_t i = 0; i < kTwo; ++i) {
          count_pair<kBlock, 1>(x + i * task.x_plane, weight, weight + kBlock, count + (j * kTwo + i) * kBlock);
        }
      }
#pragma GCC unroll 2
      for (std::size_t i = 0; i < kTwo; ++i) ones[i] += ones_in(x + i * task.x_plane + 4);
    }
  }
  const std::uint32_t sum = ones[0] * static_cast<std::uint32_t>(layer.input_factor[0]) + ones[1] * static_cast<std::uint32_t>(layer.input_factor[1]);
  return static_cast<std::int32_t>(sum);
}

// Ranks among three thresholds, straight to two planes.
LOWBIT_INLINE void write_two_planes(const Epilogue& e, std::size_t group, const __m512i* sum, std::byte* y, std::size_t y_plane) {
  __mmask16 low[kBlock], high[kBlock];
#pragma GCC unroll 4
  for (std::size_t g = 0; g < kBlock; ++g) {
    const std::int32_t* threshold = e.thresholds + (group + g) * 3 * kGroup;
    high[g] = _mm512_cmpgt_epi32_mask(sum[g], _mm512_loadu_si512(threshold + kGroup));
    const __m512i left = _mm512_mask_loadu_epi32(_mm512_loadu_si512(threshold), high[g], threshold + 2 * kGroup);
    low[g] = _mm512_cmpgt_epi32_mask(sum[g], left);
  }
  const auto pieces = [](const __mmask16* part) -> std::uint64_t {
    return _mm512_kunpackd(_mm512_kunpackw(part[3], part[2]), _mm512_kunpackw(part[1], part[0]));
  };
  const std::uint64_t planes[] = {pieces(low), pieces(high)};
  __builtin_memcpy(y + 2 * group, planes, sizeof planes[0]);
  __builtin_memcpy(y + y_plane + 2 * group, planes + 1, sizeof planes[1]);
}

[[gnu::noinline]] void two_planes_of_pixel(const PlaneLayer& layer, const Task& task, const Spot& spot, std::size_t group) {
  const Epilogue& e = *task.epilogue;
  __m512i count[kTwo * kTwo * kBlock], sum[kBlock];
#pragma GCC unroll 16
  for (__m512i& each : count) each = _mm512_setzero_si512();
  const __m512i ones = _mm512_set1_epi32(count_two_planes(layer, task, spot.x, BlockWeights(layer, group).at, count));
#pragma GCC unroll 4
  for (std::size_t g = 0; g < kBlock; ++g) {
    const std::int32_t* factor = layer.narrow_factor + (group + g) * 3 * kGroup;
    sum[g] = _mm512_add_epi32(_mm512_loadu_si512(e.constant + (group + g) * kGroup), _mm512_mullo_epi32(ones, _mm512_load_si512(factor + kTwo * kGroup)));
#pragma GCC unroll 2
    for (std::size_t j = 0; j < kTwo; ++j) {
      const __m512i words = _mm512_mask_blend_epi16(0xaaaaaaaa, count[j * kTwo * kBlock + g], _mm512_slli_epi32(count[(j * kTwo + 1) * kBlock + g], 16));
      sum[g] = _mm512_dpwssd_epi32(sum[g], words, _mm512_load_si512(factor + j * kGroup));
    }
  }
  if (e.output == Output::planes && e.bits == kTwo && e.rank_is_code && e.row_factor == nullptr) {
    return write_two_planes(e, group, sum, spot.y, task.y_plane);
  }
  Group own[kBlock];
#pragma GCC unroll 4
  for (std::size_t g = 0; g < kBlock; ++g) own[g] = group_of(sum[g]);
  for (std::size_t g = 0; g < kBlock; ++g) {
    if (e.row_factor != nullptr) own[g] = own[g] + load_group(e.row_factor + (group + g) * kGroup) * same(spot.sum);
    finish(e, own + g, {group + g, 1, &spot, task.y_plane});
  }
}

void two_planes(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  std::size_t group = part.groups.begin;
  for (; window.shift == nullptr && group + kBlock <= part.groups.end; group += kBlock) {
    visit_regions<1>(window, maps, part, group, [&]<std::size_t>(const Task& task, const Spot* spots) {
      two_planes_of_pixel(layer, task, *spots, group);
    });
  }
  if (group < part.groups.end) convolution<2>(layer, window, maps, {{group, part.groups.end}, part.part, part.parts});
}
