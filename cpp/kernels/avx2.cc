// AVX2: two vectors of eight channels make a group. There is no popcount instruction: nibbles are looked up with
// pshufb and counted in bytes for as long as those cannot overflow.
#include <immintrin.h>

#include <limits>
#include <type_traits>

#include "spots.h"

namespace lowbit::avx2 {
namespace {

#include "window.inl"

#include "vectors.inl"

#include "ending.inl"

#include "finish.inl"

#include "depthwise.inl"

#include "plane_tables.inl"

#include "encode.inl"

inline __m256i load(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }

inline Group group_of(__m256i low, __m256i high) { return {{reinterpret_cast<Integers>(low), reinterpret_cast<Integers>(high)}}; }

// Bits in each byte.
inline __m256i count_bytes(__m256i bits) {
  const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i low = _mm256_shuffle_epi8(counts, _mm256_and_si256(bits, nibble));
  const __m256i high = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(bits, 4), nibble));
  return _mm256_add_epi8(low, high);
}

// Four unsigned bytes of each lane, summed.
inline __m256i sum_of_bytes(__m256i bytes) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
}

// Adds the negated counts of input planes kX with one weight plane, for one group of channels and one run. A byte
// holds the counts of 31 words: 31 * 8 < 256.
template <std::size_t kX>
void count_run(const std::byte* x, std::size_t x_plane, const std::uint32_t* w, std::size_t step, std::size_t words,
               Group* count) {
  for (std::size_t k = 0; k < words;) {
    const std::size_t end = k + 31 < words ? k + 31 : words;
    __m256i low[kX], high[kX];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < kX; ++i) low[i] = high[i] = _mm256_setzero_si256();
    for (; k < end; ++k, w += step) {
      const __m256i w_low = load(w), w_high = load(w + 8);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kX; ++i) {
        std::int32_t word;
        __builtin_memcpy(&word, x + i * x_plane + 4 * k, sizeof word);
        const __m256i input = _mm256_set1_epi32(word);
        low[i] = _mm256_add_epi8(low[i], count_bytes(_mm256_xor_si256(input, w_low)));
        high[i] = _mm256_add_epi8(high[i], count_bytes(_mm256_xor_si256(input, w_high)));
      }
    }
#pragma GCC unroll 4
    for (std::size_t i = 0; i < kX; ++i) {
      count[i] = count[i] - group_of(sum_of_bytes(low[i]), sum_of_bytes(high[i]));
    }
  }
}

template <std::size_t kX>
[[gnu::noinline]] void plane_spot(const PlaneLayer& layer, const Task& task, const Spot& spot, std::size_t group) {
  const std::size_t step = layer.weight_planes * kGroup;
  const auto* weights = static_cast<const std::uint32_t*>(layer.weights) + group * layer.words * step;
  const std::int32_t* factor = layer.weight_factor + group * step;
  Group acc = constants(*task.epilogue, spot.sum, group);
  for (unsigned j = 0; j < layer.weight_planes; ++j) {
    Group count[kX];
    for (std::size_t i = 0; i < kX; ++i) count[i] = same(0);
    for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
      const std::uint32_t* w = weights + j * kGroup + run->weight * step;
      count_run<kX>(spot.x + run->x, task.x_plane, w, step, run->length, count);
    }
    Group sum = count[0] * same(layer.input_factor[0]);
    for (std::size_t i = 1; i < kX; ++i) sum = sum + count[i] * same(layer.input_factor[i]);
    acc = acc + sum * load_group(factor + j * kGroup);
  }
  finish(*task.epilogue, &acc, {group, 1, &spot, task.y_plane});
}

template <std::size_t kX>
void convolution(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; ++group) {
    visit_regions<1>(window, maps, part, group, [&]<std::size_t>(const Task& task, const Spot* spot) {
      plane_spot<kX>(layer, task, *spot, group);
    });
  }
}

inline __m256i broadcast_quad(const std::byte* at) {
  std::int32_t quad;
  __builtin_memcpy(&quad, at, sizeof quad);
  return _mm256_set1_epi32(quad);
}

// Exact for any bytes: both sides are widened to 16 bits before they are multiplied.
inline __m256i dot_wide(__m256i sum, __m256i x, __m256i w) {
  const __m256i x_even = _mm256_and_si256(x, _mm256_set1_epi16(255)), x_odd = _mm256_srli_epi16(x, 8);
  const __m256i w_even = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8), w_odd = _mm256_srai_epi16(w, 8);
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x_even, w_even));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(x_odd, w_odd));
}

