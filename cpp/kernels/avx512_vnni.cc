// AVX-512 with VNNI: unsigned by signed bytes, four at a time, summed exactly into int32 lanes.
#include <immintrin.h>

#include "../core/kernel.h"

namespace lowbit::avx512_vnni {
namespace {

#include "avx512.inl"

// kRows samples times kGroups groups of channels: all sums live in registers.
template <std::size_t kRows, std::size_t kGroups>
void tile(const ByteLayer& layer, const Rows& rows, std::size_t row, std::size_t group) {
  __m512i sum[kGroups * kRows];
  const std::byte* x[kRows];
  const std::size_t w_step = layer.quads * kGroup * 4;
  const std::int8_t* w = layer.weights + group * w_step;
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kGroups * kRows; ++n) sum[n] = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kRows; ++r) x[r] = rows.x + (row + r) * rows.x_row;
  for (std::size_t k = 0; k < layer.quads; ++k, w += kGroup * 4) {
    __m512i weight[kGroups];
#pragma GCC unroll 16
    for (std::size_t g = 0; g < kGroups; ++g) weight[g] = _mm512_load_si512(w + g * w_step);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kRows; ++r) {
      std::int32_t quad;
      __builtin_memcpy(&quad, x[r] + 4 * k, sizeof quad);
      const __m512i input = _mm512_set1_epi32(quad);
#pragma GCC unroll 16
      for (std::size_t g = 0; g < kGroups; ++g) {
        // As a statement of its own, so that gcc 12 sums in place instead of copying accumulators around.
        asm("vpdpbusd %2, %1, %0" : "+v"(sum[g * kRows + r]) : "v"(input), "v"(weight[g]));
      }
    }
  }
#pragma GCC unroll 16
  for (std::size_t g = 0; g < kGroups; ++g) {
    __m512i acc[kRows];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kRows; ++r) {
      acc[r] = _mm512_add_epi32(sum[g * kRows + r], constants(layer.epilogue, rows, row + r, group + g));
    }
    finish(layer.epilogue, acc, {group + g, kRows, rows.y + row * rows.y_row, rows.y_row, rows.y_plane});
  }
}

template <std::size_t kRows, std::size_t kGroups>
std::size_t sweep(const ByteLayer& layer, const Rows& rows, std::size_t row, Groups groups) {
  std::size_t group = groups.begin;
  for (; group + kGroups <= groups.end; group += kGroups) {
    for (std::size_t r = row; r + kRows <= rows.count; r += kRows) tile<kRows, kGroups>(layer, rows, r, group);
  }
  for (; group < groups.end; ++group) {
    for (std::size_t r = row; r + kRows <= rows.count; r += kRows) tile<kRows, 1>(layer, rows, r, group);
  }
  return row + (rows.count - row) / kRows * kRows;
}

}  // namespace

void byte_fully_connected(const ByteLayer& layer, const Rows& rows, Groups groups) {
  std::size_t row = 0;
  if (rows.count >= 4) row = sweep<4, 4>(layer, rows, row, groups);
  if (row < rows.count) sweep<1, 8>(layer, rows, row, groups);
}

std::uint64_t dot_peak(std::uint64_t repeats) {
  constexpr std::size_t kChains = 16;
  __m512i sum[kChains], x = _mm512_set1_epi32(static_cast<int>(repeats));
  for (std::size_t i = 0; i < kChains; ++i) sum[i] = _mm512_setzero_si512();
  for (std::uint64_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kChains; ++i) {
      asm volatile("" : "+v"(x));  // a new operand each time, as far as the compiler knows
      sum[i] = _mm512_dpbusd_epi32(sum[i], x, x);
    }
  }
  for (std::size_t i = 0; i < kChains; ++i) asm volatile("" ::"v"(sum[i]));
  return repeats * kChains * 64;
}

}  // namespace lowbit::avx512_vnni
