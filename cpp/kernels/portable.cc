// Plain C++: the definition that every other level must equal, and what runs where nothing better does.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE4_1__)
#include <immintrin.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

#include "spots.h"

namespace lowbit::portable {
namespace {

static_assert(std::endian::native == std::endian::little, "planes are packed little-endian");

#include "window.inl"

#include "vectors.inl"

#include "ending.inl"

#include "finish.inl"

#include "depthwise.inl"

#include "encode.inl"

typedef std::int16_t Words __attribute__((vector_size(kVectorBytes)));

// x0 w0 + x1 w1 of the two words in each lane.
LOWBIT_INLINE Integers sums_of_pairs(Integers x, Integers w) {
#if defined(__SSE4_1__)
  return reinterpret_cast<Integers>(_mm_madd_epi16(reinterpret_cast<__m128i>(x), reinterpret_cast<__m128i>(w)));
#elif defined(__wasm_simd128__)
  return reinterpret_cast<Integers>(wasm_i32x4_dot_i16x8(reinterpret_cast<v128_t>(x), reinterpret_cast<v128_t>(w)));
#else
  return (x << 16 >> 16) * (w << 16 >> 16) + (x >> 16) * (w >> 16);
#endif
}

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

#include "plane_tables.inl"

// Bits in each byte.
LOWBIT_INLINE Integers count_bytes(Integers bits) {
  [[maybe_unused]] const Integers fours = Integers{} + 0x0f0f0f0f;
#if defined(__SSE4_1__)
  const __m128i counts = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const auto of = [&](Integers nibbles) { return reinterpret_cast<Integers>(_mm_shuffle_epi8(counts, reinterpret_cast<__m128i>(nibbles))); };
  return of(bits & fours) + of(bits >> 4 & fours);
#elif defined(__wasm_simd128__)
  return reinterpret_cast<Integers>(wasm_i8x16_popcnt(reinterpret_cast<v128_t>(bits)));
#else
  bits = bits - (bits >> 1 & 0x55555555);
  bits = (bits & 0x33333333) + (bits >> 2 & 0x33333333);
  return (bits + (bits >> 4)) & fours;
#endif
}

// Popcounts of x ^ w for one weight plane of a group, over the runs of a window. A byte holds the counts of 31 words: 31 * 8 < 256.
Group count_window(const Task& task, const std::byte* x, const std::uint32_t* w, std::size_t w_step) {
  Group count = same(0);
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    for (std::size_t k = 0; k < run->length;) {
      const std::size_t end = k + 31 < run->length ? k + 31 : run->length;
      Group bytes = same(0);
      for (; k < end; ++k) {
        const Integers word = Integers{} + read<std::int32_t>(x + run->x + 4 * k);
        const std::uint32_t* weight = w + (run->weight + k) * w_step;
        bytes = each([&](std::size_t n) { return bytes.part[n] + count_bytes(word ^ read_as<Integers>(weight + n * kVectorBytes / 4)); });
      }
      count = each([&](std::size_t n) {
        const Integers pairs = (bytes.part[n] & 0x00ff00ff) + (bytes.part[n] >> 8 & 0x00ff00ff);
        return count.part[n] + (pairs & 0xffff) + (pairs >> 16);
      });
    }
  }
  return count;
}

// The weighted sum of all pairs of planes for one group of channels of a convolution.
void plane_spot(const PlaneLayer& layer, const Task& task, const Spot& spot, std::size_t group) {
  const std::size_t step = layer.weight_planes * kGroup;
  const auto* weights = static_cast<const std::uint32_t*>(layer.weights) + group * layer.words * step;
  const std::int32_t* factor = layer.weight_factor + group * step;
  Group acc = constants(*task.epilogue, spot.sum, group);
  for (unsigned j = 0; j < layer.weight_planes; ++j) {
    Group sum = same(0);
    for (unsigned i = 0; i < layer.input_planes; ++i) {
      sum = sum - count_window(task, spot.x + i * task.x_plane, weights + j * kGroup, step) * same(layer.input_factor[i]);
    }
    acc = acc + sum * load_group(factor + j * kGroup);
  }
  finish(*task.epilogue, &acc, {group, 1, &spot, task.y_plane});
}

// Four bytes are the lanes of two vectors of words: the even and the odd ones, whose products are summed as pairs.
void byte_spot(const ByteLayer& layer, const Task& task, const Spot& spot, std::size_t group) {
  Group sum = constants(*task.epilogue, spot.sum, group);
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const std::int8_t* w = layer.weights + (group * layer.quads + run->weight) * kGroup * 4;
    for (std::size_t k = 0; k < run->length; ++k, w += kGroup * 4) {
      const Integers quad = Integers{} + read<std::int32_t>(spot.x + run->x + 4 * k);
      const Integers even = quad & 0x00ff00ff, odd = quad >> 8 & 0x00ff00ff;
#pragma GCC unroll 4
      for (std::size_t n = 0; n < kVectors; ++n) {
        const auto weight = read_as<Integers>(w + n * kVectorBytes), low = reinterpret_cast<Integers>(reinterpret_cast<Words>(weight) << 8 >> 8);
        const Integers high = reinterpret_cast<Integers>(reinterpret_cast<Words>(weight) >> 8);
        sum.part[n] = sum.part[n] + sums_of_pairs(even, low) + sums_of_pairs(odd, high);
      }
    }
  }
  finish(*task.epilogue, &sum, {group, 1, &spot, task.y_plane});
}

