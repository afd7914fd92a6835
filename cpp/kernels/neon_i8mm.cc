// 64-bit ARM with products of matrices of bytes: eight inputs of two rows by the weights of two channels, 32 multiply-adds an
// instruction; inputs have no sign and weights have one. A single row takes dot products of both kinds.
#include <arm_neon.h>

#include "spots.h"

namespace lowbit::neon_i8mm {
namespace {

#include "window.inl"

#include "vectors.inl"

#include "ending.inl"

#include "finish.inl"

constexpr std::size_t kQuarters = 4;       // vectors of a group, each of four channels
constexpr std::size_t kStep = kGroup * 4;  // weights of a quad

// Rows of x by rows of w. As a statement of its own, so that gcc 12 sums in place instead of copying sums around.
LOWBIT_INLINE void multiply(int32x4_t& sum, uint8x16_t x, int32x4_t w) {
  asm("usmmla %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(x), "w"(w));
}

// Eight inputs of a pair of rows by the channels whose weights are in `quad` and the next one. A sum is one of two rows by two
// channels.
template <std::size_t kWide>
LOWBIT_INLINE void add_eight(uint8x16_t x, const int8x16_t* quad, const int8x16_t* next, int32x4_t* sum) {
#pragma GCC unroll 4
  for (std::size_t m = 0; m < kWide; ++m) {
    const int32x4_t first = vreinterpretq_s32_s8(quad[m]), second = vreinterpretq_s32_s8(next[m]);
    multiply(sum[2 * m], x, vzip1q_s32(first, second));
    multiply(sum[2 * m + 1], x, vzip2q_s32(first, second));
  }
}

LOWBIT_INLINE uint8x16_t beside(std::uint64_t one, std::uint64_t other) {
  return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(one), vcreate_u64(other)));
}

// kRows rows and kWide vectors of channels from `weights` on, all of whose sums live in registers.
template <std::size_t kRows, std::size_t kWide>
[[gnu::noinline]] void sum_pairs(const Task& task, const Spot* spots, const std::int8_t* weights, std::size_t first, Group* sums) {
  constexpr std::size_t kPairs = kRows / 2, kHalves = 2 * kWide;
  int32x4_t sum[kPairs * kHalves];
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kPairs * kHalves; ++n) sum[n] = vdupq_n_s32(0);
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::int8_t* w = weights + run->weight * kStep;
    const std::byte* at[kRows];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kRows; ++r) at[r] = spots[r].x + run->x;
    std::size_t k = 0;
    const auto load = [&](std::size_t q, int8x16_t* weight) {
#pragma GCC unroll 4
      for (std::size_t m = 0; m < kWide; ++m) weight[m] = vld1q_s8(w + q * kStep + 16 * m);
    };
    for (; k + 4 <= run->length; k += 4, w += 4 * kStep) {
      uint64x2_t x[kRows];
#pragma GCC unroll 8
      for (std::size_t r = 0; r < kRows; ++r) x[r] = read_as<uint64x2_t>(at[r] + 4 * k);
#pragma GCC unroll 2
      for (std::size_t q = 0; q < 4; q += 2) {
        int8x16_t quad[kWide], next[kWide];
        load(q, quad), load(q + 1, next);
#pragma GCC unroll 4
        for (std::size_t p = 0; p < kPairs; ++p) {
          const uint64x2_t both = q == 0 ? vzip1q_u64(x[2 * p], x[2 * p + 1]) : vzip2q_u64(x[2 * p], x[2 * p + 1]);
          add_eight<kWide>(vreinterpretq_u8_u64(both), quad, next, sum + p * kHalves);
        }
      }
    }
    for (; k < run->length; k += 2, w += 2 * kStep) {
      const bool two = k + 2 <= run->length;
      int8x16_t quad[kWide], next[kWide] = {};
      load(0, quad);
      if (two) load(1, next);
#pragma GCC unroll 4
      for (std::size_t p = 0; p < kPairs; ++p) {
        const std::byte *one = at[2 * p] + 4 * k, *other = at[2 * p + 1] + 4 * k;
        const uint8x16_t x = two ? beside(read_as<std::uint64_t>(one), read_as<std::uint64_t>(other))
                                 : beside(read_as<std::uint32_t>(one), read_as<std::uint32_t>(other));
        add_eight<kWide>(x, quad, next, sum + p * kHalves);
      }
    }
  }
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kPairs * kWide; ++n) {
    const std::size_t pair = n / kWide, part = first + n % kWide;
    const auto low = vreinterpretq_s64_s32(sum[2 * n]), high = vreinterpretq_s64_s32(sum[2 * n + 1]);
    sums[2 * pair].part[part] = reinterpret_cast<Integers>(vzip1q_s64(low, high));
    sums[2 * pair + 1].part[part] = reinterpret_cast<Integers>(vzip2q_s64(low, high));
  }
}

// One quad, in lane kLane of x.
template <int kLane>
LOWBIT_INLINE void add_quad(uint8x16_t x, const std::int8_t* w, int32x4_t* sum) {
#pragma GCC unroll 4
  for (std::size_t m = 0; m < kQuarters; ++m) sum[m] = vsudotq_laneq_s32(sum[m], vld1q_s8(w + 16 * m), x, kLane);
}

[[gnu::noinline]] void sum_row(const ByteLayer& layer, const Task& task, const Spot& spot, std::size_t group, Group* sums) {
  int32x4_t sum[kQuarters];
#pragma GCC unroll 4
  for (std::size_t m = 0; m < kQuarters; ++m) sum[m] = vdupq_n_s32(0);
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::int8_t* w = layer.weights + (group * layer.quads + run->weight) * kStep;
    const std::byte* at = spot.x + run->x;
    std::size_t left = run->length;
    for (; left >= 4; left -= 4, at += 16, w += 4 * kStep) {
      const auto x = read_as<uint8x16_t>(at);
      add_quad<0>(x, w, sum);
      add_quad<1>(x, w + kStep, sum);
      add_quad<2>(x, w + 2 * kStep, sum);
      add_quad<3>(x, w + 3 * kStep, sum);
    }
    for (; left != 0; --left, at += 4, w += kStep) add_quad<0>(vreinterpretq_u8_u32(vdupq_n_u32(read_as<std::uint32_t>(at))), w, sum);
  }
  *sums = each([&](std::size_t m) { return reinterpret_cast<Integers>(sum[m]); });
}

template <std::size_t kRows>
void sum_tile(const ByteLayer& layer, const Task& task, const Spot* spots, std::size_t group, Group* sums) {
  if constexpr (kRows == 1) {
    sum_row(layer, task, *spots, group, sums);
  } else {
    constexpr std::size_t kWide = kRows > 4 ? kQuarters / 2 : kQuarters;
    const std::int8_t* weights = layer.weights + group * layer.quads * kStep;
    for (std::size_t first = 0; first < kQuarters; first += kWide) {
      sum_pairs<kRows, kWide>(task, spots, weights + 16 * first, first, sums);
    }
  }
}

constexpr std::size_t kMostRows = 8;

#include "neon_bytes.inl"

}  // namespace

std::uint64_t dot_peak(std::uint64_t repeats) {
  return peak<16, int32x4_t>(repeats, 32, vdupq_n_s8(static_cast<std::int8_t>(repeats)),
                             [](int32x4_t sum, int8x16_t x) { return vusmmlaq_s32(sum, vreinterpretq_u8_s8(x), x); });
}

}  // namespace lowbit::neon_i8mm
