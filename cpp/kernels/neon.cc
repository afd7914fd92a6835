// 64-bit ARM, what every such processor has. Planes: sixteen channels in the lanes of four vectors; xor and cnt give the counts of
// bytes, which are summed as bytes for as long as they fit. The limit is three instructions for 128 binary multiply-adds.
// Bytes: products of 16 bits, two at a time summed into lanes of 32.
#include <arm_neon.h>

#include "spots.h"

namespace lowbit::neon {
namespace {

#include "window.inl"

#include "vectors.inl"

#include "ending.inl"

#include "finish.inl"

constexpr std::size_t kQuarters = 4;  // vectors of a group

LOWBIT_INLINE uint8x16_t bytes_at(const void* at) { return vld1q_u8(static_cast<const std::uint8_t*>(at)); }

// The same four bytes in every lane.
LOWBIT_INLINE uint8x16_t four_bytes(const std::byte* at) {
  return vreinterpretq_u8_u32(vld1q_dup_u32(reinterpret_cast<const std::uint32_t*>(at)));
}

// The same, and on to the next four: one instruction, where gcc 12 makes three.
LOWBIT_INLINE uint8x16_t next_four_bytes(const std::byte*& at) {
  uint8x16_t bytes;
  asm("ld1r {%0.4s}, [%1], #4" : "=w"(bytes), "+r"(at) : "m"(*reinterpret_cast<const std::byte (*)[4]>(at)));
  return bytes;
}

// A byte holds the counts of 31 words: 31 * 8 < 256.
constexpr std::size_t kWordsOfByte = 31;

// Adds the counts of bytes to those of words, and begins again.
template <std::size_t kCounts>
LOWBIT_INLINE void widen(uint8x16_t* few, uint32x4_t* count) {
#pragma GCC unroll 16
  for (std::size_t c = 0; c < kCounts; ++c) {
    count[c] = vpadalq_u16(count[c], vpaddlq_u8(few[c]));
    few[c] = vdupq_n_u8(0);
  }
}

// Popcounts [kInputs][16] of x ^ w: planes of the inputs of some spots, with one plane of the weights, whose words are `step` apart.
template <std::size_t kInputs>
[[gnu::noinline]] void count_pass(const Task& task, const std::byte* const* inputs, const std::uint32_t* weights, std::size_t step,
                                  uint32x4_t* count) {
  constexpr std::size_t kCounts = kInputs * kQuarters;
  uint8x16_t few[kCounts];
#pragma GCC unroll 16
  for (std::size_t c = 0; c < kCounts; ++c) few[c] = vdupq_n_u8(0), count[c] = vdupq_n_u32(0);
  std::size_t room = kWordsOfByte;
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::uint32_t* w = weights + run->weight * step;
    const std::byte* x[kInputs];
#pragma GCC unroll 4
    for (std::size_t n = 0; n < kInputs; ++n) x[n] = inputs[n] + run->x;
    for (std::size_t left = run->length; left != 0;) {
      const std::size_t words = left < room ? left : room;
      left -= words, room -= words;
      for (std::size_t k = 0; k < words; ++k, w += step) {
        uint8x16_t weight[kQuarters];
#pragma GCC unroll 4
        for (std::size_t m = 0; m < kQuarters; ++m) weight[m] = bytes_at(w + 4 * m);
#pragma GCC unroll 4
        for (std::size_t n = 0; n < kInputs; ++n) {
          const uint8x16_t input = next_four_bytes(x[n]);
#pragma GCC unroll 4
          for (std::size_t m = 0; m < kQuarters; ++m) {
            uint8x16_t& sum = few[n * kQuarters + m];
            sum = vaddq_u8(sum, vcntq_u8(veorq_u8(input, weight[m])));
          }
        }
      }
      if (room == 0) widen<kCounts>(few, count), room = kWordsOfByte;
    }
  }
  widen<kCounts>(few, count);
}

LOWBIT_INLINE Group group_of(const uint32x4_t* count) {
  return each([&](std::size_t n) { return reinterpret_cast<Integers>(count[n]); });
}

template <std::size_t kX, std::size_t kRows>
void plane_tile(const PlaneLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  const std::size_t step = layer.weight_planes * kGroup;
  const auto* weights = static_cast<const std::uint32_t*>(layer.weights) + group * layer.words * step;
  const std::int32_t* factor = layer.weight_factor + group * step;
  const std::byte* x[kRows * kX];
  for (std::size_t n = 0; n < kRows * kX; ++n) x[n] = spots[n / kX].x + n % kX * task.x_plane;
  Group acc[kRows];
  for (std::size_t r = 0; r < kRows; ++r) acc[r] = constants(*task.epilogue, spots[r].sum, group);
  for (unsigned j = 0; j < layer.weight_planes; ++j, weights += kGroup, factor += kGroup) {
    uint32x4_t count[kRows * kX * kQuarters];
    count_pass<kRows * kX>(task, x, weights, step, count);
    for (std::size_t r = 0; r < kRows; ++r) {
      const uint32x4_t* of = count + r * kX * kQuarters;
      Group sum = group_of(of);
      // A single input plane's factor is folded into the weights' by whoever built the layer.
      if (kX > 1) sum = sum * same(layer.input_factor[0]);
      for (std::size_t i = 1; i < kX; ++i) sum = sum + group_of(of + i * kQuarters) * same(layer.input_factor[i]);
      acc[r] = acc[r] - sum * load_group(factor);
    }
  }
  finish(*task.epilogue, acc, {group, kRows, spots, task.y_plane});
}

template <std::size_t kX, std::size_t kRows>
std::size_t sweep_planes(const PlaneLayer& layer, const Task& task, const Rows& rows, std::size_t row, std::size_t group) {
  return visit_rows<kRows>(task, rows, row, [&]<std::size_t>(const Task& all, const Spot* spots) {
    plane_tile<kX, kRows>(layer, all, spots, group);
  });
}

// Spots whose counts fill half of the registers.
constexpr std::size_t rows_of_tile(std::size_t input_planes) { return 4 / input_planes; }

template <std::size_t kX>
void fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) {
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.words)};
  const Task task{&whole, 1, &layer.epilogue, rows.x_plane, rows.y_plane};
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    const std::size_t row = sweep_planes<kX, rows_of_tile(kX)>(layer, task, rows, 0, group);
    sweep_planes<kX, 1>(layer, task, rows, row, group);
  }
}