constexpr std::size_t kParts = kVectors;
using Sums = Integers;
using Pair = Integers;

LOWBIT_INLINE Pair spread(std::int32_t pair) { return Integers{} + pair; }
LOWBIT_INLINE void dot(Sums& sum, Pair x, const std::int16_t* w) { sum += sums_of_pairs(x, read_as<Integers>(w)); }
LOWBIT_INLINE Sums load_sums(const std::int32_t* at) { return read_as<Integers>(at); }
LOWBIT_INLINE void store_sums(std::int32_t* at, Sums sum) { write_as(at, sum); }

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

void look_up(const std::uint8_t* table, const std::uint8_t* x, std::uint8_t* y, std::size_t count) {
  for (std::size_t n = 0; n < count; ++n) y[n] = table[x[n]];
}

void plane_fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) { table_fully_connected(layer, rows, groups); }

void byte_fully_connected(const ByteLayer& layer, const Rows& rows, Groups groups) {
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.quads)};
  const Task task{&whole, 1, &layer.epilogue, rows.x_plane, rows.y_plane};
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    visit_rows<1>(task, rows, 0, [&]<std::size_t>(const Task& all, const Spot* spot) {
      byte_spot(layer, all, *spot, group);
    });
  }
}

void plane_convolution(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; ++group) {
    visit_regions<1>(window, maps, part, group, [&]<std::size_t>(const Task& task, const Spot* spot) {
      plane_spot(layer, task, *spot, group);
    });
  }
}

void byte_convolution(const ByteLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; ++group) {
    visit_regions<1>(window, maps, part, group, [&]<std::size_t>(const Task& task, const Spot* spot) {
      byte_spot(layer, task, *spot, group);
    });
  }
}

void byte_depthwise(const DepthwiseLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  depthwise(layer, window, maps, part);
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

std::uint64_t float_peak(std::uint64_t repeats) { return plain_float_peak(repeats); }

void read_all(const std::byte* at, std::size_t bytes) { read_vectors(at, bytes); }

}  // namespace lowbit::portable

namespace lowbit::portable {
namespace {

template <std::size_t kGroups>
void sum_tables(const std::uint32_t* w, std::size_t step, std::size_t words, const float* tables, float* sums) {
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
#define LOWBIT_RARE_FUNCTIONS
#include "functions.inl"
#include "float_elements.inl"
#include "float_layers.inl"
#include "float_tables.inl"
#include "weight_only.inl"
#include "weight_groups.inl"
#include "round_words.inl"
#include "word_elements.inl"

#include "portable_word_elements.inl"

namespace lowbit::portable {

void weight_group_fully_connected(const WeightGroupLayer& layer, const Rows& rows, Groups groups) {
  for (std::size_t row = 0; row < rows.count; ++row) {
    const auto* x = reinterpret_cast<const float*>(rows.x + row * rows.x_row);
    auto* y = reinterpret_cast<float*>(rows.y + row * rows.y_row);
    visit_chunks(layer, [&](const Piece* first, const Piece* end) {
      for (std::size_t group = groups.begin; group < groups.end; ++group) {
        const GroupOfChunk at(layer, first, end, group);
        float lanes[kGroup];
        load_lanes(layer, group, first == layer.pieces, y, lanes);
        add_pieces(layer, first, end, x, at.w, at.factor, at.offset, lanes);
        store_lanes(layer, group, lanes, y);
      }
    });
  }
}

}  // namespace lowbit::portable
