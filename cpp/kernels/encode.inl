// Floats to codes, one text for the levels that have no other. Included inside an anonymous namespace, behind finish.inl.

LOWBIT_INLINE Reals load_first(const std::byte* x, std::size_t count) {
  if (count >= kGroup) return read_as<Reals>(x);
  Reals values = same(0.0f);
  __builtin_memcpy(&values, x, 4 * count);
  return values;
}

LOWBIT_INLINE Mask unordered(const Reals& value) {
  return each([&](std::size_t n) { return value.part[n] != value.part[n]; });
}

// These return where a value was NaN.
template <unsigned kBits>
Mask encode_row(const Encoder& encoder, const std::byte* x, std::byte* y, std::size_t y_plane) {
  constexpr unsigned kThresholds = (1u << kBits) - 1;
  Mask nan = same(0);
  for (std::size_t first = 0; first < encoder.features; first += kGroup) {
    const std::size_t count = encoder.features - first;
    const Reals value = load_first(x + 4 * first, count);
    nan = nan | unordered(value);
    Reals left[kThresholds];
#pragma GCC unroll 16
    for (unsigned c = 0; c < kThresholds; ++c) left[c] = same(encoder.thresholds[c]);
    Mask masks[kBits];
    rank_masks<kBits>(left, value, masks);
    write_ranks<kBits>(masks, encoder.output, encoder.rank_is_code, encoder.table, count, y + first / 8, y_plane, y + first);
  }
  return nan;
}

// Thresholds are counted, or a rounded quotient is the rank; a NaN is above nothing.
inline Mask encode_many_ranks(const Encoder& encoder, const std::byte* x, std::byte* y) {
  const unsigned top = (1u << encoder.bits) - 1;
  Mask nan = same(0);
  for (std::size_t first = 0; first < encoder.features; first += kGroup) {
    const std::size_t count = encoder.features - first;
    const Reals value = load_first(x + 4 * first, count);
    nan = nan | unordered(value);
    Group rank = same(0);
    if (encoder.divisor != 0) {
      const Floats most = Floats{} + static_cast<float>(top);
      rank = each([&](std::size_t n) {
        const Floats steps = nearest(value.part[n] / encoder.divisor) + encoder.offset;
        const Floats above_zero = steps > 0.0f ? steps : Floats{};
        return __builtin_convertvector(above_zero < most ? above_zero : most, Integers);
      });
    } else {
      for (unsigned c = 0; c < top; ++c) rank = add_if(above(value, same(encoder.thresholds[c])), rank, 1);
    }
    std::uint8_t bytes[kGroup];
    write_as(bytes, bytes_of(rank));
    for (std::size_t n = 0; n < kGroup && !encoder.rank_is_code; ++n) bytes[n] = encoder.table[bytes[n]];
    store_first(y + first, read_as<Bytes>(bytes), count);
  }
  return nan;
}

inline bool encode_rows(const Encoder& encoder, const Rows& rows) {
  Mask nan = same(0);
  for (std::size_t row = 0; row < rows.count; ++row) {
    const std::byte* x = rows.x + row * rows.x_row;
    std::byte* y = rows.y + row * rows.y_row;
    switch (encoder.bits) {
      case 1: nan = nan | encode_row<1>(encoder, x, y, rows.y_plane); break;
      case 2: nan = nan | encode_row<2>(encoder, x, y, rows.y_plane); break;
      case 3: nan = nan | encode_row<3>(encoder, x, y, rows.y_plane); break;
      case 4: nan = nan | encode_row<4>(encoder, x, y, rows.y_plane); break;
      default: nan = nan | encode_many_ranks(encoder, x, y); break;
    }
  }
  return bits_of(nan) != 0;
}
