// AVX2: two vectors of eight channels make a group. There is no popcount instruction: nibbles are looked up with
// pshufb and counted in bytes for as long as those cannot overflow.
#include <immintrin.h>

#include <limits>
#include <type_traits>

#include "../core/kernel.h"

namespace lowbit::avx2 {
namespace {

#include "window.inl"

#include "ending.inl"

// Sixteen int32: one group of channels.
struct Group {
  __m256i low, high;
};

inline __m256i load(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }

inline Group load_group(const std::int32_t* at) { return {load(at), load(at + 8)}; }

inline Group add(Group a, Group b) { return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }

inline Group multiply(Group a, Group b) {
  return {_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
}

inline Group same(std::int32_t value) { return {_mm256_set1_epi32(value), _mm256_set1_epi32(value)}; }

// table[rank] in each 32-bit lane, for up to 16 ranks.
inline __m256i look_up(const std::uint8_t* table, __m256i rank) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm256_and_si256(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), rank), _mm256_set1_epi32(255));
}

inline unsigned bit_of_lanes(__m256i value, unsigned bit) {
  const __m256i shifted = _mm256_sll_epi32(value, _mm_cvtsi32_si128(static_cast<int>(31 - bit)));
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(shifted)));
}

inline void write_planes(Group code, std::size_t count, unsigned bits, std::byte* y, std::size_t y_plane) {
  const unsigned valid = count >= kGroup ? 0xffffu : (1u << count) - 1u;
  for (unsigned bit = 0; bit < bits; ++bit) {
    const unsigned ones = bit_of_lanes(code.low, bit) | bit_of_lanes(code.high, bit) << 8;
    const auto piece = static_cast<std::uint16_t>(ones & valid);
    __builtin_memcpy(y + bit * y_plane, &piece, sizeof piece);
  }
}

inline void write_bytes(Group value, std::size_t count, std::byte* y) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(value.low, value.high), 0xd8);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  if (count >= kGroup) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), bytes);
    return;
  }
  alignas(16) std::byte all[kGroup];
  _mm_store_si128(reinterpret_cast<__m128i*>(all), bytes);
  __builtin_memcpy(y, all, count);
}

// Ranks -> codes. Beyond four bits they are looked up one by one.
inline Group look_up(const std::uint8_t* table, unsigned bits, Group rank) {
  if (bits <= kMaxPlanes) return {look_up(table, rank.low), look_up(table, rank.high)};
  alignas(32) std::int32_t all[kGroup];
  _mm256_store_si256(reinterpret_cast<__m256i*>(all), rank.low);
  _mm256_store_si256(reinterpret_cast<__m256i*>(all + 8), rank.high);
  for (std::int32_t& value : all) value = table[value];
  return load_group(all);
}

inline Group rank_of(const Epilogue& e, Group acc, std::size_t group) {
  const std::size_t levels = (std::size_t{1} << e.bits) - 1;
  const std::int32_t* threshold = e.thresholds + group * levels * kGroup;
  Group rank = same(0);
  for (std::size_t c = 0; c < levels; ++c, threshold += kGroup) {
    const Group t = load_group(threshold);
    rank.low = _mm256_sub_epi32(rank.low, _mm256_cmpgt_epi32(acc.low, t.low));
    rank.high = _mm256_sub_epi32(rank.high, _mm256_cmpgt_epi32(acc.high, t.high));
  }
  return rank;
}

// scale * acc for four channels.
inline __m256d scaled(const Epilogue& e, __m128i acc, std::size_t channel) {
  return _mm256_mul_pd(_mm256_loadu_pd(e.scale + channel), _mm256_cvtepi32_pd(acc));
}