template <std::size_t kX>
void convolution(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; ++group) {
    visit_regions<rows_of_tile(kX)>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      plane_tile<kX, kSpots>(layer, task, spots, group);
    });
  }
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
  switch (layer.input_planes) {
    case 1: return convolution<1>(layer, window, maps, part);
    case 2: return convolution<2>(layer, window, maps, part);
    case 3: return convolution<3>(layer, window, maps, part);
    default: return convolution<4>(layer, window, maps, part);
  }
}

namespace {

// There is no product of bytes with and without a sign: kShift, where inputs are more than 127, sums x - 128. What is missing is
// 128 times the sum of the weights: one more row, whose inputs are all -128, is taken off. A lane of 16 bits holds one product of
// each of kQuads quads, which fit as x - 128 as well.
template <std::size_t kRows, std::size_t kQuads, bool kShift>
LOWBIT_INLINE void add_quads(const std::byte* const* at, const std::int8_t* w, int32x4_t* low, int32x4_t* high) {
  constexpr std::size_t kAll = kShift ? kRows + 1 : kRows;
  const int8x16_t shift = vdupq_n_s8(-128);
  int8x16_t x[kAll * kQuads];
#pragma GCC unroll 20
  for (std::size_t n = 0; n < kAll * kQuads; ++n) {
    const std::size_t r = n / kQuads;
    if (r < kRows) x[n] = vreinterpretq_s8_u8(four_bytes(at[r] + n % kQuads * 4));
    if (kShift) x[n] = r < kRows ? veorq_s8(x[n], shift) : shift;
  }
#pragma GCC unroll 4
  for (std::size_t m = 0; m < kQuarters; ++m) {
    int8x16_t weight[kQuads];
#pragma GCC unroll 4
    for (std::size_t q = 0; q < kQuads; ++q) weight[q] = vld1q_s8(w + (kQuarters * q + m) * 16);
#pragma GCC unroll 5
    for (std::size_t r = 0; r < kAll; ++r) {
      const int8x16_t* input = x + r * kQuads;
      int16x8_t even = vmull_s8(vget_low_s8(weight[0]), vget_low_s8(input[0])), odd = vmull_high_s8(weight[0], input[0]);
#pragma GCC unroll 4
      for (std::size_t q = 1; q < kQuads; ++q) {
        even = vmlal_s8(even, vget_low_s8(weight[q]), vget_low_s8(input[q]));
        odd = vmlal_high_s8(odd, weight[q], input[q]);
      }
      low[r * kQuarters + m] = vpadalq_s16(low[r * kQuarters + m], even);
      high[r * kQuarters + m] = vpadalq_s16(high[r * kQuarters + m], odd);
    }
  }
}

template <std::size_t kRows, std::size_t kQuads, bool kShift>
[[gnu::noinline]] void sum_signed(const ByteLayer& layer, const Task& task, const Spot* spots, std::size_t group, Group* sums) {
  constexpr std::size_t kAll = (kShift ? kRows + 1 : kRows) * kQuarters, kStep = kGroup * 4;
  int32x4_t low[kAll], high[kAll];
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kAll; ++n) low[n] = high[n] = vdupq_n_s32(0);
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::int8_t* w = layer.weights + (group * layer.quads + run->weight) * kStep;
    const std::byte* at[kRows];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) at[r] = spots[r].x + run->x;
    const auto add = [&]<std::size_t kSome>() {
      add_quads<kRows, kSome, kShift>(at, w, low, high);
      w += kSome * kStep;
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kRows; ++r) at[r] += 4 * kSome;
    };
    std::size_t left = run->length;
    for (; left >= kQuads; left -= kQuads) add.template operator()<kQuads>();
    for (; kQuads > 1 && left != 0; --left) add.template operator()<1>();
  }
  const auto sum_of = [&](std::size_t r) {
    return each([&](std::size_t m) { return reinterpret_cast<Integers>(vpaddq_s32(low[r * kQuarters + m], high[r * kQuarters + m])); });
  };
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) sums[r] = kShift ? sum_of(r) - sum_of(kAll / kQuarters - 1) : sum_of(r);
}

