// Intel's tiles in plain C++, as the manual defines them (Software Developer's Manual, volume 1, chapter 18, and the instructions'
// own pages), for machines that have none: the kernels of amx_int8 are compiled over these instead of the instructions. What an
// instruction would refuse with an exception stops the program, or is what a test makes of it. Included before namespaces.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace lowbit::tiles {
namespace {

constexpr int kTiles = 8;  // of palette 1, with up to 16 rows of up to 64 bytes
constexpr unsigned kMostRows = 16, kMostBytes = 64;

struct Configuration {
  std::uint8_t palette, start_row, reserved[14];
  std::uint16_t row_bytes[16];
  std::uint8_t rows[16];
};
static_assert(sizeof(Configuration) == 64);

[[noreturn]] inline void stop(const char* what) {
  std::fprintf(stderr, "emulated tiles: %s\n", what);
  std::abort();
}
inline void (*fault)(const char* what) = stop;

inline thread_local Configuration configuration{};
inline thread_local std::uint8_t data[kTiles][kMostRows][kMostBytes];

inline bool check(bool holds, const char* what) {
  if (!holds) fault(what);
  return holds;
}

inline void release() {
  std::memset(&configuration, 0, sizeof configuration);
  std::memset(data, 0, sizeof data);
}

inline void load_configuration(const void* from) {
  Configuration next;
  std::memcpy(&next, from, sizeof next);
  if (!check(next.palette <= 1, "there is no such palette")) return;
  if (next.palette == 0) return release();
  for (const std::uint8_t byte : next.reserved) {
    if (!check(byte == 0, "a reserved byte of the configuration is not 0")) return;
  }
  for (int n = 0; n < 16; ++n) {
    const unsigned rows = next.rows[n], bytes = next.row_bytes[n];
    if (!check(n < kTiles || (rows == 0 && bytes == 0), "a tile beyond the eighth is configured")) return;
    if (!check(rows <= kMostRows && bytes <= kMostBytes, "a tile is larger than 16 rows of 64 bytes")) return;
    if (!check((rows == 0) == (bytes == 0), "a tile has rows without bytes, or bytes without rows")) return;
  }
  configuration = next;
  std::memset(data, 0, sizeof data);
}

// Whether instructions may use it.
inline bool is_there(int tile) {
  return check(configuration.palette == 1, "tiles are not configured") &&
         check(tile >= 0 && tile < kTiles && configuration.rows[tile] != 0, "the tile is not configured");
}

inline void zero(int tile) {
  if (is_there(tile)) std::memset(data[tile], 0, sizeof data[tile]);
}

// Rows and bytes that the tile does not have become zero.
inline void load(int tile, const void* from, std::ptrdiff_t stride) {
  if (!is_there(tile)) return;
  std::memset(data[tile], 0, sizeof data[tile]);
  const auto* at = static_cast<const std::uint8_t*>(from);
  for (int r = 0; r < configuration.rows[tile]; ++r) std::memcpy(data[tile][r], at + r * stride, configuration.row_bytes[tile]);
}

inline void store(int tile, void* to, std::ptrdiff_t stride) {
  if (!is_there(tile)) return;
  auto* at = static_cast<std::uint8_t*>(to);
  for (int r = 0; r < configuration.rows[tile]; ++r) std::memcpy(at + r * stride, data[tile][r], configuration.row_bytes[tile]);
}

template <class A, class B>
std::uint32_t product(std::uint8_t a, std::uint8_t b) {
  return static_cast<std::uint32_t>(std::int32_t{static_cast<A>(a)} * std::int32_t{static_cast<B>(b)});
}

// to[m][n] += sum over k and four bytes of a[m][k] * b[k][n], modulo 2^32.
template <class A, class B>
void multiply(int to, int a, int b) {
  if (!is_there(to) || !is_there(a) || !is_there(b)) return;
  const Configuration& c = configuration;
  if (!check(to != a && to != b && a != b, "a product of tiles needs three of them")) return;
  if (!check(c.row_bytes[to] % 4 == 0 && c.row_bytes[a] % 4 == 0 && c.row_bytes[b] % 4 == 0, "rows are no whole numbers")) return;
  if (!check(c.rows[to] == c.rows[a] && c.row_bytes[to] == c.row_bytes[b] && c.row_bytes[a] / 4 == c.rows[b],
             "the shapes of the tiles do not fit each other")) {
    return;
  }
  for (unsigned m = 0; m < c.rows[to]; ++m) {
    std::uint32_t sums[kMostBytes / 4];
    std::memcpy(sums, data[to][m], sizeof sums);
    for (unsigned k = 0; k < c.rows[b]; ++k) {
      for (unsigned n = 0; n < c.row_bytes[to] / 4u; ++n) {
        for (unsigned i = 0; i < 4; ++i) sums[n] += product<A, B>(data[a][m][4 * k + i], data[b][k][4 * n + i]);
      }
    }
    std::memcpy(data[to][m], sums, sizeof sums);
  }
  for (unsigned m = c.rows[to]; m < kMostRows; ++m) std::memset(data[to][m], 0, kMostBytes);
}

}  // namespace
}  // namespace lowbit::tiles

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbssd
#undef _tile_dpbsud
#undef _tile_dpbusd
#undef _tile_dpbuud
#define _tile_loadconfig(from) ::lowbit::tiles::load_configuration(from)
#define _tile_release() ::lowbit::tiles::release()
#define _tile_loadd(tile, from, stride) ::lowbit::tiles::load(tile, from, static_cast<std::ptrdiff_t>(stride))
#define _tile_stored(tile, to, stride) ::lowbit::tiles::store(tile, to, static_cast<std::ptrdiff_t>(stride))
#define _tile_zero(tile) ::lowbit::tiles::zero(tile)
#define _tile_dpbssd(to, a, b) ::lowbit::tiles::multiply<std::int8_t, std::int8_t>(to, a, b)
#define _tile_dpbsud(to, a, b) ::lowbit::tiles::multiply<std::int8_t, std::uint8_t>(to, a, b)
#define _tile_dpbusd(to, a, b) ::lowbit::tiles::multiply<std::uint8_t, std::int8_t>(to, a, b)
#define _tile_dpbuud(to, a, b) ::lowbit::tiles::multiply<std::uint8_t, std::uint8_t>(to, a, b)
