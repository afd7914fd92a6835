// AVX-512 with VPOPCNTDQ: sixteen channels in the lanes of a vector, so that counts stay in lanes and nothing is
// summed across. The limit is xor + popcount + subtract, three instructions for 512 binary multiply-adds; in pairs
// (PlaneLayer) xor + majority + popcount + subtract, four for 1024.
#include <immintrin.h>

#include "../core/kernel.h"

namespace lowbit::avx512_vpopcntdq {
namespace {

#include "window.inl"

#include "avx512.inl"

// The negated counts of every pair of planes, [kX][kW], weighted and summed in one group of channels.
template <std::size_t kX, std::size_t kW>
inline __m512i combine(const PlaneLayer& layer, std::size_t group, const __m512i* count) {
  if (layer.bare) return count[0];
  const std::int32_t* factor = layer.weight_factor + group * kW * kGroup;
  __m512i sum = _mm512_setzero_si512();
  for (std::size_t j = 0; j < kW; ++j) {
    __m512i inner = count[j];
    // A single input plane's factor is folded into the weights' by whoever built the layer.
    if (kX > 1) inner = _mm512_mullo_epi32(inner, _mm512_set1_epi32(layer.input_factor[0]));
    for (std::size_t i = 1; i < kX; ++i) {
      const __m512i input_factor = _mm512_set1_epi32(layer.input_factor[i]);
      inner = _mm512_add_epi32(inner, _mm512_mullo_epi32(count[i * kW + j], input_factor));
    }
    sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(inner, _mm512_loadu_si512(factor + j * kGroup)));
  }
  return sum;
}

// Where the weights of a group start, and how many words of 32 bits the groups of its block have side by side.
struct BlockWeights {
  const std::uint32_t* at;
  std::size_t width;

  BlockWeights(const PlaneLayer& layer, std::size_t group) {
    const std::size_t first = group / kBlock * kBlock, left = layer.groups - first;
    width = (left < kBlock ? left : kBlock) * kGroup;
    at = static_cast<const std::uint32_t*>(layer.weights) + first * kGroup * layer.words * layer.weight_planes +
         (group - first) * kGroup;
  }
};

// One threshold, one plane, nothing to combine: straight from registers to bits.
template <std::size_t kRows, std::size_t kGroups>
inline void write_bits(const Epilogue& e, const Spot* spots, std::size_t group, const __m512i* count) {
#pragma GCC unroll 16
  for (std::size_t g = 0; g < kGroups; ++g) {
    const __m512i threshold = _mm512_loadu_si512(e.thresholds + (group + g) * kGroup);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kRows; ++r) {
      const std::uint16_t piece = _mm512_cmpgt_epi32_mask(count[g * kRows + r], threshold);
      __builtin_memcpy(spots[r].y + 2 * (group + g), &piece, sizeof piece);
    }
  }
}

// A single row reads every weight once, so the memory is the limit: ask for what comes a little later. Measured: more than
// the processor asks for by itself, and best 1 KB ahead; huge pages, several streams and other hints change nothing.
template <std::size_t kVectors>
inline void prefetch(const std::uint32_t* w) {
  constexpr std::size_t kAhead = 1024;
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kVectors; ++n) {
    _mm_prefetch(reinterpret_cast<const char*>(w) + kAhead + n * sizeof(__m512i), _MM_HINT_T0);
  }
}

// kRows spots times kGroups groups of channels: all counts, [kGroups][kRows][kX][kW], live in registers.
template <std::size_t kX, std::size_t kW, std::size_t kRows, std::size_t kGroups>
[[gnu::always_inline]] inline void count_runs(const PlaneLayer& layer, const Task& task, const Spot* spots,
                                              std::size_t group, __m512i* count) {
  constexpr std::size_t kCounts = kGroups * kRows * kX * kW;
  const BlockWeights block(layer, group);
  const std::size_t w_step = kW * block.width;
#pragma GCC unroll 32
  for (std::size_t c = 0; c < kCounts; ++c) count[c] = _mm512_setzero_si512();
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::uint32_t* w = block.at + run->weight * w_step;
    const std::byte* x[kRows];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kRows; ++r) x[r] = spots[r].x + run->x;
