// 64-bit ARM with dot products of bytes: four products to a lane, sixteen multiply-adds an instruction.
#include <arm_neon.h>

#include "spots.h"

namespace lowbit::neon_dot {
namespace {

#include "window.inl"

#include "vectors.inl"

#include "ending.inl"

#include "finish.inl"

constexpr std::size_t kQuarters = 4;  // vectors of a group

// Adds one quad of every row, in lane kLane of x, to kWide vectors of channels.
template <int kLane, std::size_t kRows, std::size_t kWide>
LOWBIT_INLINE void add_quad(const int8x16_t* x, const std::int8_t* w, int32x4_t* sum) {
#pragma GCC unroll 4
  for (std::size_t m = 0; m < kWide; ++m) {
    const int8x16_t weight = vld1q_s8(w + 16 * m);
#pragma GCC unroll 9
    for (std::size_t r = 0; r < kRows; ++r) sum[r * kWide + m] = vdotq_laneq_s32(sum[r * kWide + m], weight, x[r], kLane);
  }
}

// kRows rows and kWide vectors of channels from `weights` on, all of whose sums live in registers. Only bytes of one sign have products: kShift, where inputs are more than
// 127, sums x - 128; what is missing is 128 times the sum of the weights: one more row, whose inputs are all -128, is taken off.
template <std::size_t kRows, std::size_t kWide, bool kShift>
[[gnu::noinline]] void sum_rows(const Task& task, const Spot* spots, const std::int8_t* weights, std::size_t first, Group* sums) {
  constexpr std::size_t kAll = kShift ? kRows + 1 : kRows, kStep = kGroup * 4;  // rows; weights of a quad
  const int8x16_t shift = vdupq_n_s8(-128);
  int32x4_t sum[kAll * kWide];
  int8x16_t x[kAll];
#pragma GCC unroll 32
  for (std::size_t n = 0; n < kAll * kWide; ++n) sum[n] = vdupq_n_s32(0);
  if constexpr (kShift) x[kRows] = shift;
  const auto take = [&](std::size_t r, int8x16_t input) { x[r] = kShift ? veorq_s8(input, shift) : input; };
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::int8_t* w = weights + run->weight * kStep;
    const std::byte* at[kRows];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kRows; ++r) at[r] = spots[r].x + run->x;
    std::size_t k = 0;
    for (; k + 4 <= run->length; k += 4, w += 4 * kStep) {
#pragma GCC unroll 8
      for (std::size_t r = 0; r < kRows; ++r) take(r, read_as<int8x16_t>(at[r] + 4 * k));
      add_quad<0, kAll, kWide>(x, w, sum);
      add_quad<1, kAll, kWide>(x, w + kStep, sum);
      add_quad<2, kAll, kWide>(x, w + 2 * kStep, sum);
      add_quad<3, kAll, kWide>(x, w + 3 * kStep, sum);
    }
    for (; k < run->length; ++k, w += kStep) {
#pragma GCC unroll 8
      for (std::size_t r = 0; r < kRows; ++r) take(r, vreinterpretq_s8_u32(vdupq_n_u32(read_as<std::uint32_t>(at[r] + 4 * k))));
      add_quad<0, kAll, kWide>(x, w, sum);
    }
  }
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kRows * kWide; ++n) {
    const int32x4_t all = kShift ? vsubq_s32(sum[n], sum[kRows * kWide + n % kWide]) : sum[n];
    sums[n / kWide].part[first + n % kWide] = reinterpret_cast<Integers>(all);
  }
}

template <std::size_t kRows>
void sum_tile(const ByteLayer& layer, const Task& task, const Spot* spots, std::size_t group, Group* sums) {
  constexpr std::size_t kWide = kRows > 4 ? kQuarters / 2 : kQuarters;
  const auto sum = layer.small ? sum_rows<kRows, kWide, false> : sum_rows<kRows, kWide, true>;
  const std::int8_t* weights = layer.weights + group * layer.quads * kGroup * 4;
  for (std::size_t first = 0; first < kQuarters; first += kWide) sum(task, spots, weights + 16 * first, first, sums);
}

constexpr std::size_t kMostRows = 8;

#include "neon_bytes.inl"

}  // namespace

std::uint64_t dot_peak(std::uint64_t repeats) {
  return peak<16, int32x4_t>(repeats, 16, vdupq_n_s8(static_cast<std::int8_t>(repeats)),
                             [](int32x4_t sum, int8x16_t x) { return vdotq_s32(sum, x, x); });
}

}  // namespace lowbit::neon_dot
