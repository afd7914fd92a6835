// AVX-512 with VPOPCNTDQ: sixteen channels in the lanes of a vector, so that counts stay in lanes and nothing is
// summed across. The limit is xor + popcount + subtract, three instructions for 512 binary multiply-adds; in pairs
// (PlaneLayer) xor + majority + popcount + subtract, four for 1024.
#include <immintrin.h>

#include <limits>
#include <type_traits>

#include "spots.h"

namespace lowbit::avx512_vpopcntdq {
namespace {

#include "window.inl"

#include "vectors.inl"

#include "ending.inl"

#define LOWBIT_ENDS_AS avx512_vnni
#include "finish.inl"

#include "encode.inl"

#include "avx512.inl"

#include "block_weights.inl"

#include "avx512_words.inl"

#include "avx512_tiles.inl"

#include "avx512_two_planes.inl"

#include "avx512_row.inl"

#include "avx512_strips.inl"

template <std::size_t kX>
void fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) {
  constexpr std::size_t kRows = rows_of_tile(kX);
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.words)};
  const Task task{&whole, 1, &layer.epilogue, rows.x_plane, rows.y_plane};
  std::size_t row = 0;
  if (kRows > 1 && rows.count >= kRows) row = sweep<kX, kRows>(layer, task, rows, row, groups);
  if (row + 1 == rows.count) return single_row<kX>(layer, task, rows, row, groups);
  if (row < rows.count) sweep<kX, 1>(layer, task, rows, row, groups);
}

}  // namespace

void plane_fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) {
  switch (layer.input_planes) {
    case 1: return fully_connected<1>(layer, rows, groups);
    case 2: return fully_connected<2>(layer, rows, groups);
    case 3: return fully_connected<3>(layer, rows, groups);
    default: return fully_connected<4>(layer, rows, groups);
  }
}

void plane_convolution(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  if (layer.binary) return binary_convolution(layer, window, maps, part);
  switch (layer.input_planes) {
    case 1: return convolution<1>(layer, window, maps, part);
    case 2: return layer.narrow_factor != nullptr ? two_planes(layer, window, maps, part) : convolution<2>(layer, window, maps, part);
    case 3: return convolution<3>(layer, window, maps, part);
    default: return convolution<4>(layer, window, maps, part);
  }
}

std::uint64_t popcount_peak(std::uint64_t repeats) {
  const __m512i w = _mm512_set1_epi32(0x55aa55aa);
  return peak<16, __m512i>(repeats, 512, _mm512_set1_epi32(static_cast<int>(repeats)), [&](__m512i count, __m512i x) {
    return _mm512_sub_epi32(count, _mm512_popcnt_epi32(_mm512_xor_si512(x, w)));
  });
}

std::uint64_t pairs_peak(std::uint64_t repeats) {
  __m512i count[4 * kBlock], weight[2 * kBlock];
  const std::uint64_t pair = repeats;
#pragma GCC unroll 16
  for (__m512i& each : count) each = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (__m512i& each : weight) each = _mm512_set1_epi32(static_cast<int>(repeats));
  for (std::uint64_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 4; ++i) {
      count_pair<kBlock, 1>(reinterpret_cast<const std::byte*>(&pair), weight, weight + kBlock, count + i * kBlock);
    }
  }
#pragma GCC unroll 16
  for (const __m512i& each : count) asm volatile("" ::"v"(each));
  return repeats * 4 * kBlock * 1024;
}

std::uint64_t float_peak(std::uint64_t repeats) {
  return peak<16, __m512>(repeats, 16, _mm512_set1_ps(static_cast<float>(repeats)),
                          [](__m512 sum, __m512 x) { return _mm512_fmadd_ps(x, x, sum); });
}

void read_all(const std::byte* at, std::size_t bytes) { read_vectors(at, bytes); }

}  // namespace lowbit::avx512_vpopcntdq

#include "avx512_encode.inl"

#define LOWBIT_NAMESPACE avx512_vpopcntdq
#include "functions.inl"
#include "float_elements.inl"
#include "float_layers.inl"
#include "avx512_byte_tables.inl"
#include "weight_only.inl"
#include "avx512_weight_dots.inl"
#include "round_words.inl"
#include "word_elements.inl"

#include "avx512_word_elements.inl"