inline __m128i requantize(const Epilogue& e, __m128i acc, std::size_t channel) {
  const __m256d ratio = _mm256_div_pd(scaled(e, acc, channel), _mm256_set1_pd(e.out_scale));
  const __m256d rounded = _mm256_round_pd(ratio, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256d code = _mm256_add_pd(rounded, _mm256_set1_pd(e.out_zero));
  const __m256d clipped = _mm256_min_pd(_mm256_max_pd(code, _mm256_setzero_pd()), _mm256_set1_pd(e.out_top));
  return _mm256_cvtpd_epi32(clipped);
}

inline __m256i requantize(const Epilogue& e, __m256i acc, std::size_t channel) {
  const __m128i low = requantize(e, _mm256_castsi256_si128(acc), channel);
  return _mm256_setr_m128i(low, requantize(e, _mm256_extracti128_si256(acc, 1), channel + 4));
}

inline void write_reals(const Epilogue& e, Group acc, std::size_t first, std::size_t count, std::byte* y) {
  alignas(32) std::int32_t integers[kGroup];
  alignas(32) float reals[kGroup];
  _mm256_store_si256(reinterpret_cast<__m256i*>(integers), acc.low);
  _mm256_store_si256(reinterpret_cast<__m256i*>(integers + 8), acc.high);
  for (std::size_t n = 0; n < kGroup; n += 4) {
    const __m128i four = _mm_load_si128(reinterpret_cast<const __m128i*>(integers + n));
    const __m256d bias = e.bias == nullptr ? _mm256_setzero_pd() : _mm256_loadu_pd(e.bias + first + n);
    const __m256d real = _mm256_add_pd(scaled(e, four, first + n), bias);
    _mm_store_ps(reals + n, _mm256_cvtpd_ps(real));
  }
  __builtin_memcpy(y, reals, sizeof(float) * (count < kGroup ? count : kGroup));
}

// From the accumulators of one group of channels to its outputs in the row at `y`.
void finish(const Epilogue& e, Group acc, std::size_t group, std::byte* y, std::size_t y_plane) {
  const std::size_t first = group * kGroup, count = e.channels - first;
  switch (e.output) {
    case Output::planes: {
      const Group rank = rank_of(e, acc, group);
      const Group code = e.rank_is_code ? rank : look_up(e.table, e.bits, rank);
      write_planes(code, count, e.bits, y + 2 * group, y_plane);
      break;
    }
    case Output::bytes: {
      write_bytes(look_up(e.table, e.bits, rank_of(e, acc, group)), count, y + first);
      break;
    }
    case Output::affine:
      write_bytes({requantize(e, acc.low, first), requantize(e, acc.high, first + 8)}, count, y + first);
      break;
    case Output::real:
      write_reals(e, acc, first, count, y + 4 * first);
      break;
    case Output::other: {
      alignas(32) std::int32_t lanes[kGroup];
      _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), acc.low);
      _mm256_store_si256(reinterpret_cast<__m256i*>(lanes + 8), acc.high);
      end_lanes(*e.ending, lanes, group, y, y_plane);
      break;
    }
  }
}

// constant + row_factor * row_sum.
inline Group constants(const Epilogue& e, std::int32_t sum, std::size_t group) {
  const Group constant = load_group(e.constant + group * kGroup);
  if (e.row_factor == nullptr) return constant;
  return add(constant, multiply(load_group(e.row_factor + group * kGroup), same(sum)));
}

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
    for (std::size_t i = 0; i < kX; ++i) {
      count[i].low = _mm256_sub_epi32(count[i].low, sum_of_bytes(low[i]));
      count[i].high = _mm256_sub_epi32(count[i].high, sum_of_bytes(high[i]));
    }
  }
}

template <std::size_t kX>
void plane_spot(const PlaneLayer& layer, const Task& task, const Spot& spot, std::size_t group) {
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
    Group sum = multiply(count[0], same(layer.input_factor[0]));
    for (std::size_t i = 1; i < kX; ++i) sum = add(sum, multiply(count[i], same(layer.input_factor[i])));
    acc = add(acc, multiply(sum, load_group(factor + j * kGroup)));
  }
  finish(*task.epilogue, acc, group, spot.y, task.y_plane);
}

template <std::size_t kX>
void fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) {
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.words)};
  const Task task{&whole, 1, &layer.epilogue, rows.x_plane, rows.y_plane};
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    for (std::size_t row = 0; row < rows.count; ++row) {
      Spot spot;
      spots_of_rows<1>(rows, row, &spot);
      plane_spot<kX>(layer, task, spot, group);
    }
  }
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
void byte_tile(const ByteLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
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
    for (std::size_t r = 0; k < run->length && r < kRows; ++r) {
      const __m256i last = broadcast_quad(spots[r].x + run->x + 4 * k);
      low[r] = dot_wide(low[r], last, load(w)), high[r] = dot_wide(high[r], last, load(w + 32));
    }
  }
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) {
    const Group acc = add({low[r], high[r]}, constants(*task.epilogue, spots[r].sum, group));
    finish(*task.epilogue, acc, group, spots[r].y, task.y_plane);
  }
}

