// AVX-512 with VNNI: unsigned by signed bytes, four at a time, summed exactly into int32 lanes.
#include <immintrin.h>

#include "spots.h"

namespace lowbit::avx512_vnni {
namespace {

#include "window.inl"

#include "vectors.inl"

#include "ending.inl"

#include "finish.inl"

#include "depthwise.inl"

#include "avx512.inl"

#include "avx512_lines.inl"

// Sums [groups][spots].
[[gnu::noinline]] void end_tile(const Task& task, Group* sum, const Spot* spots, std::size_t rows, Groups groups) {
  for (std::size_t group = groups.begin; group < groups.end; ++group, sum += rows) {
    for (std::size_t r = 0; r < rows; ++r) sum[r] = sum[r] + constants(*task.epilogue, spots[r].sum, group);
    finish(*task.epilogue, sum, {group, rows, spots, task.y_plane});
  }
}

#include "avx512_depthwise.inl"

// One threshold and one plane: straight from registers to bits.
template <std::size_t kRows, std::size_t kGroups>
inline void write_bits(const Epilogue& e, const Spot* spots, std::size_t group, const __m512i* sum) {
#pragma GCC unroll 16
  for (std::size_t g = 0; g < kGroups; ++g) {
    const std::size_t first = (group + g) * kGroup;
    const __m512i constant = _mm512_loadu_si512(e.constant + first);
    const __m512i threshold = _mm512_loadu_si512(e.thresholds + first);
    const __mmask16 valid = first_lanes(e.channels - first);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m512i acc = _mm512_add_epi32(sum[g * kRows + r], constant);
      const std::uint16_t piece = _mm512_mask_cmpgt_epi32_mask(valid, acc, threshold);
      __builtin_memcpy(spots[r].y + first / 8, &piece, sizeof piece);
    }
  }
}

// Adds one quad of every spot times the weights of every group, which lie at `w`.
template <std::size_t kRows, std::size_t kGroups>
inline void add_quad(const std::byte* const* x, std::size_t at, const __m512i* weight, __m512i* sum) {
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kRows; ++r) {
    std::int32_t quad;
    __builtin_memcpy(&quad, x[r] + at, sizeof quad);
    const __m512i input = _mm512_set1_epi32(quad);
#pragma GCC unroll 16
    for (std::size_t g = 0; g < kGroups; ++g) {
      // As a statement of its own, so that gcc 12 sums in place instead of copying accumulators around.
      asm("vpdpbusd %2, %1, %0" : "+v"(sum[g * kRows + r]) : "v"(input), "v"(weight[g]));
    }
  }
}

template <std::size_t kGroups>
inline void load_weights(const std::int8_t* w, std::size_t w_step, __m512i* weight) {
#pragma GCC unroll 16
  for (std::size_t g = 0; g < kGroups; ++g) weight[g] = _mm512_load_si512(w + g * w_step);
}

[[gnu::noinline]] void write_all_bits(const Epilogue& e, const Spot* spots, std::size_t rows, Groups groups, const __m512i* sums) {
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    for (std::size_t r = 0; r < rows; ++r) write_bits<1, 1>(e, spots + r, group, sums++);
  }
}

// kRows spots times kGroups groups of channels: all sums live in registers. kEnds: there they also end in lines and single bits; else out of line.
template <std::size_t kRows, std::size_t kGroups, bool kEnds>
[[gnu::noinline]] void tile(const ByteLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  __m512i sum[kGroups * kRows], weight[kGroups];
  const std::byte* x[kRows];
  const std::size_t w_step = layer.quads * kGroup * 4;
  const std::int8_t* weights = layer.weights + group * w_step;
  start_sums<kRows, kGroups>(*task.epilogue, group, sum);
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kRows; ++r) x[r] = spots[r].x;
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::int8_t* w = weights + run->weight * kGroup * 4;
    for (std::size_t at = run->x; at < run->x + 4 * std::size_t{run->length}; at += 4, w += kGroup * 4) {
      load_weights<kGroups>(w, w_step, weight);
      add_quad<kRows, kGroups>(x, at, weight, sum);
    }
  }
  const bool binary = task.epilogue->output == Output::planes && task.epilogue->bits == 1 && task.epilogue->rank_is_code &&
                      task.epilogue->row_factor == nullptr;
  // Copies of their own, so that the sums, and lines, stay in registers.
  if constexpr (kEnds) {
    if (binary) return write_bits<kRows, kGroups>(*task.epilogue, spots, group, sum);
    if (task.epilogue->lines != nullptr) {
      __m512i line[kGroups * kRows];
      copy_sums<kGroups * kRows>(sum, line);
      return end_in_lines<kRows, kGroups>(*task.epilogue, spots, group, line);
    }
  }
  __m512i own[kGroups * kRows];
  copy_sums<kGroups * kRows>(sum, own);
  if (binary) return write_all_bits(*task.epilogue, spots, kRows, {group, group + kGroups}, own);
  if (end_from_memory(*task.epilogue, spots, kRows, {group, group + kGroups}, own)) return;
  end_tile(task, reinterpret_cast<Group*>(own), spots, kRows, {group, group + kGroups});
}

