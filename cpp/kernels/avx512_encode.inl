// Floats and bytes to codes, in AVX-512. Included by the file of a level, behind avx512.inl.
namespace lowbit::avx512_vpopcntdq {
namespace {

template <unsigned kBits>
inline void rank_floats(const __m512* threshold, __m512 value, __mmask16* bits) {
  Reals left[1u << kBits];
#pragma GCC unroll 16
  for (unsigned c = 0; c + 1 < (1u << kBits); ++c) left[c] = {{threshold[c]}};
  rank_masks<kBits>(left, Reals{{value}}, bits);
}

inline __m512i count_if(__m512i rank, __mmask16 above) {
  return _mm512_mask_add_epi32(rank, above, rank, _mm512_set1_epi32(1));
}

// Beyond four bits the bytes are looked up one by one.
inline void write_bytes(__m512i rank, const std::uint8_t* table, std::size_t count, std::byte* bytes) {
  alignas(64) std::uint32_t ranks[kGroup];
  _mm512_store_si512(ranks, rank);
  for (std::size_t lane = 0; lane < kGroup && lane < count; ++lane) {
    bytes[lane] = static_cast<std::byte>(table[ranks[lane]]);
  }
}

inline __mmask16 unordered(__m512 a, __m512 b) { return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q); }

// Ranks that are codes, of as many features as make whole words of the planes; returns how many. Adds to `nan`.
template <unsigned kBits>
std::size_t encode_words(const Encoder& encoder, const __m512* threshold, const std::byte* x, std::byte* y,
                         std::size_t y_plane, __mmask16& nan) {
  constexpr std::size_t kPieces = 4, kWord = kPieces * kGroup;
  const std::size_t whole = encoder.features / kWord * kWord;
  for (std::size_t first = 0; first < whole; first += kWord) {
    __m512 value[kPieces];
    __mmask16 bits[kPieces][kBits];
#pragma GCC unroll 16
    for (std::size_t p = 0; p < kPieces; ++p) {
      value[p] = _mm512_loadu_ps(x + 4 * (first + p * kGroup));
      rank_floats<kBits>(threshold, value[p], bits[p]);
    }
    nan = _kor_mask16(nan, _kor_mask16(unordered(value[0], value[1]), unordered(value[2], value[3])));
#pragma GCC unroll 16
    for (unsigned bit = 0; bit < kBits; ++bit) {
      const __mmask32 low = _mm512_kunpackw(bits[1][bit], bits[0][bit]), high = _mm512_kunpackw(bits[3][bit], bits[2][bit]);
      const std::uint64_t word = _mm512_kunpackd(high, low);
      __builtin_memcpy(y + bit * y_plane + first / 8, &word, sizeof word);
    }
  }
  return whole;
}

template <unsigned kBits>
__mmask16 encode_row(const Encoder& encoder, const std::byte* x, std::byte* y, std::size_t y_plane) {
  __m512 threshold[1u << kBits];
  for (unsigned c = 0; c + 1 < (1u << kBits); ++c) threshold[c] = _mm512_set1_ps(encoder.thresholds[c]);
  const bool planes = encoder.output == Output::planes && encoder.rank_is_code;
  __mmask16 nan = 0;
  std::size_t first = planes ? encode_words<kBits>(encoder, threshold, x, y, y_plane, nan) : 0;
  for (; first < encoder.features; first += kGroup) {
    const __mmask16 valid = first_lanes(encoder.features - first);
    __mmask16 bits[kBits];
    const __m512 value = _mm512_maskz_loadu_ps(valid, x + 4 * first);
    nan = _kor_mask16(nan, unordered(value, value));
    rank_floats<kBits>(threshold, value, bits);
    write_ranks<kBits>(bits, encoder.output, encoder.rank_is_code, encoder.table, encoder.features - first, y + first / 8, y_plane,
                       y + first);
  }
  return nan;
}

// Eight ranks; a NaN is not above anything.
inline __m256i grid_ranks(const Encoder& encoder, __m256 value) {
  const __m512d steps = _mm512_mul_pd(_mm512_cvtps_pd(value), _mm512_set1_pd(encoder.rate));
  const __m512d above = _mm512_sub_pd(steps, _mm512_set1_pd(encoder.first));
  // max returns its second operand for a NaN.
  const __m512d top = _mm512_set1_pd((1 << encoder.bits) - 1);
  const __m512d bounded = _mm512_min_pd(_mm512_max_pd(above, _mm512_setzero_pd()), top);
  return _mm512_cvt_roundpd_epi32(bounded, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}

// Compares with the thresholds above and below a rank that is at most one off.
inline __m512i corrected(const Encoder& encoder, __m512 value, __m512i rank) {
  const __m512 above = _mm512_i32gather_ps(rank, encoder.thresholds, 4);
  const __mmask16 inner = _mm512_test_epi32_mask(rank, rank);
  const __m512i lower = _mm512_sub_epi32(rank, _mm512_set1_epi32(1));
  const __m512 below = _mm512_mask_i32gather_ps(value, inner, lower, encoder.thresholds, 4);
  const __mmask16 down = _mm512_mask_cmp_ps_mask(inner, value, below, _CMP_NGT_UQ);
  return _mm512_mask_mov_epi32(count_if(rank, _mm512_cmp_ps_mask(value, above, _CMP_GT_OQ)), down, lower);
}

__mmask16 encode_grid(const Encoder& encoder, const std::byte* x, std::byte* y) {
  __mmask16 nan = 0;
  for (std::size_t first = 0; first < encoder.features; first += kGroup) {
    const std::size_t count = encoder.features - first;
    const __m512 value = _mm512_maskz_loadu_ps(first_lanes(count), x + 4 * first);
    nan = _kor_mask16(nan, unordered(value, value));
    const __m256i low = grid_ranks(encoder, _mm512_castps512_ps256(value));
    const __m256i high = grid_ranks(encoder, _mm512_extractf32x8_ps(value, 1));
    __m512i rank = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    if (!encoder.exact) rank = corrected(encoder, value, rank);
    if (encoder.rank_is_code) {
      _mm512_mask_cvtepi32_storeu_epi8(y + first, first_lanes(count), rank);
    } else {
      write_bytes(rank, encoder.table, count, y + first);
    }
  }
  return nan;
}

// Bytes by rounded quotients; max returns its second operand for a NaN.
__mmask16 encode_quotients(const Encoder& encoder, const std::byte* x, std::byte* y) {
  __mmask16 nan = 0;
  const __m512 divisor = _mm512_set1_ps(encoder.divisor), offset = _mm512_set1_ps(encoder.offset);
  const __m512 top = _mm512_set1_ps(static_cast<float>((1u << encoder.bits) - 1));
  for (std::size_t first = 0; first < encoder.features; first += kGroup) {
    const std::size_t count = encoder.features - first;
    const __mmask16 valid = first_lanes(count);
    const __m512 value = _mm512_maskz_loadu_ps(valid, x + 4 * first);
    nan = _kor_mask16(nan, unordered(value, value));
    const __m512 rounded = _mm512_roundscale_ps(_mm512_div_ps(value, divisor), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 bounded = _mm512_min_ps(_mm512_max_ps(_mm512_add_ps(rounded, offset), _mm512_setzero_ps()), top);
    const __m512i rank = _mm512_cvtps_epi32(bounded);
    if (encoder.rank_is_code) {
      _mm512_mask_cvtepi32_storeu_epi8(y + first, valid, rank);
    } else {
      write_bytes(rank, encoder.table, count, y + first);
    }
  }
  return nan;
}

__mmask16 encode_many_ranks(const Encoder& encoder, const std::byte* x, std::byte* y) {
  __mmask16 nan = 0;
  for (std::size_t first = 0; first < encoder.features; first += kGroup) {
    const std::size_t count = encoder.features - first;
    const __m512 value = _mm512_maskz_loadu_ps(first_lanes(count), x + 4 * first);
    nan = _kor_mask16(nan, unordered(value, value));
    __m512i rank = _mm512_setzero_si512();
    for (unsigned c = 0; c + 1 < (1u << encoder.bits); ++c) {
      rank = count_if(rank, _mm512_cmp_ps_mask(value, _mm512_set1_ps(encoder.thresholds[c]), _CMP_GT_OQ));
    }
    write_bytes(rank, encoder.table, count, y + first);
  }
  return nan;
}

}  // namespace

// From a cache line on, since loads across two take twice as long.
bool holds_nan(const float* x, std::size_t count) {
  constexpr std::size_t kLine = kGroup * sizeof(float);
  const std::size_t before = (kLine - reinterpret_cast<std::uintptr_t>(x) % kLine) % kLine / sizeof(float);
  const auto rest_of = [&](std::size_t n, std::size_t end) {
    const __m512 rest = _mm512_maskz_loadu_ps(first_lanes(end - n), x + n);
    return unordered(rest, rest);
  };
  std::size_t n = before < count ? before : count;
  __mmask16 found = rest_of(0, n), more = 0;
  for (; n + 4 * kGroup <= count; n += 4 * kGroup) {
    found = _kor_mask16(found, unordered(_mm512_loadu_ps(x + n), _mm512_loadu_ps(x + n + kGroup)));
    more = _kor_mask16(more, unordered(_mm512_loadu_ps(x + n + 2 * kGroup), _mm512_loadu_ps(x + n + 3 * kGroup)));
  }
  for (; n < count; n += kGroup) found = _kor_mask16(found, rest_of(n, count));
  return _kortestz_mask16_u8(found, more) == 0;
}

bool encode(const Encoder& encoder, const Rows& rows) {
  __mmask16 nan = 0;
  for (std::size_t row = 0; row < rows.count; ++row) {
    const std::byte* x = rows.x + row * rows.x_row;
    std::byte* y = rows.y + row * rows.y_row;
    switch (encoder.bits) {
      case 1: nan |= encode_row<1>(encoder, x, y, rows.y_plane); break;
      case 2: nan |= encode_row<2>(encoder, x, y, rows.y_plane); break;
      case 3: nan |= encode_row<3>(encoder, x, y, rows.y_plane); break;
      case 4: nan |= encode_row<4>(encoder, x, y, rows.y_plane); break;
      default:
        nan |= encoder.divisor != 0 ? encode_quotients(encoder, x, y)
               : encoder.grid       ? encode_grid(encoder, x, y)
                                    : encode_many_ranks(encoder, x, y);
        break;
    }
  }
  return nan != 0;
}

bool encode_affine(const AffineEncoder& encoder, const Rows& rows) {
  __mmask8 nan = 0;
  const __m512d scale = _mm512_set1_pd(encoder.scale), zero = _mm512_set1_pd(encoder.zero);
  const __m512d top = _mm512_set1_pd(encoder.top);
  for (std::size_t row = 0; row < rows.count; ++row) {
    for (std::size_t first = 0; first < encoder.features; first += 8) {
      const std::size_t left = encoder.features - first;
      const auto valid = static_cast<__mmask8>(first_lanes(left < 8 ? left : 8));
      const __m256 x = _mm256_maskz_loadu_ps(valid, rows.x + row * rows.x_row + 4 * first);
      nan = _kor_mask8(nan, _mm256_cmp_ps_mask(x, x, _CMP_UNORD_Q));
      const __m512d ratio = _mm512_div_pd(_mm512_cvtps_pd(x), scale);
      const __m512d code =
          _mm512_add_pd(_mm512_roundscale_pd(ratio, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), zero);
      // max returns its second operand for a NaN, so it becomes code 0 on every level.
      const __m512d clipped = _mm512_min_pd(_mm512_max_pd(code, _mm512_setzero_pd()), top);
      const __m256i bytes = _mm512_cvtpd_epi32(clipped);
      _mm256_mask_cvtepi32_storeu_epi8(rows.y + row * rows.y_row + first, valid, bytes);
    }
  }
  return nan != 0;
}

// The high half of a byte says which sixteen entries, the low half which of them.
void look_up(const std::uint8_t* table, const std::uint8_t* x, std::uint8_t* y, std::size_t count) {
  constexpr std::size_t kPart = 16, kBytes = 64;
  __m512i parts[kPart];
  for (std::size_t n = 0; n < kPart; ++n) {
    const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table + n * kPart));
    parts[n] = _mm512_maskz_broadcast_i32x4(0xffff, part);  // unmasked, gcc 12 calls its own operand uninitialized
  }
  const __m512i low = _mm512_set1_epi8(kPart - 1);
  for (std::size_t first = 0; first < count; first += kBytes) {
    const std::size_t left = count - first;
    const __mmask64 valid = left >= kBytes ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    const __m512i code = _mm512_maskz_loadu_epi8(valid, x + first);
    const __m512i entry = _mm512_and_si512(code, low);
    const __m512i part = _mm512_and_si512(_mm512_srli_epi16(code, 4), low);
    __m512i found = _mm512_shuffle_epi8(parts[0], entry);
#pragma GCC unroll 16
    for (std::size_t n = 1; n < kPart; ++n) {
      const __mmask64 here = _mm512_cmpeq_epi8_mask(part, _mm512_set1_epi8(static_cast<char>(n)));
      found = _mm512_mask_shuffle_epi8(found, here, parts[n], entry);
    }
    _mm512_mask_storeu_epi8(y + first, valid, found);
  }
}

}  // namespace lowbit::avx512_vpopcntdq
