// AVX-512 with VPOPCNTDQ: sixteen channels in the lanes of a vector, so that counts stay in lanes and nothing is
// summed across. The limit is xor + popcount + subtract, three instructions for 512 binary multiply-adds.
#include <immintrin.h>

#include "../core/kernel.h"

namespace lowbit::avx512_vpopcntdq {
namespace {

#include "window.inl"

#include "avx512.inl"

template <unsigned kBits>
void encode_row(const Encoder& encoder, const std::byte* x, std::byte* y, std::size_t y_plane) {
  __m512 threshold[1u << kBits];
  for (unsigned c = 0; c + 1 < (1u << kBits); ++c) threshold[c] = _mm512_set1_ps(encoder.thresholds[c]);
  for (std::size_t first = 0; first < encoder.features; first += kGroup) {
    const __mmask16 valid = first_lanes(encoder.features - first);
    const __m512 value = _mm512_maskz_loadu_ps(valid, x + 4 * first);
    __m512 left[1u << kBits];
    for (unsigned c = 0; c + 1 < (1u << kBits); ++c) left[c] = threshold[c];
    __mmask16 bits[kBits];
    rank_bits<kBits>(
        left, [&](__m512 t) { return _mm512_cmp_ps_mask(value, t, _CMP_GT_OQ); },
        [](__mmask16 up, __m512 low, __m512 high) { return _mm512_mask_mov_ps(low, up, high); }, bits);
    write_ranks(bits, kBits, encoder.output, encoder.rank_is_code, encoder.table, valid, y + first / 8, y_plane,
                y + first);
  }
}

// Eight ranks; a NaN is not above anything.
inline __m256i grid_ranks(const Encoder& encoder, __m256 value) {
  const __m512d steps = _mm512_mul_pd(_mm512_cvtps_pd(value), _mm512_set1_pd(encoder.rate));
  const __m512d above = _mm512_sub_pd(steps, _mm512_set1_pd(encoder.first));
  // max returns its second operand for a NaN.
  const __m512d top = _mm512_set1_pd((1 << encoder.bits) - 1);
  const __m512d bounded = _mm512_min_pd(_mm512_max_pd(above, _mm512_setzero_pd()), top);
  return _mm512_cvt_roundpd_epi32(bounded, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}

// Compares with the thresholds above and below a rank that is at most one off.
inline __m512i corrected(const Encoder& encoder, __m512 value, __m512i rank) {
  const __m512 above = _mm512_i32gather_ps(rank, encoder.thresholds, 4);
  const __mmask16 inner = _mm512_test_epi32_mask(rank, rank);
  const __m512i lower = _mm512_sub_epi32(rank, _mm512_set1_epi32(1));
  const __m512 below = _mm512_mask_i32gather_ps(value, inner, lower, encoder.thresholds, 4);
  const __mmask16 down = _mm512_mask_cmp_ps_mask(inner, value, below, _CMP_NGT_UQ);
  return _mm512_mask_mov_epi32(count_if(rank, _mm512_cmp_ps_mask(value, above, _CMP_GT_OQ)), down, lower);
}

void encode_grid(const Encoder& encoder, const std::byte* x, std::byte* y) {
  for (std::size_t first = 0; first < encoder.features; first += kGroup) {
    const std::size_t count = encoder.features - first;
    const __m512 value = _mm512_maskz_loadu_ps(first_lanes(count), x + 4 * first);
    const __m256i low = grid_ranks(encoder, _mm512_castps512_ps256(value));
    const __m256i high = grid_ranks(encoder, _mm512_extractf32x8_ps(value, 1));
    __m512i rank = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    if (!encoder.exact) rank = corrected(encoder, value, rank);
    if (encoder.rank_is_code) {
      _mm512_mask_cvtepi32_storeu_epi8(y + first, first_lanes(count), rank);
    } else {
      write_bytes(rank, encoder.table, count, y + first);
    }
  }
}

void encode_many_ranks(const Encoder& encoder, const std::byte* x, std::byte* y) {
  for (std::size_t first = 0; first < encoder.features; first += kGroup) {
    const std::size_t count = encoder.features - first;
    const __m512 value = _mm512_maskz_loadu_ps(first_lanes(count), x + 4 * first);
    __m512i rank = _mm512_setzero_si512();
    for (unsigned c = 0; c + 1 < (1u << encoder.bits); ++c) {
      rank = count_if(rank, _mm512_cmp_ps_mask(value, _mm512_set1_ps(encoder.thresholds[c]), _CMP_GT_OQ));
    }
    write_bytes(rank, encoder.table, count, y + first);
  }
}

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
// the processor asks for by itself, and best from 1 to 2 KB ahead.
template <std::size_t kVectors>
inline void prefetch(const std::uint32_t* w) {
  constexpr std::size_t kAhead = 2048;
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kVectors; ++n) {
    _mm_prefetch(reinterpret_cast<const char*>(w) + kAhead + n * sizeof(__m512i), _MM_HINT_T0);
  }
}

// kRows spots times kGroups groups of channels: all counts live in registers. kBits: the layer is binary. On its own and
// without the other endings, gcc 12 has registers enough.
template <std::size_t kX, std::size_t kW, std::size_t kRows, std::size_t kGroups, bool kBits>
[[gnu::noinline]] void count_tile(const PlaneLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  constexpr std::size_t kCounts = kGroups * kRows * kX * kW;
  __m512i count[kCounts];
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

// One word of a pixel against the weights of kGroups groups. A whole block in the processor's own words: gcc 12 would copy
// counts from register to register.
template <std::size_t kGroups>
inline void count_word(const std::byte* x, const __m512i* weight, __m512i* count) {
  if constexpr (kGroups == kBlock) {
    __m512i input, differ;
    asm("vpbroadcastd %[word], %[input]\n\t"
        "vpxord %[w0], %[input], %[differ]\n\tvpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c0], %[c0]\n\t"
        "vpxord %[w1], %[input], %[differ]\n\tvpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c1], %[c1]\n\t"
        "vpxord %[w2], %[input], %[differ]\n\tvpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c2], %[c2]\n\t"
        "vpxord %[w3], %[input], %[differ]\n\tvpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c3], %[c3]"
        : [input] "=&v"(input), [differ] "=&v"(differ), [c0] "+v"(count[0]), [c1] "+v"(count[kStrip]),
          [c2] "+v"(count[2 * kStrip]), [c3] "+v"(count[3 * kStrip])
        : [word] "m"(*reinterpret_cast<const std::int32_t*>(x)), [w0] "v"(weight[0]), [w1] "v"(weight[1]),
          [w2] "v"(weight[2]), [w3] "v"(weight[3]));
  } else {
    std::int32_t word;
    __builtin_memcpy(&word, x, sizeof word);
    const __m512i input = _mm512_set1_epi32(word);
    for (std::size_t g = 0; g < kGroups; ++g) {
      count[g * kStrip] = _mm512_sub_epi32(count[g * kStrip], _mm512_popcnt_epi32(_mm512_xor_si512(input, weight[g])));
    }
  }
}

// Words of the window for those pixels of a strip that read them.
template <unsigned kPixels, std::size_t kGroups>
inline void count_reads(const Reads& reads, const std::byte* const* x, const BlockWeights& block, __m512i* count) {
  for (const Unit* unit = reads.units; unit != reads.units + reads.unit_count; ++unit) {
    const std::uint32_t* w = block.at + unit->weight * (kGroups == kBlock ? kBlock * kGroup : block.width);
    __m512i weight[kGroups];
#pragma GCC unroll 16
    for (std::size_t g = 0; g < kGroups; ++g) weight[g] = _mm512_load_si512(w + g * kGroup);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kStrip; ++r) {
      if ((kPixels >> r & 1u) != 0) count_word<kGroups>(x[r] + unit->x, weight, count + r);
    }
  }
}

// The bits of kGroups groups in one pixel, whose counts are kStrip apart.
template <std::size_t kGroups>
inline void write_pixel(const std::int32_t* threshold, const __m512i* count, std::byte* y) {
  __mmask16 piece[kGroups];
#pragma GCC unroll 16
  for (std::size_t g = 0; g < kGroups; ++g) {
    piece[g] = _mm512_cmpgt_epi32_mask(count[g * kStrip], _mm512_loadu_si512(threshold + g * kGroup));
  }
  if constexpr (kGroups == kBlock) {
    const __mmask32 low = _mm512_kunpackw(piece[1], piece[0]), high = _mm512_kunpackw(piece[3], piece[2]);
    const std::uint64_t pieces = _mm512_kunpackd(high, low);
    __builtin_memcpy(y, &pieces, sizeof pieces);
  } else {
    __builtin_memcpy(y, piece, sizeof piece);
  }
}

// All counts of a strip live in registers, whichever pixels read a word.
template <std::size_t kGroups>
[[gnu::noinline]] void count_strip(const Strips& strips, const BlockWeights& block, const std::byte* start, std::byte* y,
                                   std::size_t first_channel) {
  const std::byte* x[kStrip];
  __m512i count[kGroups * kStrip];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kStrip; ++r) x[r] = start + strips.x[r];
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kGroups * kStrip; ++n) count[n] = _mm512_setzero_si512();
  for (const Reads* reads = strips.reads; reads != strips.reads + strips.read_count; ++reads) {
    switch (reads->pixels) {
      case 1: count_reads<1, kGroups>(*reads, x, block, count); break;
      case 2: count_reads<2, kGroups>(*reads, x, block, count); break;
      case 3: count_reads<3, kGroups>(*reads, x, block, count); break;
      case 4: count_reads<4, kGroups>(*reads, x, block, count); break;
      case 5: count_reads<5, kGroups>(*reads, x, block, count); break;
      case 6: count_reads<6, kGroups>(*reads, x, block, count); break;
      case 7: count_reads<7, kGroups>(*reads, x, block, count); break;
      case 8: count_reads<8, kGroups>(*reads, x, block, count); break;
      case 9: count_reads<9, kGroups>(*reads, x, block, count); break;
      case 10: count_reads<10, kGroups>(*reads, x, block, count); break;
      case 11: count_reads<11, kGroups>(*reads, x, block, count); break;
      case 12: count_reads<12, kGroups>(*reads, x, block, count); break;
      case 13: count_reads<13, kGroups>(*reads, x, block, count); break;
      case 14: count_reads<14, kGroups>(*reads, x, block, count); break;
      default: count_reads<15, kGroups>(*reads, x, block, count); break;
    }
  }
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kStrip; ++r) {
    if (r < strips.pixel_count) {
      write_pixel<kGroups>(strips.thresholds[r] + first_channel, count + r, y + r * strips.y_pixel);
    }
  }
}