// Two quads. maddubs adds two products in 16 bits and saturates: for layers where four products always fit.
inline __m256i dot_narrow(__m256i sum, __m256i x0, __m256i w0, __m256i x1, __m256i w1) {
  const __m256i fours = _mm256_add_epi16(_mm256_maddubs_epi16(x0, w0), _mm256_maddubs_epi16(x1, w1));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(fours, _mm256_set1_epi16(1)));
}

template <std::size_t kRows, bool kNarrow>
[[gnu::noinline]] void byte_tile(const ByteLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  const std::int8_t* weights = layer.weights + group * layer.quads * kGroup * 4;
  __m256i low[kRows], high[kRows];  // not Groups: those would live in memory
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) low[r] = high[r] = _mm256_setzero_si256();
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::int8_t* w = weights + run->weight * kGroup * 4;
    std::size_t k = 0;
    for (; k + 2 <= run->length; k += 2, w += 2 * kGroup * 4) {
      const __m256i low0 = load(w), high0 = load(w + 32), low1 = load(w + 64), high1 = load(w + 96);
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kRows; ++r) {
        const std::byte* at = spots[r].x + run->x + 4 * k;
        const __m256i x0 = broadcast_quad(at), x1 = broadcast_quad(at + 4);
        if (kNarrow) {
          low[r] = dot_narrow(low[r], x0, low0, x1, low1);
          high[r] = dot_narrow(high[r], x0, high0, x1, high1);
        } else {
          low[r] = dot_wide(dot_wide(low[r], x0, low0), x1, low1);
          high[r] = dot_wide(dot_wide(high[r], x0, high0), x1, high1);
        }
      }
    }
    if (k == run->length) continue;
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m256i last = broadcast_quad(spots[r].x + run->x + 4 * k);
      low[r] = dot_wide(low[r], last, load(w)), high[r] = dot_wide(high[r], last, load(w + 32));
    }
  }
  Group acc[kRows];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) acc[r] = group_of(low[r], high[r]) + constants(*task.epilogue, spots[r].sum, group);
  finish(*task.epilogue, acc, {group, kRows, spots, task.y_plane});
}

template <std::size_t kRows, bool kNarrow>
std::size_t sweep_bytes(const ByteLayer& layer, const Task& task, const Rows& rows, std::size_t row,
                        std::size_t group) {
  return visit_rows<kRows>(task, rows, row, [&]<std::size_t>(const Task& all, const Spot* spots) {
    byte_tile<kRows, kNarrow>(layer, all, spots, group);
  });
}

template <bool kNarrow>
void sum_bytes(const ByteLayer& layer, const Rows& rows, Groups groups) {
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.quads)};
  const Task task{&whole, 1, &layer.epilogue, rows.x_plane, rows.y_plane};
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    const std::size_t row = sweep_bytes<4, kNarrow>(layer, task, rows, 0, group);
    sweep_bytes<1, kNarrow>(layer, task, rows, row, group);
  }
}

template <bool kNarrow>
void convolve_bytes(const ByteLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; ++group) {
    visit_regions<4>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      byte_tile<kSpots, kNarrow>(layer, task, spots, group);
    });
  }
}

constexpr std::size_t kParts = 2;
using Sums = __m256i;
using Pair = __m256i;

inline Pair spread(std::int32_t pair) { return _mm256_set1_epi32(pair); }
inline void dot(Sums& sum, Pair x, const std::int16_t* w) { sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, load(w))); }
inline Sums load_sums(const std::int32_t* at) { return load(at); }
inline void store_sums(std::int32_t* at, Sums sum) { _mm256_store_si256(reinterpret_cast<__m256i*>(at), sum); }

#include "word_layers.inl"

inline __m256 load_values(const std::byte* x, std::size_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i valid = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count < 8 ? count : 8)), lane);
  return _mm256_maskload_ps(reinterpret_cast<const float*>(x), valid);
}

}  // namespace

bool holds_nan(const float* x, std::size_t count) {
  __m256 found = _mm256_setzero_ps();
  std::size_t n = 0;
  for (; n + 16 <= count; n += 16) {
    found = _mm256_or_ps(found, _mm256_cmp_ps(_mm256_loadu_ps(x + n), _mm256_loadu_ps(x + n + 8), _CMP_UNORD_Q));
  }
  for (; n < count; n += 8) {
    const __m256 rest = load_values(reinterpret_cast<const std::byte*>(x + n), count - n);
    found = _mm256_or_ps(found, _mm256_cmp_ps(rest, rest, _CMP_UNORD_Q));
  }
  return _mm256_movemask_ps(found) != 0;
}