template <std::size_t kRows, bool kNarrow>
std::size_t sweep_bytes(const ByteLayer& layer, const Task& task, const Rows& rows, std::size_t row,
                        std::size_t group) {
  Spot spots[kRows];
  for (; row + kRows <= rows.count; row += kRows) {
    spots_of_rows<kRows>(rows, row, spots);
    byte_tile<kRows, kNarrow>(layer, task, spots, group);
  }
  return row;
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

inline bool end_quickly(const Ending&, const Sums*, std::size_t, std::byte*) { return false; }

#include "word_layers.inl"

// Ranks of eight values; the last block of a row reads only what is there.
inline __m256i rank_values(const Encoder& encoder, __m256 value) {
  __m256i rank = _mm256_setzero_si256();
  for (unsigned c = 0; c + 1 < (1u << encoder.bits); ++c) {
    const __m256 above = _mm256_cmp_ps(value, _mm256_set1_ps(encoder.thresholds[c]), _CMP_GT_OQ);
    rank = _mm256_sub_epi32(rank, _mm256_castps_si256(above));
  }
  return rank;
}

// The same where a rounded quotient gives them; max returns its second operand for a NaN.
inline __m256i rank_quotients(const Encoder& encoder, __m256 value) {
  const __m256 top = _mm256_set1_ps(static_cast<float>((1u << encoder.bits) - 1));
  const __m256 quotient = _mm256_div_ps(value, _mm256_set1_ps(encoder.divisor));
  const __m256 rounded = _mm256_round_ps(quotient, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256 rank = _mm256_add_ps(rounded, _mm256_set1_ps(encoder.offset));
  return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(rank, _mm256_setzero_ps()), top));
}

inline __m256i ranks_of(const Encoder& encoder, __m256 value) {
  return encoder.divisor != 0 ? rank_quotients(encoder, value) : rank_values(encoder, value);
}

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

bool encode(const Encoder& encoder, const Rows& rows) {
  __m256 nan = _mm256_setzero_ps();
  for (std::size_t row = 0; row < rows.count; ++row) {
    const std::byte* x = rows.x + row * rows.x_row;
    std::byte* y = rows.y + row * rows.y_row;
    for (std::size_t first = 0; first < encoder.features; first += kGroup) {
      const std::size_t count = encoder.features - first;
      const std::byte* at = x + 4 * first;
      const __m256 low = load_values(at, count);
      const __m256 high = count > 8 ? load_values(at + 32, count - 8) : _mm256_setzero_ps();
      nan = _mm256_or_ps(nan, _mm256_cmp_ps(low, high, _CMP_UNORD_Q));
      const Group rank{ranks_of(encoder, low), ranks_of(encoder, high)};
      const Group code = encoder.rank_is_code ? rank : look_up(encoder.table, encoder.bits, rank);
      if (encoder.output == Output::planes) {
        write_planes(code, count, encoder.bits, y + first / 8, rows.y_plane);
      } else {
        write_bytes(code, count, y + first);
      }
    }
  }
  return _mm256_movemask_ps(nan) != 0;
}

void plane_fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) {
  switch (layer.input_planes) {
    case 1: return fully_connected<1>(layer, rows, groups);
    case 2: return fully_connected<2>(layer, rows, groups);
    case 3: return fully_connected<3>(layer, rows, groups);
    default: return fully_connected<4>(layer, rows, groups);
  }
}

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

void word_fully_connected(const WordLayer& layer, const Rows& rows, Groups groups) {
  word_rows<4>(layer, rows, groups);
}

void word_convolution(const WordLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  word_maps<4, 1>(layer, window, maps, part);
}

std::uint64_t popcount_peak(std::uint64_t repeats) {
  constexpr std::size_t kChains = 8;
  __m256i count[kChains], x = _mm256_set1_epi32(static_cast<int>(repeats));
  for (std::size_t i = 0; i < kChains; ++i) count[i] = _mm256_setzero_si256();
  const __m256i w = _mm256_set1_epi32(0x55aa55aa);
  for (std::uint64_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kChains; ++i) {
      asm volatile("" : "+x"(x));  // a new operand each time, as far as the compiler knows
      count[i] = _mm256_add_epi8(count[i], count_bytes(_mm256_xor_si256(x, w)));
    }
  }
  for (std::size_t i = 0; i < kChains; ++i) asm volatile("" ::"x"(count[i]));
  return repeats * kChains * 256;
}

std::uint64_t dot_peak(std::uint64_t repeats) {
  constexpr std::size_t kChains = 8;
  __m256i sum[kChains], x = _mm256_set1_epi32(static_cast<int>(repeats));
  for (std::size_t i = 0; i < kChains; ++i) sum[i] = _mm256_setzero_si256();
  for (std::uint64_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kChains; ++i) {
      asm volatile("" : "+x"(x));  // a new operand each time, as far as the compiler knows
      sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(x, x));  // operands widened before
    }
  }
  for (std::size_t i = 0; i < kChains; ++i) asm volatile("" ::"x"(sum[i]));
  return repeats * kChains * 16;
}

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
void look_up(const std::uint32_t* w, std::size_t step, std::size_t words, const float* tables, float* sums) {
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
#include "weight_only.inl"
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
