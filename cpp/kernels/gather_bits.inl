// Codes in bytes to pieces of planes, in plain C++. Included inside an anonymous namespace.

// Bit `bit` of eight bytes, the first byte's lowest: the product moves every bit to the top byte.
inline unsigned gather_bits(const std::uint8_t* bytes, unsigned bit) {
  std::uint64_t eight;
  __builtin_memcpy(&eight, bytes, sizeof eight);
  return static_cast<unsigned>((((eight >> bit) & 0x0101010101010101u) * 0x0102040810204080u) >> 56);
}