#pragma GCC unroll 2
    for (std::size_t k = 0; k < run->length; ++k, w += w_step) {
      __m512i weight[kGroups * kW];
      if constexpr (kRows == 1) prefetch<kGroups * kW>(w);
#pragma GCC unroll 16
      for (std::size_t n = 0; n < kGroups * kW; ++n) weight[n] = _mm512_load_si512(w + n / kW * kGroup + n % kW * block.width);
#pragma GCC unroll 16
      for (std::size_t n = 0; n < kRows * kX; ++n) {
        std::int32_t word;
        __builtin_memcpy(&word, x[n / kX] + n % kX * task.x_plane + 4 * k, sizeof word);
        const __m512i input = _mm512_set1_epi32(word);
#pragma GCC unroll 16
        for (std::size_t m = 0; m < kGroups * kW; ++m) {
          const __m512i differ = _mm512_popcnt_epi32(_mm512_xor_si512(input, weight[m]));
          // As a statement of its own, so that gcc 12 subtracts in place instead of copying accumulators around.
          asm("vpsubd %1, %0, %0" : "+v"(count[m / kW * kRows * kX * kW + n * kW + m % kW]) : "v"(differ));
        }
      }
    }
  }
}

// kBits: the layer is binary. On its own and without the other endings, gcc 12 has registers enough.
template <std::size_t kX, std::size_t kW, std::size_t kRows, std::size_t kGroups, bool kBits>
[[gnu::noinline]] void count_tile(const PlaneLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  __m512i count[kGroups * kRows * kX * kW];
  count_runs<kX, kW, kRows, kGroups>(layer, task, spots, group, count);
  const Epilogue& e = *task.epilogue;
  if constexpr (kBits) return write_bits<kRows, kGroups>(e, spots, group, count);
#pragma GCC unroll 16
  for (std::size_t g = 0; g < kGroups; ++g) {
    __m512i acc[kRows];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m512i sum = combine<kX, kW>(layer, group + g, count + (g * kRows + r) * kX * kW);
      acc[r] = _mm512_add_epi32(sum, constants(e, spots[r].sum, group + g));
    }
    finish(e, acc, {group + g, kRows, spots, task.y_plane});
  }
}

#include "avx512_strips.inl"

template <std::size_t kX, std::size_t kW, std::size_t kRows, std::size_t kGroups>
inline void tile(const PlaneLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  if constexpr (kX * kW == 1) {
    if (layer.binary) return count_tile<kX, kW, kRows, kGroups, true>(layer, task, spots, group);
  }
  count_tile<kX, kW, kRows, kGroups, false>(layer, task, spots, group);
}

// Tile sizes that gcc 12 keeps in the 32 registers, by the number of pairs of planes.
constexpr std::size_t rows_of_tile(std::size_t pairs) { return pairs <= 4 ? 4 : pairs <= 9 ? 2 : 1; }
constexpr std::size_t groups_of_tile(std::size_t pairs) { return pairs == 1 ? 4 : pairs == 2 ? 2 : 1; }
constexpr std::size_t groups_of_single_row(std::size_t pairs) { return pairs <= 4 ? 4 : pairs <= 9 ? 2 : 1; }

template <std::size_t kX, std::size_t kW, std::size_t kRows, std::size_t kGroups>
void sweep_rows(const PlaneLayer& layer, const Task& task, const Rows& rows, std::size_t first, std::size_t group) {
  Spot spots[kRows];
  for (std::size_t row = first; row + kRows <= rows.count; row += kRows) {
    spots_of_rows<kRows>(rows, row, spots);
    tile<kX, kW, kRows, kGroups>(layer, task, spots, group);
  }
}

template <std::size_t kX, std::size_t kW, std::size_t kRows, std::size_t kGroups>
std::size_t sweep(const PlaneLayer& layer, const Rows& rows, std::size_t row, Groups groups) {
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.words)};
  const Task task{&whole, 1, &layer.epilogue, rows.x_plane, rows.y_plane};
  std::size_t group = groups.begin;
  for (; group + kGroups <= groups.end; group += kGroups) {
    sweep_rows<kX, kW, kRows, kGroups>(layer, task, rows, row, group);
  }
  for (; group < groups.end; ++group) sweep_rows<kX, kW, kRows, 1>(layer, task, rows, row, group);
  return row + (rows.count - row) / kRows * kRows;
}

