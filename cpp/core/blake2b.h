// BLAKE2b with 32 bytes of result (RFC 7693): about a gigabyte a second in plain C++, and Python has it too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lowbit {

class Blake2b final {
 public:
  using Hash = std::array<std::byte, 32>;

  Blake2b();
  void add(std::span<const std::byte> content);
  Hash finish();

 private:
  void compress(bool last);

  std::array<std::uint64_t, 8> state_;
  std::array<std::uint64_t, 16> block_{};
  std::size_t filled_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace lowbit
