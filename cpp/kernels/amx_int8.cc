// Intel's matrix unit: sixteen rows of 64 bytes by 64 rows of weights of sixteen channels, 16,384 multiply-adds an instruction and
// 1,024 a cycle. Weights of ByteLayer lie as the unit reads them, so that a tile of weights is a kilobyte of them as it stands.
#include <immintrin.h>

#if defined(LOWBIT_EMULATE_TILES)
#include "../tests/emulated_tiles.h"
#endif

#include "spots.h"

namespace lowbit::amx_int8 {
namespace {

#include "window.inl"

#include "vectors.inl"

#include "ending.inl"

#define LOWBIT_ENDS_AS avx512_vnni
#include "finish.inl"

#include "block_weights.inl"

constexpr std::size_t kTileRows = 16, kTileBytes = 64, kTile = kTileRows * kTileBytes;
constexpr std::size_t kTileQuads = kTileBytes / 4;
constexpr std::size_t kSpots = 2 * kTileRows;  // of a block: two tiles of inputs
constexpr std::size_t kWide = 2;               // and two of weights, so that each is read once for two products
// Tiles of inputs that a block keeps; an odd number lies between its rows, so that these do not share their place in the cache.
constexpr std::size_t kSteps = 25;
// Fewer are rather dot products: what a tile of weights costs to read is shared by too few.
constexpr std::size_t kFewSpots = 4;

// gcc 12 does not know that these instructions read memory.
inline void written() { asm volatile("" ::: "memory"); }

// Sums are tiles 0 to 3, inputs 4 and 5, weights 6 and 7.
void configure(std::size_t spots) {
  alignas(64) std::uint8_t bytes[64] = {1};  // the palette
  const auto set = [&](std::size_t tile, std::size_t rows) {
    bytes[16 + 2 * tile] = rows == 0 ? 0 : kTileBytes;
    bytes[48 + tile] = static_cast<std::uint8_t>(rows);
  };
  const std::size_t top = spots < kTileRows ? spots : kTileRows, bottom = spots - top;
  set(0, top), set(1, top), set(2, bottom), set(3, bottom), set(4, top), set(5, bottom), set(6, kTileRows), set(7, kTileRows);
  written();
  _tile_loadconfig(bytes);
}

// Inputs of the spots of a block, row by row, and what they have in common as far as they do.
struct Block {
  struct Share {
    Task task;
    std::size_t end;  // of its spots
    bool whole;       // they have all quads of the layer
  };
  std::size_t quads, count = 0, shares = 0, stride = 0, configured = 0;
  Spot spots[kSpots];
  Share share[kSpots];
  alignas(64) std::byte inputs[kSpots * kSteps * kTileBytes];
  Group sums[kWide * kSpots];

  explicit Block(const ByteLayer& layer) : quads(layer.quads) {}

  void add(const Task& task, std::size_t more) {
    std::size_t all = 0;
    for (std::size_t n = 0; n < task.run_count; ++n) all += task.runs[n].length;
    share[shares++] = {task, count += more, all == quads};
  }
};

inline __mmask64 first_bytes(std::size_t count) { return count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1; }

inline void copy(std::byte* to, const std::byte* from, std::size_t count) {
  for (; count > 64; count -= 64, to += 64, from += 64) _mm512_storeu_si512(to, _mm512_loadu_si512(from));
  const __mmask64 rest = first_bytes(count);
  _mm512_mask_storeu_epi8(to, rest, _mm512_maskz_loadu_epi8(rest, from));
}

// Quads [first, first + 16 steps) of all spots; those that a spot does not have, beside the map or behind the last one, are zero.
[[gnu::noinline]] void gather(Block& block, std::size_t first, std::size_t steps) {
  const std::size_t end = first + steps * kTileQuads;
  block.stride = (steps | 1) * kTileBytes;
  std::byte* row = block.inputs;
  std::size_t spot = 0;
  for (const Block::Share* share = block.share; share != block.share + block.shares; ++share) {
    for (; spot < share->end; ++spot, row += block.stride) {
      for (std::size_t n = share->whole ? steps - 1 : 0; n < steps; ++n) {
        _mm512_store_si512(row + n * kTileBytes, _mm512_setzero_si512());
      }
      for (const Run* run = share->task.runs; run != share->task.runs + share->task.run_count; ++run) {
        const std::size_t from = run->weight < first ? first : run->weight, to = run->weight + std::size_t{run->length};
        const std::size_t until = to < end ? to : end;
        if (from >= until) continue;
        copy(row + 4 * (from - first), block.spots[spot].x + run->x + 4 * (from - run->weight), 4 * (until - from));
      }
    }
  }
}

// All sums of a block: kDown tiles of spots by kAcross of channels, whose weights are `next` apart.
template <std::size_t kDown, std::size_t kAcross>
struct Tiles {
  static void clear() {
    _tile_zero(0);
    if constexpr (kAcross > 1) _tile_zero(1);
    if constexpr (kDown > 1) _tile_zero(2);
    if constexpr (kDown > 1 && kAcross > 1) _tile_zero(3);
  }

