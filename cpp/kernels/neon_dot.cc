// 64-bit ARM with dot products of bytes: four products to a lane, sixteen multiply-adds an instruction.
#include <arm_neon.h>

#include "../core/kernel.h"

namespace lowbit::neon_dot {
namespace {

#include "window.inl"

#include "vectors.inl"

#include "ending.inl"

#include "finish.inl"

constexpr std::size_t kQuarters = 4;  // vectors of a group

// Adds one quad of every row, in lane kLane of x, to all channels.
template <int kLane, std::size_t kRows>
LOWBIT_INLINE void add_quad(const int8x16_t* x, const std::int8_t* w, int32x4_t* sum) {
#pragma GCC unroll 4
  for (std::size_t m = 0; m < kQuarters; ++m) {
    const int8x16_t weight = vld1q_s8(w + 16 * m);
#pragma GCC unroll 5
    for (std::size_t r = 0; r < kRows; ++r) sum[r * kQuarters + m] = vdotq_laneq_s32(sum[r * kQuarters + m], weight, x[r], kLane);
  }
}

// kRows rows, all of whose sums live in registers. Only bytes of one sign have products: kShift, where inputs are more than
// 127, sums x - 128; what is missing is 128 times the sum of the weights: one more row, whose inputs are all -128, is taken off.
template <std::size_t kRows, bool kShift>
[[gnu::noinline]] void sum_rows(const ByteLayer& layer, const Task& task, const Spot* spots, std::size_t group, Group* sums) {
  constexpr std::size_t kAll = kShift ? kRows + 1 : kRows, kStep = kGroup * 4;
  const int8x16_t shift = vdupq_n_s8(-128);
  int32x4_t sum[kAll * kQuarters];
  int8x16_t x[kAll];
#pragma GCC unroll 32
  for (std::size_t n = 0; n < kAll * kQuarters; ++n) sum[n] = vdupq_n_s32(0);
  if constexpr (kShift) x[kRows] = shift;
  const auto take = [&](std::size_t r, int8x16_t input) { x[r] = kShift ? veorq_s8(input, shift) : input; };
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::int8_t* w = layer.weights + (group * layer.quads + run->weight) * kStep;
    const std::byte* at[kRows];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) at[r] = spots[r].x + run->x;
    std::size_t k = 0;
    for (; k + 4 <= run->length; k += 4, w += 4 * kStep) {
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kRows; ++r) take(r, read_as<int8x16_t>(at[r] + 4 * k));
      add_quad<0, kAll>(x, w, sum);
      add_quad<1, kAll>(x, w + kStep, sum);
      add_quad<2, kAll>(x, w + 2 * kStep, sum);
      add_quad<3, kAll>(x, w + 3 * kStep, sum);
    }
    for (; k < run->length; ++k, w += kStep) {
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kRows; ++r) take(r, vreinterpretq_s8_u32(vdupq_n_u32(read_as<std::uint32_t>(at[r] + 4 * k))));
      add_quad<0, kAll>(x, w, sum);
    }
  }
  const auto sum_of = [&](std::size_t r) {
    return each([&](std::size_t m) { return reinterpret_cast<Integers>(sum[r * kQuarters + m]); });
  };
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) sums[r] = kShift ? sum_of(r) - sum_of(kAll - 1) : sum_of(r);
}

template <std::size_t kRows>
void sum_tile(const ByteLayer& layer, const Task& task, const Spot* spots, std::size_t group, Group* sums) {
  layer.small ? sum_rows<kRows, false>(layer, task, spots, group, sums) : sum_rows<kRows, true>(layer, task, spots, group, sums);
}

#include "neon_bytes.inl"

}  // namespace

std::uint64_t dot_peak(std::uint64_t repeats) {
  constexpr std::size_t kChains = 16;
  int32x4_t sum[kChains];
  int8x16_t x = vdupq_n_s8(static_cast<std::int8_t>(repeats));
  for (std::size_t i = 0; i < kChains; ++i) sum[i] = vdupq_n_s32(0);
  for (std::uint64_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kChains; ++i) {
      asm volatile("" : "+w"(x));  // a new operand each time, as far as the compiler knows
      sum[i] = vdotq_s32(sum[i], x, x);
    }
  }
  for (std::size_t i = 0; i < kChains; ++i) asm volatile("" ::"w"(sum[i]));
  return repeats * kChains * 16;
}

}  // namespace lowbit::neon_dot