// At most two rows have their sums in registers.
template <std::size_t kRows>
void sum_tile(const ByteLayer& layer, const Task& task, const Spot* spots, std::size_t group, Group* sums) {
  if constexpr (kRows > 2) {
    sum_tile<kRows / 2>(layer, task, spots, group, sums);
    sum_tile<kRows / 2>(layer, task, spots + kRows / 2, group, sums + kRows / 2);
  } else {
    const auto sum = layer.small ? (layer.fours_fit ? sum_signed<kRows, 4, false> : sum_signed<kRows, 1, false>)
                                 : (layer.fours_fit ? sum_signed<kRows, 4, true> : sum_signed<kRows, 1, true>);
    sum(layer, task, spots, group, sums);
  }
}

constexpr std::size_t kMostRows = 4;

#include "neon_bytes.inl"

constexpr std::size_t kParts = 2;

struct Sums {
  int32x4_t low, high;
};
using Pair = int16x4_t;  // in lanes 0 and 1: products read them there

LOWBIT_INLINE Pair spread(std::int32_t pair) { return vreinterpret_s16_s32(int32x2_t{pair, 0}); }
LOWBIT_INLINE void dot(Sums& sum, Pair x, const std::int16_t* w) {
  const int16x8_t four = vld1q_s16(w), next = vld1q_s16(w + 8), first = vuzp1q_s16(four, next), second = vuzp2q_s16(four, next);
  sum.low = vmlal_lane_s16(sum.low, vget_low_s16(first), x, 0);
  sum.high = vmlal_high_lane_s16(sum.high, first, x, 0);
  sum.low = vmlal_lane_s16(sum.low, vget_low_s16(second), x, 1);
  sum.high = vmlal_high_lane_s16(sum.high, second, x, 1);
}
LOWBIT_INLINE Sums load_sums(const std::int32_t* at) { return {vld1q_s32(at), vld1q_s32(at + 4)}; }
LOWBIT_INLINE void store_sums(std::int32_t* at, const Sums& sum) { vst1q_s32(at, sum.low), vst1q_s32(at + 4, sum.high); }
#include "word_layers.inl"

}  // namespace

void word_fully_connected(const WordLayer& layer, const Rows& rows, Groups groups) {
  word_rows<4>(layer, rows, groups);
}

void word_convolution(const WordLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  word_maps<4, 1>(layer, window, maps, part);
}

std::uint64_t popcount_peak(std::uint64_t repeats) {
  const uint8x16_t w = vdupq_n_u8(0x55);
  return peak<16, uint8x16_t>(repeats, 128, vdupq_n_u8(static_cast<std::uint8_t>(repeats)),
                              [&](uint8x16_t count, uint8x16_t x) { return vaddq_u8(count, vcntq_u8(veorq_u8(x, w))); });
}

std::uint64_t float_peak(std::uint64_t repeats) {
  return peak<16, float32x4_t>(repeats, 4, vdupq_n_f32(static_cast<float>(repeats)),
                               [](float32x4_t sum, float32x4_t x) { return vfmaq_f32(sum, x, x); });
}

namespace {

// A table is four vectors, in bytes: four times an index, and the numbers 0 to 3.
template <std::size_t kGroups>
void sum_tables(const std::uint32_t* w, std::size_t step, std::size_t words, const float* tables, float* sums) {
  constexpr std::size_t kAll = kGroups * kQuarters;
  float32x4_t sum[kAll];
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kAll; ++n) sum[n] = vdupq_n_f32(0);
  const uint32x4_t index = vdupq_n_u32(0x3c), spread_out = vdupq_n_u32(0x01010101), bytes = vdupq_n_u32(0x03020100);
  for (std::size_t k = 0; k < words; ++k, w += kGroup) {
#pragma GCC unroll 1
    for (int q = 0; q < 8; ++q, tables += 16) {
      const uint8x16x4_t table{{bytes_at(tables), bytes_at(tables + 4), bytes_at(tables + 8), bytes_at(tables + 12)}};
      const int32x4_t by = vdupq_n_s32(2 - 4 * q);
#pragma GCC unroll 16
      for (std::size_t n = 0; n < kAll; ++n) {
        const uint32x4_t word = vld1q_u32(w + n / kQuarters * step + n % kQuarters * 4);
        const uint32x4_t at = vmlaq_u32(bytes, vandq_u32(vshlq_u32(word, by), index), spread_out);
        sum[n] = vaddq_f32(sum[n], vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_u32(at))));
      }
    }
  }
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kAll; ++n) vst1q_f32(sums + n * 4, sum[n]);
}

}  // namespace
}  // namespace lowbit::neon

#define LOWBIT_NAMESPACE neon
#include "float_tables.inl"
#include "weight_only.inl"