  [[gnu::noinline]] static void add(const std::byte* x, std::size_t stride, const std::int8_t* w, std::size_t next, std::size_t steps) {
    const std::byte* below = x + kTileRows * stride;
    const std::int8_t* beside = w + next;
    written();
    for (; steps != 0; --steps, x += kTileBytes, below += kTileBytes, w += kTile, beside += kTile) {
      _tile_loadd(4, x, stride);
      _tile_loadd(6, w, kTileBytes);
      _tile_dpbusd(0, 4, 6);
      if constexpr (kAcross > 1) {
        _tile_loadd(7, beside, kTileBytes);
        _tile_dpbusd(1, 4, 7);
      }
      if constexpr (kDown > 1) {
        _tile_loadd(5, below, stride);
        _tile_dpbusd(2, 5, 6);
      }
      if constexpr (kDown > 1 && kAcross > 1) _tile_dpbusd(3, 5, 7);
    }
  }

  static void load(const Group* sums) {
    written();
    _tile_loadd(0, sums, kTileBytes);
    if constexpr (kAcross > 1) _tile_loadd(1, sums + kSpots, kTileBytes);
    if constexpr (kDown > 1) _tile_loadd(2, sums + kTileRows, kTileBytes);
    if constexpr (kDown > 1 && kAcross > 1) _tile_loadd(3, sums + kSpots + kTileRows, kTileBytes);
  }

  static void store(Group* sums) {
    _tile_stored(0, sums, kTileBytes);
    if constexpr (kAcross > 1) _tile_stored(1, sums + kSpots, kTileBytes);
    if constexpr (kDown > 1) _tile_stored(2, sums + kTileRows, kTileBytes);
    if constexpr (kDown > 1 && kAcross > 1) _tile_stored(3, sums + kSpots + kTileRows, kTileBytes);
  }
};

// Sums of one group of channels, spot by spot.
[[gnu::noinline]] void end_group(const Block& block, Group* sums, std::size_t group) {
  std::size_t spot = 0;
  for (const Block::Share* share = block.share; share != block.share + block.shares; ++share) {
    const Target target{group, share->end - spot, block.spots + spot, share->task.y_plane};
    Group* const own = sums + spot;
    for (; spot < share->end; ++spot) sums[spot] = sums[spot] + constants(*share->task.epilogue, block.spots[spot].sum, group);
    finish(*share->task.epilogue, own, target);
  }
}

// kAcross groups of channels from `group` on. Inputs that do not all have room are gathered for each of them again.
template <std::size_t kDown, std::size_t kAcross>
void multiply(const ByteLayer& layer, Block& block, std::size_t group) {
  using All = Tiles<kDown, kAcross>;
  const std::size_t steps = (layer.quads + kTileQuads - 1) / kTileQuads, w_step = layer.quads * kGroup * 4;
  const std::int8_t* w = layer.weights + group * w_step;
  All::clear();
  if (steps <= kSteps) {
    All::add(block.inputs, block.stride, w, w_step, steps);
  } else {
    for (std::size_t first = 0; first < steps; first += kSteps) {
      const std::size_t some = steps - first < kSteps ? steps - first : kSteps;
      gather(block, first * kTileQuads, some);
      All::add(block.inputs, block.stride, w + first * kTile, w_step, some);
    }
  }
  All::store(block.sums);
  for (std::size_t n = 0; n < kAcross; ++n) end_group(block, block.sums + n * kSpots, group + n);
}

template <std::size_t kDown>
void multiply_all(const ByteLayer& layer, Block& block, Groups groups) {
  std::size_t group = groups.begin;
  for (; group + kWide <= groups.end; group += kWide) multiply<kDown, kWide>(layer, block, group);
  if (group < groups.end) multiply<kDown, 1>(layer, block, group);
}

// Does all channels of a block that is full, or the last one.
[[gnu::noinline]] void run(const ByteLayer& layer, Block& block, Groups groups) {
  if (block.count == 0) return;
  if (block.configured != block.count) configure(block.configured = block.count);
  const std::size_t steps = (layer.quads + kTileQuads - 1) / kTileQuads;
  if (steps <= kSteps) gather(block, 0, steps);
  if (block.count > kTileRows) multiply_all<2>(layer, block, groups);
  else multiply_all<1>(layer, block, groups);
  block.count = block.shares = 0;
}

// The same byte for the four inputs of each channel of a group.
inline __m512i four_times(const std::uint8_t* group) {
  const __m512i one = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(group)));
  return _mm512_mullo_epi32(one, _mm512_set1_epi32(0x01010101));
}

