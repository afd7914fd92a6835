// Plain C++: the definition that every other level must equal, and what runs where nothing better does.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "../core/kernel.h"

namespace lowbit::portable {
namespace {

static_assert(std::endian::native == std::endian::little, "planes are packed little-endian");

#include "window.inl"

#include "vectors.inl"

#include "ending.inl"

#include "finish.inl"

#include "encode.inl"

template <class T>
T read(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class T>
void write(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

// From the sums of one group of channels to its outputs.
void finish_sums(const Epilogue& e, const std::int32_t* acc, std::size_t group, const Spot& spot, std::size_t y_plane) {
  const Group sums = load_group(acc) + constants(e, spot.sum, group);
  finish(e, &sums, {group, 1, &spot, y_plane});
}

// Channels counted side by side: as many as the general registers hold.
constexpr std::size_t kLanes = 8;

// Popcounts of x ^ w for eight channels of one weight plane. Out of line, or gcc runs out of registers.
[[gnu::noinline]] void count_lanes(const std::byte* x, const std::uint64_t* w, std::size_t words, std::size_t w_step,
                                   std::int32_t* count) {
  std::int32_t c0 = 0, c1 = 0, c2 = 0, c3 = 0, c4 = 0, c5 = 0, c6 = 0, c7 = 0;
  for (const std::byte* end = x + 8 * words; x != end; x += 8, w += w_step) {
    const auto word = read<std::uint64_t>(x);
    c0 += std::popcount(word ^ w[0]);
    c1 += std::popcount(word ^ w[1]);
    c2 += std::popcount(word ^ w[2]);
    c3 += std::popcount(word ^ w[3]);
    c4 += std::popcount(word ^ w[4]);
    c5 += std::popcount(word ^ w[5]);
    c6 += std::popcount(word ^ w[6]);
    c7 += std::popcount(word ^ w[7]);
  }
  count[0] = c0, count[1] = c1, count[2] = c2, count[3] = c3;
  count[4] = c4, count[5] = c5, count[6] = c6, count[7] = c7;
}

// The weighted sum of all pairs of planes for one group of channels.
void sum_planes(const PlaneLayer& layer, const std::byte* x, std::size_t x_plane, std::size_t group,
                std::int32_t* acc) {
  const std::size_t words = layer.words / 2, step = layer.weight_planes * kLanes;
  const std::int32_t* factor = layer.weight_factor + group * layer.weight_planes * kGroup;
  for (std::size_t lane = 0; lane < kGroup; lane += kLanes) {
    const auto* weights =
        static_cast<const std::uint64_t*>(layer.weights) + (group * kGroup + lane) * layer.weight_planes * words;
    for (unsigned j = 0; j < layer.weight_planes; ++j) {
      std::int32_t sum[kLanes] = {};
      for (unsigned i = 0; i < layer.input_planes; ++i) {
        std::int32_t count[kLanes];
        count_lanes(x + i * x_plane, weights + j * kLanes, words, step, count);
        for (std::size_t n = 0; n < kLanes; ++n) sum[n] -= layer.input_factor[i] * count[n];
      }
      for (std::size_t n = 0; n < kLanes; ++n) acc[lane + n] += factor[j * kGroup + lane + n] * sum[n];
    }
  }
}

// Popcounts of x ^ w for one weight plane of a group, over the runs of a window.
void count_window(const Task& task, const std::byte* x, const std::uint32_t* w, std::size_t w_step,
                  std::int32_t* count) {
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    for (std::size_t k = 0; k < run->length; ++k) {
      const auto word = read<std::uint32_t>(x + run->x + 4 * k);
      const std::uint32_t* weight = w + (run->weight + k) * w_step;
      for (std::size_t lane = 0; lane < kGroup; ++lane) count[lane] += std::popcount(word ^ weight[lane]);
    }
  }
}

// The weighted sum of all pairs of planes for one group of channels of a convolution.
void sum_window(const PlaneLayer& layer, const Task& task, const std::byte* x, std::size_t group, std::int32_t* acc) {
  const std::size_t step = layer.weight_planes * kGroup;
  const auto* weights = static_cast<const std::uint32_t*>(layer.weights) + group * layer.words * step;
  const std::int32_t* factor = layer.weight_factor + group * step;
  for (unsigned j = 0; j < layer.weight_planes; ++j) {
    std::int32_t sum[kGroup] = {};
    for (unsigned i = 0; i < layer.input_planes; ++i) {
      std::int32_t count[kGroup] = {};
      count_window(task, x + i * task.x_plane, weights + j * kGroup, step, count);
      for (std::size_t n = 0; n < kGroup; ++n) sum[n] -= layer.input_factor[i] * count[n];
    }
    for (std::size_t n = 0; n < kGroup; ++n) acc[n] += factor[j * kGroup + n] * sum[n];
  }
}

void sum_bytes(const std::int8_t* w, std::size_t quads, const std::byte* x, std::int32_t* acc) {
  for (std::size_t k = 0; k < quads; ++k, w += kGroup * 4) {
    const auto quad = read<std::uint32_t>(x + 4 * k);
    for (std::size_t lane = 0; lane < kGroup; ++lane) {
      for (unsigned n = 0; n < 4; ++n) {
        acc[lane] += static_cast<std::int32_t>((quad >> (8 * n)) & 255u) * w[lane * 4 + n];
      }
    }
  }
}

constexpr std::size_t kParts = 1;

struct Sums {
  std::int32_t lane[kGroup];
};

struct Pair {
  std::int32_t first, second;
};

Pair spread(std::int32_t pair) { return {static_cast<std::int16_t>(pair), pair >> 16}; }

void dot(Sums& sum, Pair x, const std::int16_t* w) {
  for (std::size_t n = 0; n < kGroup; ++n) sum.lane[n] += x.first * w[2 * n] + x.second * w[2 * n + 1];
}

Sums load_sums(const std::int32_t* at) { return read<Sums>(reinterpret_cast<const std::byte*>(at)); }
void store_sums(std::int32_t* at, const Sums& sum) { write(reinterpret_cast<std::byte*>(at), sum); }

bool end_quickly(const Ending& e, const Sums* sum, std::size_t group, std::byte* y) {
  return end_levels(e, load_group(sum->lane), group, y);
}

#include "word_layers.inl"

}  // namespace

// Bits without the sign are above those of infinity; the compiler makes vectors of it.
bool holds_nan(const float* x, std::size_t count) {
  constexpr std::uint32_t kInfinity = 0xff000000u;
  std::uint32_t most = 0;
  for (std::size_t n = 0; n < count; ++n) {
    std::uint32_t bits;
    std::memcpy(&bits, x + n, sizeof bits);
    most = most > bits << 1 ? most : bits << 1;
  }
  return most > kInfinity;
}

bool encode_affine(const AffineEncoder& encoder, const Rows& rows) {
  bool nan = false;
  for (std::size_t row = 0; row < rows.count; ++row) {
    for (std::size_t n = 0; n < encoder.features; ++n) {
      const double value = read<float>(rows.x + row * rows.x_row + 4 * n);
      const double code = std::nearbyint(value / encoder.scale) + encoder.zero;
      nan |= value != value;
      // fmax drops a NaN, so it becomes code 0 on every level.
      const double clipped = std::fmin(std::fmax(code, 0.0), encoder.top);
      write(rows.y + row * rows.y_row + n, static_cast<std::uint8_t>(clipped));
    }
  }
  return nan;
}

void look_up(const std::uint8_t* table, const std::uint8_t* x, std::uint8_t* y, std::size_t count) {
  for (std::size_t n = 0; n < count; ++n) y[n] = table[x[n]];
}

void plane_fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) {
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    for (std::size_t row = 0; row < rows.count; ++row) {
      Spot spot;
      spots_of_rows<1>(rows, row, &spot);
      std::int32_t acc[kGroup] = {};
      sum_planes(layer, spot.x, rows.x_plane, group, acc);
      finish_sums(layer.epilogue, acc, group, spot, rows.y_plane);
    }
  }
}