void plane_fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) { table_fully_connected(layer, rows, groups); }

void byte_fully_connected(const ByteLayer& layer, const Rows& rows, Groups groups) {
  layer.fours_fit ? sum_bytes<true>(layer, rows, groups) : sum_bytes<false>(layer, rows, groups);
}

void plane_convolution(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  switch (layer.input_planes) {
    case 1: return convolution<1>(layer, window, maps, part);
    case 2: return convolution<2>(layer, window, maps, part);
    case 3: return convolution<3>(layer, window, maps, part);
    default: return convolution<4>(layer, window, maps, part);
  }
}

void byte_convolution(const ByteLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  layer.fours_fit ? convolve_bytes<true>(layer, window, maps, part) : convolve_bytes<false>(layer, window, maps, part);
}

void byte_depthwise(const DepthwiseLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  depthwise(layer, window, maps, part);
}

void word_fully_connected(const WordLayer& layer, const Rows& rows, Groups groups) {
  word_rows<4>(layer, rows, groups);
}

void word_convolution(const WordLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  word_maps<4, 1>(layer, window, maps, part);
}

std::uint64_t popcount_peak(std::uint64_t repeats) {
  const __m256i w = _mm256_set1_epi32(0x55aa55aa);
  return peak<8, __m256i>(repeats, 256, _mm256_set1_epi32(static_cast<int>(repeats)),
                          [&](__m256i count, __m256i x) { return _mm256_add_epi8(count, count_bytes(_mm256_xor_si256(x, w))); });
}

std::uint64_t dot_peak(std::uint64_t repeats) {
  // Operands are widened before.
  return peak<8, __m256i>(repeats, 16, _mm256_set1_epi32(static_cast<int>(repeats)),
                          [](__m256i sum, __m256i x) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, x)); });
}

// Sums and products in one instruction, which the level itself does not ask for.
__attribute__((target("avx2,fma"))) std::uint64_t float_peak(std::uint64_t repeats) {
  constexpr std::size_t kChains = 12;
  if (!__builtin_cpu_supports("fma")) return 0;
  __m256 sum[kChains], x = _mm256_set1_ps(static_cast<float>(repeats));
#pragma GCC unroll 12
  for (std::size_t i = 0; i < kChains; ++i) sum[i] = _mm256_setzero_ps();
  for (std::uint64_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 12
    for (std::size_t i = 0; i < kChains; ++i) {
      asm volatile("" : "+x"(x));
      sum[i] = _mm256_fmadd_ps(x, x, sum[i]);
    }
  }
#pragma GCC unroll 12
  for (std::size_t i = 0; i < kChains; ++i) asm volatile("" ::"x"(sum[i]));
  return repeats * kChains * 8;
}

void read_all(const std::byte* at, std::size_t bytes) { read_vectors(at, bytes); }

}  // namespace lowbit::avx2

namespace lowbit::avx2 {
namespace {

// A permutation reaches eight numbers: both halves of a table, chosen by the highest of the four bits.
inline __m256 look_up_eight(__m256i word, int q, __m256 low, __m256 high) {
  const __m256i index = _mm256_srli_epi32(word, 4 * q);
  const __m256 choose = _mm256_castsi256_ps(_mm256_slli_epi32(word, 28 - 4 * q));
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index), choose);
}

template <std::size_t kGroups>
void sum_tables(const std::uint32_t* w, std::size_t step, std::size_t words, const float* tables, float* sums) {
  __m256 sum[2 * kGroups];
#pragma GCC unroll 16
  for (std::size_t n = 0; n < 2 * kGroups; ++n) sum[n] = _mm256_setzero_ps();
  for (std::size_t k = 0; k < words; ++k, w += kGroup, tables += 8 * 16) {
#pragma GCC unroll 8
    for (int q = 0; q < 8; ++q) {
      const __m256 low = _mm256_load_ps(tables + q * 16), high = _mm256_load_ps(tables + q * 16 + 8);
#pragma GCC unroll 16
      for (std::size_t n = 0; n < 2 * kGroups; ++n) {
        sum[n] = _mm256_add_ps(sum[n], look_up_eight(load(w + n / 2 * step + n % 2 * 8), q, low, high));
      }
    }
  }
#pragma GCC unroll 16
  for (std::size_t n = 0; n < 2 * kGroups; ++n) _mm256_store_ps(sums + n * 8, sum[n]);
}

}  // namespace
}  // namespace lowbit::avx2