// Weights of a group, bits to bytes: `steps` tiles. A tile is a pair of words of every channel, (w1, w1 ^ w2); four bits of all channels
// are a row of it.
template <std::size_t kPlanes>
[[gnu::noinline]] void expand(const PlaneTileLayer& layer, std::size_t group, std::size_t first, std::size_t steps, std::int8_t* to) {
  const BlockWeights block(*layer.planes, group);
  const std::uint8_t* weight = layer.weight + group * (1 + kPlanes) * kGroup;
  const __m512i none = four_times(weight), next = _mm512_set1_epi8(4);
  const __m512i start = _mm512_set1_epi64(0x2322212003020100);  // bits 0 to 3 of either channel in a word of 64 bits
  __m512i bit[kPlanes];
  for (std::size_t j = 0; j < kPlanes; ++j) bit[j] = four_times(weight + (1 + j) * kGroup);
  const std::uint32_t* at = block.at + first * 2 * kPlanes * block.width;
  for (std::size_t n = 0; n < steps; ++n, at += 2 * kPlanes * block.width, to += kTile) {
    __m512i one[kPlanes], two[kPlanes];
    for (std::size_t j = 0; j < kPlanes; ++j) {
      one[j] = _mm512_loadu_si512(at + 2 * j * block.width);
      two[j] = _mm512_xor_si512(one[j], _mm512_loadu_si512(at + (2 * j + 1) * block.width));
    }
    __m512i quad = start;
    for (std::size_t row = 0; row < kTileRows / 2; ++row, quad = _mm512_add_epi8(quad, next)) {
      __m512i above = none, below = none;
#pragma GCC unroll 4
      for (std::size_t j = 0; j < kPlanes; ++j) {
        above = _mm512_mask_add_epi8(above, _mm512_bitshuffle_epi64_mask(one[j], quad), above, bit[j]);
        below = _mm512_mask_add_epi8(below, _mm512_bitshuffle_epi64_mask(two[j], quad), below, bit[j]);
      }
      _mm512_store_si512(to + row * kTileBytes, above);
      _mm512_store_si512(to + (row + kTileRows / 2) * kTileBytes, below);
    }
  }
}

void expand(const PlaneTileLayer& layer, std::size_t group, std::size_t first, std::size_t steps, std::int8_t* to) {
  switch (layer.planes->weight_planes) {
    case 1: return expand<1>(layer, group, first, steps, to);
    case 2: return expand<2>(layer, group, first, steps, to);
    case 3: return expand<3>(layer, group, first, steps, to);
    default: return expand<4>(layer, group, first, steps, to);
  }
}

// Rows that share one expansion of weights, and their sums between parts of these.
struct ManyRows {
  static constexpr std::size_t kMost = 2 * kSpots;
  std::size_t count = 0, configured = 0;
  Spot spots[kMost];
  Group sums[kMost / kSpots][kWide * kSpots];
  alignas(64) std::int8_t weights[kWide * kSteps * kTile];
};

template <std::size_t kDown, std::size_t kAcross>
void add_planes(ManyRows& many, const Rows& rows, std::size_t row, std::size_t first, std::size_t steps) {
  using All = Tiles<kDown, kAcross>;
  Group* sums = many.sums[row / kSpots];
  if (first == 0) All::clear();
  else All::load(sums);
  All::add(many.spots[row].x + first * kTileBytes, rows.x_row, many.weights, steps * kTile, steps);
  All::store(sums);
}