template <std::size_t kRows, std::size_t kGroups>
void sweep_rows(const ByteLayer& layer, const Task& task, const Rows& rows, std::size_t first, std::size_t group) {
  visit_rows<kRows>(task, rows, first, [&]<std::size_t>(const Task& all, const Spot* spots) {
    tile<kRows, kGroups, kRows * kGroups == 16>(layer, all, spots, group);
  });
}

template <std::size_t kRows, std::size_t kGroups>
std::size_t sweep(const ByteLayer& layer, const Rows& rows, std::size_t row, Groups groups) {
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.quads)};
  const Task task{&whole, 1, &layer.epilogue, rows.x_plane, rows.y_plane};
  std::size_t group = groups.begin;
  for (; group + kGroups <= groups.end; group += kGroups) {
    sweep_rows<kRows, kGroups>(layer, task, rows, row, group);
  }
  for (; group < groups.end; ++group) sweep_rows<kRows, 1>(layer, task, rows, row, group);
  return row + (rows.count - row) / kRows * kRows;
}

// So many groups at a time, from `group` on, while there are as many; returns the first one that is left.
template <std::size_t kMost, std::size_t kGroups>
std::size_t convolve(const ByteLayer& layer, const Window& window, const Rows& maps, const Part& part, std::size_t group) {
  for (; group + kGroups <= part.groups.end; group += kGroups) {
    visit_regions<kMost>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      tile<kSpots, kGroups, kSpots == kMost>(layer, task, spots, group);
    });
  }
  return group;
}

#include "avx512_byte_codes.inl"

constexpr std::size_t kParts = 1;
using Sums = __m512i;
using Pair = __m512i;

inline Pair spread(std::int32_t pair) { return _mm512_set1_epi32(pair); }
inline void dot(Sums& sum, Pair x, const std::int16_t* w) {
  // As a statement of its own, so that gcc 12 sums in place instead of copying accumulators around.
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(_mm512_load_si512(w)));
}
inline Sums load_sums(const std::int32_t* at) { return _mm512_load_si512(at); }
inline void store_sums(std::int32_t* at, Sums sum) { _mm512_store_si512(at, sum); }

#include "word_layers.inl"

}  // namespace

void finish_sums(const Epilogue& e, const std::int32_t* sums, const Target& to) { finish(e, reinterpret_cast<const Group*>(sums), to); }

void byte_fully_connected(const ByteLayer& layer, const Rows& rows, Groups groups) {
  std::size_t row = 0;
  if (rows.count >= 4) row = sweep<4, 4>(layer, rows, row, groups);
  if (row < rows.count) sweep<1, 8>(layer, rows, row, groups);
}

void byte_code_fully_connected(const ByteCodeLayer& layer, const Rows& rows, Groups groups) {
  layer.bits == 2 ? multiply_codes<2>(layer, rows, groups) : multiply_codes<4>(layer, rows, groups);
}

void byte_convolution(const ByteLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  std::size_t group = part.groups.begin;
  if (window.shift == nullptr) {
    group = convolve<4, 4>(layer, window, maps, part, group);
    group = convolve<8, 2>(layer, window, maps, part, group);
  }
  convolve<8, 1>(layer, window, maps, part, group);
}

void byte_depthwise(const DepthwiseLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  depthwise_by_quads(layer, window, maps, part);
}

void word_fully_connected(const WordLayer& layer, const Rows& rows, Groups groups) {
  word_rows<16>(layer, rows, groups);
}

void word_convolution(const WordLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  word_maps<4, 4>(layer, window, maps, part);
}

std::uint64_t dot_peak(std::uint64_t repeats) {
  return peak<16, __m512i>(repeats, 64, _mm512_set1_epi32(static_cast<int>(repeats)),
                           [](__m512i sum, __m512i x) { return _mm512_dpbusd_epi32(sum, x, x); });
}

}  // namespace lowbit::avx512_vnni
