#include "blake2b.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace lowbit {
namespace {

static_assert(std::endian::native == std::endian::little, "blocks are taken as they lie");

constexpr std::size_t kBlock = 128;
constexpr std::uint64_t kStart[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                     0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
constexpr std::uint8_t kOrder[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

using State = std::uint64_t[16];

// Which words of the state it takes the compiler knows, so that none is looked up: twice as fast.
template <std::size_t a, std::size_t b, std::size_t c, std::size_t d>
[[gnu::always_inline]] inline void mix(State& v, std::uint64_t x, std::uint64_t y) {
  v[a] += v[b] + x, v[d] = std::rotr(v[d] ^ v[a], 32);
  v[c] += v[d], v[b] = std::rotr(v[b] ^ v[c], 24);
  v[a] += v[b] + y, v[d] = std::rotr(v[d] ^ v[a], 16);
  v[c] += v[d], v[b] = std::rotr(v[b] ^ v[c], 63);
}

}  // namespace

Blake2b::Blake2b() {
  std::copy(std::begin(kStart), std::end(kStart), state_.begin());
  state_[0] ^= 0x01010000 ^ sizeof(Hash);
}

void Blake2b::add(std::span<const std::byte> content) {
  while (!content.empty()) {
    if (filled_ == kBlock) compress(false);  // the last block waits for finish
    const std::size_t count = std::min(kBlock - filled_, content.size());
    std::memcpy(reinterpret_cast<std::byte*>(block_.data()) + filled_, content.data(), count);
    filled_ += count, content = content.subspan(count);
  }
}

Blake2b::Hash Blake2b::finish() {
  std::memset(reinterpret_cast<std::byte*>(block_.data()) + filled_, 0, kBlock - filled_);
  compress(true);
  Hash hash;
  std::memcpy(hash.data(), state_.data(), sizeof hash);
  return hash;
}

void Blake2b::compress(bool last) {
  total_ += filled_, filled_ = 0;
  State v;
  for (std::size_t n = 0; n < 8; ++n) v[n] = state_[n], v[n + 8] = kStart[n];
  v[12] ^= total_;
  if (last) v[14] = ~v[14];
#pragma GCC unroll 12  // the order of words is known, too
  for (std::size_t round = 0; round < 12; ++round) {
    const auto word = [&, order = kOrder[round % 10]](std::size_t n) { return block_[order[n]]; };
    mix<0, 4, 8, 12>(v, word(0), word(1));
    mix<1, 5, 9, 13>(v, word(2), word(3));
    mix<2, 6, 10, 14>(v, word(4), word(5));
    mix<3, 7, 11, 15>(v, word(6), word(7));
    mix<0, 5, 10, 15>(v, word(8), word(9));
    mix<1, 6, 11, 12>(v, word(10), word(11));
    mix<2, 7, 8, 13>(v, word(12), word(13));
    mix<3, 4, 9, 14>(v, word(14), word(15));
  }
  for (std::size_t n = 0; n < 8; ++n) state_[n] ^= v[n] ^ v[n + 8];
}

}  // namespace lowbit