template <std::size_t kX, std::size_t kW, std::size_t kGroups>
[[gnu::noinline]] void count_for_later(const PlaneLayer& layer, const Task& task, const Spot* spot, std::size_t group,
                                       __m512i* counts) {
  __m512i count[kGroups * kX * kW];
  count_runs<kX, kW, 1, kGroups>(layer, task, spot, group, count);
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kGroups * kX * kW; ++n) counts[n] = count[n];
}

// One row: the memory is the limit, and would wait for every ending. So many groups are counted first, then they end
// together: a tenth of the time of 4096 x 4096 weights.
template <std::size_t kX, std::size_t kW>
void single_row(const PlaneLayer& layer, const Rows& rows, std::size_t row, Groups groups) {
  constexpr std::size_t kPairs = kX * kW, kGroups = groups_of_single_row(kPairs), kTogether = 64 / kPairs * kBlock;
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.words)};
  const Task task{&whole, 1, &layer.epilogue, rows.x_plane, rows.y_plane};
  Spot spot[1];
  spots_of_rows<1>(rows, row, spot);
  __m512i counts[kTogether * kPairs];
  for (std::size_t first = groups.begin; first < groups.end; first += kTogether) {
    const std::size_t end = first + kTogether < groups.end ? first + kTogether : groups.end;
    std::size_t group = first;
    for (; group + kGroups <= end; group += kGroups) {
      count_for_later<kX, kW, kGroups>(layer, task, spot, group, counts + (group - first) * kPairs);
    }
    for (; group < end; ++group) count_for_later<kX, kW, 1>(layer, task, spot, group, counts + (group - first) * kPairs);
    for (group = first; group < end; ++group) {
      const __m512i sum = combine<kX, kW>(layer, group, counts + (group - first) * kPairs);
      const __m512i acc = _mm512_add_epi32(sum, constants(*task.epilogue, spot->sum, group));
      finish(*task.epilogue, &acc, {group, 1, spot, task.y_plane});
    }
  }
}

template <std::size_t kX, std::size_t kW>
void fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) {
  constexpr std::size_t kPairs = kX * kW, kRows = rows_of_tile(kPairs);
  std::size_t row = 0;
  if (rows.count >= kRows) row = sweep<kX, kW, kRows, groups_of_tile(kPairs)>(layer, rows, row, groups);
  if (row + 1 == rows.count && !layer.binary) return single_row<kX, kW>(layer, rows, row, groups);
  if (row < rows.count) sweep<kX, kW, 1, groups_of_single_row(kPairs)>(layer, rows, row, groups);
}

// Weights of a few groups stay in the first cache while all pixels pass by.
template <std::size_t kX, std::size_t kW>
void convolution(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  constexpr std::size_t kRows = rows_of_tile(kX * kW), kGroups = groups_of_tile(kX * kW);
  std::size_t group = part.groups.begin;
  for (; window.shift == nullptr && group + kGroups <= part.groups.end; group += kGroups) {
    visit_regions<kRows>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      tile<kX, kW, kSpots, kGroups>(layer, task, spots, group);
    });
  }
  for (; group < part.groups.end; ++group) {
    visit_regions<kRows>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      tile<kX, kW, kSpots, 1>(layer, task, spots, group);
    });
  }
}

template <std::size_t kX>
constexpr plane_fully_connected_kernel* kByWeightPlanes[kMaxPlanes] = {
    fully_connected<kX, 1>, fully_connected<kX, 2>, fully_connected<kX, 3>, fully_connected<kX, 4>};

template <std::size_t kX>
constexpr plane_convolution_kernel* kConvolutionByWeightPlanes[kMaxPlanes] = {
    convolution<kX, 1>, convolution<kX, 2>, convolution<kX, 3>, convolution<kX, 4>};

}  // namespace

void plane_fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) {
  const unsigned j = layer.weight_planes - 1;
  switch (layer.input_planes) {
    case 1: return kByWeightPlanes<1>[j](layer, rows, groups);
    case 2: return kByWeightPlanes<2>[j](layer, rows, groups);
    case 3: return kByWeightPlanes<3>[j](layer, rows, groups);
    default: return kByWeightPlanes<4>[j](layer, rows, groups);
  }
}