#define LOWBIT_NAMESPACE avx2
#include "functions.inl"
#include "float_elements.inl"
#include "float_layers.inl"
#include "float_tables.inl"
#include "weight_only.inl"
#include "weight_groups.inl"
#include "avx2_weight_groups.inl"
#include "round_words.inl"
#include "word_elements.inl"

namespace lowbit::avx2 {
namespace {

// table[#{x > thresholds}] of 32 words, in bytes, for tables of bytes.
inline __m256i rank_bytes(const WordRanker& ranker, const std::int16_t* x) {
  __m256i low = _mm256_setzero_si256(), high = low;
  const __m256i first = load(x), second = load(x + 16);
  for (std::size_t c = 0; c < ranker.steps; ++c) {
    const __m256i threshold = _mm256_set1_epi16(ranker.thresholds[c]);
    low = _mm256_sub_epi16(low, _mm256_cmpgt_epi16(first, threshold));
    high = _mm256_sub_epi16(high, _mm256_cmpgt_epi16(second, threshold));
  }
  return _mm256_permute4x64_epi64(_mm256_packus_epi16(low, high), 0xd8);
}

inline __m256i table_of(const WordRanker& ranker, unsigned half) {
  alignas(16) std::uint8_t bytes[16];
  for (std::size_t n = 0; n < 16; ++n) bytes[n] = static_cast<std::uint8_t>(ranker.table[n] >> (8 * half));
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(bytes)));
}

}  // namespace

void add_words(const WordAdder& adder, const std::int16_t* a, const std::int16_t* b, std::int16_t* y, std::size_t count) {
  constexpr std::size_t kWords = 16;
  if (adder.right != 0 || adder.left != 0) return add_shifted(adder, a, b, y, count);
  const __m256i low = _mm256_set1_epi16(static_cast<std::int16_t>(adder.low)), high = _mm256_set1_epi16(static_cast<std::int16_t>(adder.high));
  std::size_t n = 0;
  for (; n + kWords <= count; n += kWords) {
    const __m256i sum = _mm256_adds_epi16(load(a + n), load(b + n));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + n), _mm256_min_epi16(_mm256_max_epi16(sum, low), high));
  }
  add_shifted(adder, a + n, b + n, y + n, count - n);
}

void rank_words(const WordRanker& ranker, const Rows& rows) {
  constexpr std::size_t kPiece = 32;
  const __m256i lower = table_of(ranker, 0), upper = table_of(ranker, 1);
  for (std::size_t row = 0; row < rows.count; ++row) {
    const auto* x = reinterpret_cast<const std::int16_t*>(rows.x + row * rows.x_row);
    std::byte* y = rows.y + row * rows.y_row;
    for (std::size_t first = 0; first < ranker.features; first += kPiece) {
      const std::size_t left = ranker.features - first, count = left < kPiece ? left : kPiece;
      alignas(32) std::int16_t rest[kPiece] = {};
      if (count < kPiece) __builtin_memcpy(rest, x + first, count * sizeof *x);
      const __m256i rank = rank_bytes(ranker, count < kPiece ? rest : x + first);
      const __m256i entry = _mm256_shuffle_epi8(lower, rank);
      if (ranker.form == Form::planes) {
        const std::uint32_t valid = count < kPiece ? (1u << count) - 1 : ~0u;
        for (unsigned bit = 0; bit < ranker.bits; ++bit) {
          const __m256i top = _mm256_sll_epi16(entry, _mm_cvtsi32_si128(static_cast<int>(7 - bit)));
          const std::uint32_t piece = static_cast<std::uint32_t>(_mm256_movemask_epi8(top)) & valid;
          __builtin_memcpy(y + bit * rows.y_plane + first / 8, &piece, sizeof piece);
        }
      } else if (ranker.form == Form::bytes) {
        alignas(32) std::byte bytes[kPiece];
        _mm256_store_si256(reinterpret_cast<__m256i*>(bytes), entry);
        __builtin_memcpy(y + first, bytes, count);
      } else {
        const __m256i high = _mm256_shuffle_epi8(upper, rank);
        const __m256i even = _mm256_unpacklo_epi8(entry, high), odd = _mm256_unpackhi_epi8(entry, high);
        alignas(32) std::int16_t words[kPiece];
        _mm256_store_si256(reinterpret_cast<__m256i*>(words), _mm256_permute2x128_si256(even, odd, 0x20));
        _mm256_store_si256(reinterpret_cast<__m256i*>(words + 16), _mm256_permute2x128_si256(even, odd, 0x31));
        __builtin_memcpy(y + 2 * first, words, count * sizeof *words);
      }
    }
  }
}

}  // namespace lowbit::avx2