// One thread's strips for kGroups groups of channels that start at `group`.
template <std::size_t kGroups>
void visit_strips(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part, std::size_t group) {
  const BlockWeights block(layer, group);
  const std::size_t shift = window.shift == nullptr ? 0 : window.shift[group];
  for (const Strips* strips = window.strips; strips != window.strips + window.strips_count; ++strips) {
    const std::size_t begin = strips->count * part.part / part.parts, end = strips->count * (part.part + 1) / part.parts;
    for (std::size_t sample = 0; sample < maps.count; ++sample) {
      const std::byte* x = maps.x + sample * maps.x_row + shift;
      std::byte* y = maps.y + sample * maps.y_row + 2 * group;
      for (std::size_t n = begin; n < end; ++n) {
        count_strip<kGroups>(*strips, block, x + strips->starts[n], y + strips->y[n], group * kGroup);
      }
    }
  }
}

void binary_convolution(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  std::size_t group = part.groups.begin;
  for (; window.shift == nullptr && group + kBlock <= part.groups.end; group += kBlock) {
    visit_strips<kBlock>(layer, window, maps, part, group);
  }
  for (; group < part.groups.end; ++group) visit_strips<1>(layer, window, maps, part, group);
}

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

template <std::size_t kX, std::size_t kW>
void fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) {
  constexpr std::size_t kPairs = kX * kW, kRows = rows_of_tile(kPairs);
  std::size_t row = 0;
  if (rows.count >= kRows) row = sweep<kX, kW, kRows, groups_of_tile(kPairs)>(layer, rows, row, groups);
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

void encode(const Encoder& encoder, const Rows& rows) {
  for (std::size_t row = 0; row < rows.count; ++row) {
    const std::byte* x = rows.x + row * rows.x_row;
    std::byte* y = rows.y + row * rows.y_row;
    switch (encoder.bits) {
      case 1: encode_row<1>(encoder, x, y, rows.y_plane); break;
      case 2: encode_row<2>(encoder, x, y, rows.y_plane); break;
      case 3: encode_row<3>(encoder, x, y, rows.y_plane); break;
      case 4: encode_row<4>(encoder, x, y, rows.y_plane); break;
      default: encoder.grid ? encode_grid(encoder, x, y) : encode_many_ranks(encoder, x, y); break;
    }
  }
}

void encode_affine(const AffineEncoder& encoder, const Rows& rows) {
  const __m512d scale = _mm512_set1_pd(encoder.scale), zero = _mm512_set1_pd(encoder.zero);
  const __m512d top = _mm512_set1_pd(encoder.top);
  for (std::size_t row = 0; row < rows.count; ++row) {
    for (std::size_t first = 0; first < encoder.features; first += 8) {
      const std::size_t left = encoder.features - first;
      const auto valid = static_cast<__mmask8>(first_lanes(left < 8 ? left : 8));
      const __m256 x = _mm256_maskz_loadu_ps(valid, rows.x + row * rows.x_row + 4 * first);
      const __m512d ratio = _mm512_div_pd(_mm512_cvtps_pd(x), scale);
      const __m512d code =
          _mm512_add_pd(_mm512_roundscale_pd(ratio, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), zero);
      // max returns its second operand for a NaN, so it becomes code 0 on every level.
      const __m512d clipped = _mm512_min_pd(_mm512_max_pd(code, _mm512_setzero_pd()), top);
      const __m256i bytes = _mm512_cvtpd_epi32(clipped);
      _mm256_mask_cvtepi32_storeu_epi8(rows.y + row * rows.y_row + first, valid, bytes);
    }
  }
}

// The high half of a byte says which sixteen entries, the low half which of them.
void look_up(const std::uint8_t* table, const std::uint8_t* x, std::uint8_t* y, std::size_t count) {
  constexpr std::size_t kPart = 16, kBytes = 64;
  __m512i parts[kPart];
  for (std::size_t n = 0; n < kPart; ++n) {
    const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table + n * kPart));
    parts[n] = _mm512_maskz_broadcast_i32x4(0xffff, part);  // unmasked, gcc 12 calls its own operand uninitialized
  }
  const __m512i low = _mm512_set1_epi8(kPart - 1);
  for (std::size_t first = 0; first < count; first += kBytes) {
    const std::size_t left = count - first;
    const __mmask64 valid = left >= kBytes ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    const __m512i code = _mm512_maskz_loadu_epi8(valid, x + first);
    const __m512i entry = _mm512_and_si512(code, low);
    const __m512i part = _mm512_and_si512(_mm512_srli_epi16(code, 4), low);
    __m512i found = _mm512_shuffle_epi8(parts[0], entry);
#pragma GCC unroll 16
    for (std::size_t n = 1; n < kPart; ++n) {
      const __mmask64 here = _mm512_cmpeq_epi8_mask(part, _mm512_set1_epi8(static_cast<char>(n)));
      found = _mm512_mask_shuffle_epi8(found, here, parts[n], entry);
    }
    _mm512_mask_storeu_epi8(y + first, valid, found);
  }
}

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

}  // namespace lowbit::avx512_vpopcntdq

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