void plane_convolution(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  if (layer.binary) return binary_convolution(layer, window, maps, part);
  const unsigned j = layer.weight_planes - 1;
  switch (layer.input_planes) {
    case 1: return kConvolutionByWeightPlanes<1>[j](layer, window, maps, part);
    case 2: return kConvolutionByWeightPlanes<2>[j](layer, window, maps, part);
    case 3: return kConvolutionByWeightPlanes<3>[j](layer, window, maps, part);
    default: return kConvolutionByWeightPlanes<4>[j](layer, window, maps, part);
  }
}

std::uint64_t popcount_peak(std::uint64_t repeats) {
  constexpr std::size_t kChains = 16;
  __m512i count[kChains], x = _mm512_set1_epi32(static_cast<int>(repeats));
  for (std::size_t i = 0; i < kChains; ++i) count[i] = _mm512_setzero_si512();
  const __m512i w = _mm512_set1_epi32(0x55aa55aa);
  for (std::uint64_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kChains; ++i) {
      asm volatile("" : "+v"(x));  // a new operand each time, as far as the compiler knows
      count[i] = _mm512_sub_epi32(count[i], _mm512_popcnt_epi32(_mm512_xor_si512(x, w)));
    }
  }
  for (std::size_t i = 0; i < kChains; ++i) asm volatile("" ::"v"(count[i]));
  return repeats * kChains * 512;
}

std::uint64_t pair_peak(std::uint64_t repeats) {
  constexpr std::size_t kChains = 16;
  __m512i count[kChains], x = _mm512_set1_epi32(static_cast<int>(repeats)), sum = x;
  for (std::size_t i = 0; i < kChains; ++i) count[i] = _mm512_setzero_si512();
  const __m512i w = _mm512_set1_epi32(0x55aa55aa);
  for (std::uint64_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kChains; ++i) {
      asm volatile("" : "+v"(x), "+v"(sum));
      const __m512i both = _mm512_ternarylogic_epi32(_mm512_xor_si512(x, w), sum, w, kMajority);
      count[i] = _mm512_sub_epi32(count[i], _mm512_popcnt_epi32(both));
    }
  }
  for (std::size_t i = 0; i < kChains; ++i) asm volatile("" ::"v"(count[i]));
  return repeats * kChains * 1024;
}

}  // namespace lowbit::avx512_vpopcntdq

#include "avx512_encode.inl"

namespace lowbit::avx512_vpopcntdq {
namespace {

// vpermps reads the low four bits of an index and no others: loads that start at each byte of a word save half of the
// shifts. The limit is the permutation, one a cycle.
template <std::size_t kGroups>
void look_up(const std::uint32_t* w, std::size_t step, std::size_t words, const float* tables, float* sums) {
  __m512 sum[2 * kGroups];
#pragma GCC unroll 16
  for (std::size_t n = 0; n < 2 * kGroups; ++n) sum[n] = _mm512_setzero_ps();
  for (std::size_t k = 0; k < words; ++k, w += kGroup, tables += 8 * 16) {
#pragma GCC unroll 4
    for (std::size_t byte = 0; byte < 4; ++byte) {
      const __m512 even = _mm512_load_ps(tables + 2 * byte * 16), odd = _mm512_load_ps(tables + (2 * byte + 1) * 16);
#pragma GCC unroll 16
      for (std::size_t g = 0; g < kGroups; ++g) {
        const __m512i index = _mm512_loadu_si512(reinterpret_cast<const std::byte*>(w + g * step) + byte);
        sum[2 * g] = _mm512_add_ps(sum[2 * g], _mm512_permutexvar_ps(index, even));
        sum[2 * g + 1] = _mm512_add_ps(sum[2 * g + 1], _mm512_permutexvar_ps(_mm512_srli_epi32(index, 4), odd));
      }
    }
  }
#pragma GCC unroll 16
  for (std::size_t g = 0; g < kGroups; ++g) {
    _mm512_store_ps(sums + g * kGroup, _mm512_add_ps(sum[2 * g], sum[2 * g + 1]));
  }
}

}  // namespace
}  // namespace lowbit::avx512_vpopcntdq

#define LOWBIT_NAMESPACE avx512_vpopcntdq
#include "float_layers.inl"
#include "weight_only.inl"
