// Floats to codes, one text for all levels over vectors.inl. Included inside an anonymous namespace, behind finish.inl. Functions
// return where a value was NaN.

// Ranks that are codes, of as many features as make whole words of the planes; returns how many.
template <unsigned kBits>
LOWBIT_INLINE std::size_t encode_words(std::size_t features, const Reals* threshold, const std::byte* x, std::byte* y,
                                       std::size_t y_plane, Mask& nan) {
  constexpr std::size_t kPieces = 4, kWord = kPieces * kGroup;
  const std::size_t whole = features / kWord * kWord;
  for (std::size_t first = 0; first < whole; first += kWord) {
    Reals value[kPieces];
    Mask masks[kPieces][kBits];
#pragma GCC unroll 4
    for (std::size_t p = 0; p < kPieces; ++p) {
      value[p] = read_as<Reals>(x + 4 * (first + p * kGroup));
      rank_masks<kBits>(threshold, value[p], masks[p]);
    }
    nan = either(nan, either(unordered(value[0], value[1]), unordered(value[2], value[3])));
#pragma GCC unroll 4
    for (unsigned bit = 0; bit < kBits; ++bit) {
      write_as(y + bit * y_plane + first / 8, bits_of(masks[0][bit], masks[1][bit], masks[2][bit], masks[3][bit]));
    }
  }
  return whole;
}

template <unsigned kBits>
Mask encode_row(const Encoder& encoder, const std::byte* x, std::byte* y, std::size_t y_plane) {
  constexpr unsigned kThresholds = (1u << kBits) - 1;
  Reals threshold[kThresholds];
#pragma GCC unroll 16
  for (unsigned c = 0; c < kThresholds; ++c) threshold[c] = same(encoder.thresholds[c]);
  Mask nan{};
  const bool planes = kVectors == 1 && encoder.output == Output::planes && encoder.rank_is_code;  // where masks are bits
  std::size_t first = planes ? encode_words<kBits>(encoder.features, threshold, x, y, y_plane, nan) : 0;
  for (; first < encoder.features; first += kGroup) {
    const std::size_t count = encoder.features - first;
    const Reals value = load_first(x + 4 * first, count);
    nan = either(nan, unordered(value, value));
    Mask masks[kBits];
    rank_masks<kBits>(threshold, value, masks);
    write_ranks<kBits>(masks, encoder.output, encoder.rank_is_code, encoder.table, count, y + first / 8, y_plane, y + first);
  }
  return nan;
}

// Compares with the thresholds above and below a rank that is at most one off.
inline Group corrected(const Encoder& encoder, const Reals& value, const Group& rank) {
  const Group lower = rank - same(1), zero = same(0);
  const Mask inner = above(rank, zero);
  const Group upper = add_if(above(value, gather(encoder.thresholds, rank)), rank, 1);
  const Mask stays = above(value, gather(encoder.thresholds, choose(inner, lower, zero)));
  return choose(inner, choose(stays, upper, lower), upper);
}

// A rank that is not found by halves; a NaN is above nothing.
LOWBIT_INLINE Group rank_of_many(const Encoder& encoder, const Reals& value) {
  const unsigned top = (1u << encoder.bits) - 1;
  if (encoder.divisor != 0) {
    return each([&](std::size_t n) {
      const Floats steps = nearest(value.part[n] / encoder.divisor) + encoder.offset, most = Floats{} + static_cast<float>(top);
      const Floats above_zero = steps > 0.0f ? steps : Floats{};
      return __builtin_convertvector(above_zero < most ? above_zero : most, Integers);
    });
  }
  if (encoder.grid) {
    const Group rank = each_half(value, [&](Doubles x, std::size_t) {
      return integers_above(clipped(x * encoder.rate - encoder.first, 0.0, static_cast<double>(top)));
    });
    return encoder.exact ? rank : corrected(encoder, value, rank);
  }
  Group rank = same(0);
  for (unsigned c = 0; c < top; ++c) rank = add_if(above(value, same(encoder.thresholds[c])), rank, 1);
  return rank;
}

inline Mask encode_counted_ranks(const Encoder& encoder, const std::byte* x, std::byte* y, std::size_t y_plane) {
  Mask nan{};
  for (std::size_t first = 0; first < encoder.features; first += kGroup) {
    const std::size_t count = encoder.features - first;
    const Reals value = load_first(x + 4 * first, count);
    nan = either(nan, unordered(value, value));
    const Bytes ranks = bytes_of(rank_of_many(encoder, value));
    const Bytes codes = encoder.rank_is_code ? ranks : look_up_ranks(encoder.table, encoder.bits, ranks);
    if (encoder.output == Output::planes) write_planes(encoder.bits, codes, count, y + first / 8, y_plane);
    else store_first(y + first, codes, count);
  }
  return nan;
}

inline Mask encode_one(const Encoder& encoder, const std::byte* x, std::byte* y, std::size_t y_plane) {
  if (encoder.bits == 1) return encode_row<1>(encoder, x, y, y_plane);
  if (encoder.bits == 2) return encode_row<2>(encoder, x, y, y_plane);
  if constexpr (kHalved > 2) {
    if (encoder.bits == 3) return encode_row<3>(encoder, x, y, y_plane);
  }
  if constexpr (kHalved > 3) {
    if (encoder.bits == 4) return encode_row<4>(encoder, x, y, y_plane);
  }
  return encode_counted_ranks(encoder, x, y, y_plane);
}

// Sixteen floats as codes of an affine encoding; a NaN has code 0. Ends are whole, so that what is clipped before it is rounded leaves
// nothing out.
LOWBIT_INLINE Group affine_codes(const AffineEncoder& encoder, const Reals& value) {
  const double low = -encoder.zero, high = encoder.top - encoder.zero;
  if (encoder.rate != 0) {
    const auto zero = static_cast<std::int32_t>(encoder.zero);
    return each_half(value, [&](Doubles x, std::size_t) { return integers_nearest(clipped(x * encoder.rate, low, high)); }) + same(zero);
  }
  return each_half(value, [&](Doubles x, std::size_t) {
    return integers_nearest(clipped(nearest(x / encoder.scale) + encoder.zero, 0.0, encoder.top));
  });
}

}  // namespace

bool encode(const Encoder& encoder, const Rows& rows) {
  Mask nan{};
  for (std::size_t row = 0; row < rows.count; ++row) {
    const std::byte* x = rows.x + row * rows.x_row;
    std::byte* y = rows.y + row * rows.y_row;
    nan = either(nan, encode_one(encoder, x, y, rows.y_plane));
  }
  return bits_of(nan) != 0;
}

bool encode_affine(const AffineEncoder& encoder, const Rows& rows) {
  Mask nan{};
  for (std::size_t row = 0; row < rows.count; ++row) {
    for (std::size_t first = 0; first < encoder.features; first += kGroup) {
      const std::size_t count = encoder.features - first;
      const Reals value = load_first(rows.x + row * rows.x_row + 4 * first, count);
      nan = either(nan, unordered(value, value));
      store_first(rows.y + row * rows.y_row + first, bytes_of(affine_codes(encoder, value)), count);
    }
  }
  return bits_of(nan) != 0;
}

namespace {