template <std::size_t kAcross>
void multiply_planes(const PlaneTileLayer& layer, ManyRows& many, const Rows& rows, std::size_t group) {
  const std::size_t all = layer.planes->words / 2;
  for (std::size_t first = 0; first < all; first += kSteps) {
    const std::size_t steps = all - first < kSteps ? all - first : kSteps;
    for (std::size_t n = 0; n < kAcross; ++n) expand(layer, group + n, first, steps, many.weights + n * steps * kTile);
    for (std::size_t row = 0; row < many.count; row += kSpots) {
      const std::size_t count = many.count - row < kSpots ? many.count - row : kSpots;
      if (many.configured != count) configure(many.configured = count);
      if (count > kTileRows) add_planes<2, kAcross>(many, rows, row, first, steps);
      else add_planes<1, kAcross>(many, rows, row, first, steps);
    }
  }
  for (std::size_t n = 0; n < kAcross; ++n) {
    for (std::size_t row = 0; row < many.count; row += kSpots) {
      const std::size_t count = many.count - row < kSpots ? many.count - row : kSpots;
      Group* sums = many.sums[row / kSpots] + n * kSpots;
      for (std::size_t r = 0; r < count; ++r) {
        for (Integers& part : sums[r].part) part <<= layer.shift;
        sums[r] = sums[r] + constants(layer.epilogue, many.spots[row + r].sum, group + n);
      }
      finish(layer.epilogue, sums, {group + n, count, many.spots + row, rows.y_plane});
    }
  }
}

}  // namespace

void tile_fully_connected(const ByteLayer& layer, const Rows& rows, Groups groups) {
  if (rows.count < kFewSpots) return avx512_vnni::byte_fully_connected(layer, rows, groups);
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.quads)};
  const Task task{&whole, 1, &layer.epilogue, rows.x_plane, rows.y_plane};
  Block block(layer);
  for (std::size_t row = 0; row < rows.count; row += kSpots) {
    const std::size_t count = rows.count - row < kSpots ? rows.count - row : kSpots;
    for (std::size_t r = 0; r < count; ++r) spots_of_rows<1>(rows, row + r, block.spots + r);
    block.add(task, count);
    run(layer, block, groups);
  }
  _tile_release();
}

void tile_inputs(const PlaneTileLayer& layer, const Rows& planes, std::byte* to, std::size_t stride) {
  const std::size_t count = layer.planes->input_planes, steps = layer.planes->words / 2;
  for (std::size_t row = 0; row < planes.count; ++row, to += stride) {
    for (std::size_t n = 0; n < steps; ++n) {
      __m512i bytes = _mm512_setzero_si512();
      for (std::size_t i = 0; i < count; ++i) {
        const auto bits = read_as<std::uint64_t>(planes.x + row * planes.x_row + i * planes.x_plane + 8 * n);
        bytes = _mm512_mask_add_epi8(bytes, bits, bytes, _mm512_set1_epi8(static_cast<char>(layer.input[i])));
      }
      _mm512_storeu_si512(to + n * kTileBytes, bytes);
    }
  }
}

void tile_planes(const PlaneTileLayer& layer, const Rows& rows, Groups groups) {
  ManyRows many;
  for (std::size_t row = 0; row < rows.count; row += ManyRows::kMost) {
    many.count = rows.count - row < ManyRows::kMost ? rows.count - row : ManyRows::kMost;
    for (std::size_t r = 0; r < many.count; ++r) spots_of_rows<1>(rows, row + r, many.spots + r);
    std::size_t group = groups.begin;
    for (; group + kWide <= groups.end; group += kWide) multiply_planes<kWide>(layer, many, rows, group);
    if (group < groups.end) multiply_planes<1>(layer, many, rows, group);
  }
  _tile_release();
}

// Blocks hold pixels of any regions and samples. A layer in groups of channels never comes here.
void tile_convolution(const ByteLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  std::size_t pixels = 0;
  for (std::size_t r = 0; r < window.region_count; ++r) pixels += window.regions[r].pixel_count;
  if (pixels * maps.count < kFewSpots * part.parts) return avx512_vnni::byte_convolution(layer, window, maps, part);
  Block block(layer);
  for (const Region* region = window.regions; region != window.regions + window.region_count; ++region) {
    const Task task{region->runs, region->run_count, &region->epilogue, maps.x_plane, maps.y_plane};
    Walk walk(*region, window, maps, part, 0);
    while (walk.left() != 0) {
      const std::size_t room = kSpots - block.count, count = walk.left() < room ? walk.left() : room;
      walk.next(count, block.spots + block.count);
      block.add(task, count);
      if (block.count == kSpots) run(layer, block, part.groups);
    }
  }
  run(layer, block, part.groups);
  _tile_release();
}

// Four products in turn, as many sums as kernels keep.
std::uint64_t tiles_peak(std::uint64_t repeats) {
  configure(kSpots);
  Tiles<2, 2>::clear();
  for (std::uint64_t n = 0; n < repeats; ++n) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
  return repeats * 4 * kTileRows * kTile;
}

}  // namespace lowbit::amx_int8
