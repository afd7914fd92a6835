// The emulated tiles by the manual: what they compute, what they leave, and what they refuse.
#if defined(__x86_64__)
#include <immintrin.h>

#include <numeric>
#include <random>
#include <stdexcept>

#include "check.h"
#include "emulated_tiles.h"

namespace lowbit::testing {
namespace {

struct Shapes {
  std::uint8_t bytes[64] = {1};

  Shapes& tile(int n, int rows, int row_bytes) {
    bytes[16 + 2 * n] = static_cast<std::uint8_t>(row_bytes), bytes[48 + n] = static_cast<std::uint8_t>(rows);
    return *this;
  }
};

// Whether it is refused; afterwards nothing is configured.
template <class Function>
bool faults(const Function& function) {
  tiles::fault = [](const char* what) { throw std::runtime_error(what); };
  bool thrown = false;
  try {
    function();
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  tiles::fault = tiles::stop;
  _tile_release();
  return thrown;
}

std::vector<std::uint8_t> random_bytes(std::mt19937& random, std::size_t count) {
  std::vector<std::uint8_t> bytes(count);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random() % 3 == 0 ? 255 * (random() % 2) : random());
  return bytes;
}

int number(std::uint8_t byte, bool has_sign) { return has_sign ? static_cast<std::int8_t>(byte) : byte; }

TEST(emulated_tiles_multiply) {
  std::mt19937 random(1);
  for (int repeat = 0; repeat < 40; ++repeat) {
    const int m = 1 + static_cast<int>(random() % 16), k = 1 + static_cast<int>(random() % 16), n = 1 + static_cast<int>(random() % 16);
    const bool a_sign = repeat % 2 == 1, b_sign = repeat % 4 > 1;
    const std::size_t stride = 64 + random() % 9;
    const std::vector<std::uint8_t> a = random_bytes(random, 16 * stride), b = random_bytes(random, 16 * stride);
    std::vector<std::int32_t> sums(256, 7);
    _tile_loadconfig(Shapes().tile(0, m, 4 * n).tile(1, m, 4 * k).tile(2, k, 4 * n).bytes);
    _tile_loadd(0, sums.data(), 64);
    _tile_loadd(1, a.data(), stride);
    _tile_loadd(2, b.data(), stride);
    if (a_sign && b_sign) _tile_dpbssd(0, 1, 2);
    else if (a_sign) _tile_dpbsud(0, 1, 2);
    else if (b_sign) _tile_dpbusd(0, 1, 2);
    else _tile_dpbuud(0, 1, 2);
    _tile_stored(0, sums.data(), 64);
    _tile_release();
    bool equal = true;
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 16; ++column) {
        int expected = 7;
        for (int i = 0; row < m && column < n && i < 4 * k; ++i) {
          const std::size_t at_a = static_cast<std::size_t>(row) * stride + static_cast<std::size_t>(i);
          const std::size_t at_b = static_cast<std::size_t>(i / 4) * stride + static_cast<std::size_t>(4 * column + i % 4);
          expected += number(a[at_a], a_sign) * number(b[at_b], b_sign);
        }
        equal &= sums[static_cast<std::size_t>(16 * row + column)] == expected;
      }
    }
    CHECK(equal, std::to_string(m) + " x " + std::to_string(k) + " x " + std::to_string(n));
  }
}

TEST(emulated_tiles_hold_zeros_where_nothing_was_read) {
  std::vector<std::uint8_t> ones(1024, 1), found(1024, 9);
  _tile_loadconfig(Shapes().tile(3, 5, 20).bytes);
  _tile_loadd(3, ones.data(), 64);
  CHECK(std::accumulate(&tiles::data[3][0][0], &tiles::data[3][0][0] + 1024, 0) == 100, "rows and bytes beyond");
  _tile_stored(3, found.data(), 64);
  CHECK(std::count(found.begin(), found.end(), 1) == 100 && std::count(found.begin(), found.end(), 9) == 924, "what is written");
  _tile_zero(3);
  _tile_stored(3, found.data(), 64);
  CHECK(std::count(found.begin(), found.end(), 0) == 100, "zero");
  _tile_loadd(3, ones.data(), 64);
  _tile_loadconfig(Shapes().tile(3, 16, 64).bytes);
  _tile_stored(3, found.data(), 64);
  CHECK(std::count(found.begin(), found.end(), 0) == 1024, "a configuration clears all");
  _tile_release();
}

TEST(emulated_tiles_refuse_what_the_processor_refuses) {
  std::uint8_t memory[1024] = {};
  CHECK(faults([&] { _tile_zero(0); }), "not configured");
  CHECK(faults([&] { _tile_loadd(0, memory, 64); }), "not configured");
  CHECK(faults([&] {
          _tile_loadconfig(Shapes().tile(0, 16, 64).bytes);
          _tile_release();
          _tile_stored(0, memory, 64);
        }),
        "released");
  CHECK(faults([&] {
          _tile_loadconfig(Shapes().tile(0, 16, 64).bytes);
          _tile_loadd(1, memory, 64);
        }),
        "another one is configured");
  CHECK(faults([&] { _tile_loadconfig(Shapes().tile(0, 17, 64).bytes); }), "17 rows");
  CHECK(faults([&] { _tile_loadconfig(Shapes().tile(0, 16, 65).bytes); }), "65 bytes");
  CHECK(faults([&] { _tile_loadconfig(Shapes().tile(0, 16, 0).bytes); }), "rows without bytes");
  CHECK(faults([&] { _tile_loadconfig(Shapes().tile(9, 1, 4).bytes); }), "a ninth tile");
  Shapes shapes;
  shapes.bytes[2] = 1;
  CHECK(faults([&] { _tile_loadconfig(shapes.bytes); }), "a reserved byte");
  shapes.bytes[2] = 0, shapes.bytes[0] = 2;
  CHECK(faults([&] { _tile_loadconfig(shapes.bytes); }), "palette 2");
  const auto multiply = [&](const Shapes& of, bool same = false) {
    return faults([&] {
      _tile_loadconfig(of.bytes);
      if (same) _tile_dpbssd(0, 1, 1);
      else _tile_dpbssd(0, 1, 2);
    });
  };
  CHECK(!multiply(Shapes().tile(0, 3, 8).tile(1, 3, 12).tile(2, 3, 8)), "shapes that fit");
  CHECK(multiply(Shapes().tile(0, 4, 8).tile(1, 3, 12).tile(2, 3, 8)), "rows of the sums");
  CHECK(multiply(Shapes().tile(0, 3, 12).tile(1, 3, 12).tile(2, 3, 8)), "columns of the sums");
  CHECK(multiply(Shapes().tile(0, 3, 8).tile(1, 3, 16).tile(2, 3, 8)), "what is summed");
  CHECK(multiply(Shapes().tile(0, 3, 6).tile(1, 3, 12).tile(2, 3, 6)), "half numbers");
  CHECK(multiply(Shapes().tile(0, 3, 8).tile(1, 3, 12)), "a third one that is not there");
  CHECK(multiply(Shapes().tile(0, 16, 64).tile(1, 16, 64), true), "one tile twice");
}

}  // namespace
}  // namespace lowbit::testing
#endif