void byte_fully_connected(const ByteLayer& layer, const Rows& rows, Groups groups) {
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    for (std::size_t row = 0; row < rows.count; ++row) {
      Spot spot;
      spots_of_rows<1>(rows, row, &spot);
      std::int32_t acc[kGroup] = {};
      sum_bytes(layer.weights + group * layer.quads * kGroup * 4, layer.quads, spot.x, acc);
      finish_sums(layer.epilogue, acc, group, spot, rows.y_plane);
    }
  }
}

void plane_convolution(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; ++group) {
    visit_regions<1>(window, maps, part, group, [&]<std::size_t>(const Task& task, const Spot* spot) {
      std::int32_t acc[kGroup] = {};
      sum_window(layer, task, spot->x, group, acc);
      finish_sums(*task.epilogue, acc, group, *spot, task.y_plane);
    });
  }
}

void byte_convolution(const ByteLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; ++group) {
    const std::int8_t* weights = layer.weights + group * layer.quads * kGroup * 4;
    visit_regions<1>(window, maps, part, group, [&]<std::size_t>(const Task& task, const Spot* spot) {
      std::int32_t acc[kGroup] = {};
      for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
        sum_bytes(weights + run->weight * kGroup * 4, run->length, spot->x + run->x, acc);
      }
      finish_sums(*task.epilogue, acc, group, *spot, task.y_plane);
    });
  }
}

void word_fully_connected(const WordLayer& layer, const Rows& rows, Groups groups) {
  word_rows<4>(layer, rows, groups);
}

void word_convolution(const WordLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  word_maps<1, 1>(layer, window, maps, part);
}

std::uint64_t popcount_peak(std::uint64_t repeats) {
  constexpr int kChains = 4;
  std::uint64_t count[kChains] = {}, x = repeats;
  for (std::uint64_t n = 0; n < repeats; ++n) {
    for (int i = 0; i < kChains; ++i) {
      std::uint64_t word = x;
      asm volatile("" : "+r"(word));  // a new operand each time, as far as the compiler knows
      count[i] += static_cast<std::uint64_t>(std::popcount(word ^ n));
    }
  }
  asm volatile("" ::"r"(count[0] + count[1] + count[2] + count[3]));
  return repeats * kChains * 64;
}

}  // namespace lowbit::portable

namespace lowbit::portable {
namespace {

template <std::size_t kGroups>
void look_up(const std::uint32_t* w, std::size_t step, std::size_t words, const float* tables, float* sums) {
  for (std::size_t g = 0; g < kGroups; ++g, w += step, sums += kGroup) {
    for (std::size_t lane = 0; lane < kGroup; ++lane) sums[lane] = 0;
    for (std::size_t k = 0; k < words; ++k) {
      for (std::size_t q = 0; q < 8; ++q) {
        const float* table = tables + (8 * k + q) * 16;
        for (std::size_t lane = 0; lane < kGroup; ++lane) sums[lane] += table[(w[k * kGroup + lane] >> (4 * q)) & 15u];
      }
    }
  }
}

}  // namespace
}  // namespace lowbit::portable

#define LOWBIT_NAMESPACE portable
#include "functions.inl"
#include "float_elements.inl"
#include "float_layers.inl"
#include "weight_only.inl"
#include "round_words.inl"
#include "word_elements.inl"

#include "portable_word_elements.inl"
