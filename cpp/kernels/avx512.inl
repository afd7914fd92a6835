// What the AVX-512 files share: ranks by binary search, planes from masks, and the end of a fully connected layer.
// Included inside an anonymous namespace, so that each file keeps its own copy for its own instruction set.

// The first `count` of 16 lanes.
inline __mmask16 first_lanes(std::size_t count) {
  return static_cast<__mmask16>(count >= kGroup ? 0xffffu : (1u << count) - 1u);
}

// The bits of rank = #{thresholds below the value}, highest first: each halves the thresholds that are left in `left`,
// so 2^b - 1 thresholds take b compares. `above(t)` compares with a vector of thresholds, one for each
// lane; `pick` chooses between the lower and the upper half by a mask.
template <unsigned kBits, class Vector, class Above, class Pick>
inline void rank_bits(Vector* left, Above above, Pick pick, __mmask16* bits) {
  constexpr unsigned kMiddle = (1u << (kBits - 1)) - 1;
  const __mmask16 up = above(left[kMiddle]);
  bits[kBits - 1] = up;
  if constexpr (kBits > 1) {
    for (unsigned c = 0; c < kMiddle; ++c) left[c] = pick(up, left[c], left[c + kMiddle + 1]);
    rank_bits<kBits - 1>(left, above, pick, bits);
  }
}

inline __m512i rank_from_bits(const __mmask16* bits, unsigned count) {
  __m512i rank = _mm512_setzero_si512();
  for (unsigned bit = 0; bit < count; ++bit) {
    rank = _mm512_mask_or_epi32(rank, bits[bit], rank, _mm512_set1_epi32(1 << bit));
  }
  return rank;
}

// Beyond four bits the thresholds are simply counted, and the bytes looked up one by one.
inline void write_bytes(__m512i rank, const std::uint8_t* table, std::size_t count, std::byte* bytes) {
  alignas(64) std::uint32_t ranks[kGroup];
  _mm512_store_si512(ranks, rank);
  for (std::size_t lane = 0; lane < kGroup && lane < count; ++lane) {
    bytes[lane] = static_cast<std::byte>(table[ranks[lane]]);
  }
}

inline __m512i count_if(__m512i rank, __mmask16 above) {
  return _mm512_mask_add_epi32(rank, above, rank, _mm512_set1_epi32(1));
}

// rank -> table[rank] for up to 16 ranks, one per 32-bit lane.
inline __m512i look_up(const std::uint8_t* table, __m512i rank) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm512_permutexvar_epi32(rank, _mm512_cvtepu8_epi32(bytes));
}

// One group's ranks as 16-bit pieces of planes, or as bytes. Lanes that do not exist give zero bits.
inline void write_ranks(__mmask16* bits, unsigned count, Output output, bool rank_is_code,
                        const std::uint8_t* table, __mmask16 valid, std::byte* planes, std::size_t y_plane,
                        std::byte* bytes) {
  if (output == Output::bytes) {
    _mm512_mask_cvtepi32_storeu_epi8(bytes, valid, look_up(table, rank_from_bits(bits, count)));
    return;
  }
  if (!rank_is_code) {
    const __m512i code = look_up(table, rank_from_bits(bits, count));
    for (unsigned bit = 0; bit < count; ++bit) {
      bits[bit] = _mm512_test_epi32_mask(code, _mm512_set1_epi32(1 << bit));
    }
  }
  for (unsigned bit = 0; bit < count; ++bit) {
    const auto piece = static_cast<std::uint16_t>(bits[bit] & valid);
    __builtin_memcpy(planes + bit * y_plane, &piece, sizeof piece);
  }
}

// clip(rint(scale * acc / out_scale) + out_zero, 0, out_top) for eight channels.
inline __m256i requantize(const Epilogue& e, __m256i acc, std::size_t channel) {
  const __m512d product = _mm512_mul_pd(_mm512_loadu_pd(e.scale + channel), _mm512_cvtepi32_pd(acc));
  const __m512d ratio = _mm512_div_pd(product, _mm512_set1_pd(e.out_scale));
  const __m512d code = _mm512_add_pd(
      _mm512_roundscale_pd(ratio, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), _mm512_set1_pd(e.out_zero));
  const __m512d clipped =
      _mm512_min_pd(_mm512_max_pd(code, _mm512_setzero_pd()), _mm512_set1_pd(e.out_top));
  return _mm512_cvtpd_epi32(clipped);
}

inline __m256 to_real(const Epilogue& e, __m256i acc, std::size_t channel) {
  const __m512d product = _mm512_mul_pd(_mm512_loadu_pd(e.scale + channel), _mm512_cvtepi32_pd(acc));
  const __m512d bias = e.bias == nullptr ? _mm512_setzero_pd() : _mm512_loadu_pd(e.bias + channel);
  return _mm512_cvtpd_ps(_mm512_add_pd(product, bias));
}

inline __m256i low_half(__m512i v) { return _mm512_castsi512_si256(v); }
inline __m256i high_half(__m512i v) { return _mm512_extracti64x4_epi64(v, 1); }

// Where the results of a tile go: one group of channels in several spots.
struct Target {
  std::size_t group, rows;
  const Spot* spots;
  std::size_t y_plane;
};

template <unsigned kBits>
void finish_ranks(const Epilogue& e, const __m512i* acc, const Target& to) {
  __m512i threshold[1u << kBits];
  const std::int32_t* at = e.thresholds + to.group * ((1u << kBits) - 1) * kGroup;
  for (unsigned c = 0; c + 1 < (1u << kBits); ++c) threshold[c] = _mm512_loadu_si512(at + c * kGroup);
  const std::size_t first = to.group * kGroup;
  const __mmask16 valid = first_lanes(e.channels - first);
  for (std::size_t r = 0; r < to.rows; ++r) {
    __m512i left[1u << kBits];
    for (unsigned c = 0; c + 1 < (1u << kBits); ++c) left[c] = threshold[c];
    __mmask16 bits[kBits];
    rank_bits<kBits>(
        left, [&](__m512i t) { return _mm512_cmpgt_epi32_mask(acc[r], t); },
        [](__mmask16 up, __m512i low, __m512i high) { return _mm512_mask_mov_epi32(low, up, high); }, bits);
    std::byte* y = to.spots[r].y;
    write_ranks(bits, kBits, e.output, e.rank_is_code, e.table, valid, y + first / 8, to.y_plane, y + first);
  }
}

void finish_many_ranks(const Epilogue& e, const __m512i* acc, const Target& to) {
  const std::size_t levels = (std::size_t{1} << e.bits) - 1, first = to.group * kGroup;
  for (std::size_t r = 0; r < to.rows; ++r) {
    const std::int32_t* threshold = e.thresholds + to.group * levels * kGroup;
    __m512i rank = _mm512_setzero_si512();
    for (std::size_t c = 0; c < levels; ++c, threshold += kGroup) {
      rank = count_if(rank, _mm512_cmpgt_epi32_mask(acc[r], _mm512_loadu_si512(threshold)));
    }
    write_bytes(rank, e.table, e.channels - first, to.spots[r].y + first);
  }
}

void finish_affine(const Epilogue& e, const __m512i* acc, const Target& to) {
  const std::size_t first = to.group * kGroup;
  for (std::size_t r = 0; r < to.rows; ++r) {
    const __m256i low = requantize(e, low_half(acc[r]), first), high = requantize(e, high_half(acc[r]), first + 8);
    const __m512i code = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    _mm512_mask_cvtepi32_storeu_epi8(to.spots[r].y + first, first_lanes(e.channels - first), code);
  }
}

void finish_real(const Epilogue& e, const __m512i* acc, const Target& to) {
  const std::size_t first = to.group * kGroup;
  for (std::size_t r = 0; r < to.rows; ++r) {
    const __m256 low = to_real(e, low_half(acc[r]), first), high = to_real(e, high_half(acc[r]), first + 8);
    const __m512 real = _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
    _mm512_mask_storeu_ps(to.spots[r].y + 4 * first, first_lanes(e.channels - first), real);
  }
}

// Eight sums to whole levels. Clipped before they are rounded, as the ends are whole: nothing leaves int32 then.
template <int kRounding>
inline __m256i rounded(const Ending& e, __m256i sum, std::size_t channel, __m512d half) {
  const __m512d product = _mm512_mul_pd(_mm512_loadu_pd(e.scale + channel), _mm512_cvtepi32_pd(sum));
  const __m512d real = e.bias == nullptr ? product : _mm512_add_pd(product, _mm512_loadu_pd(e.bias + channel));
  const __m512d kept = _mm512_max_pd(_mm512_add_pd(real, half), _mm512_set1_pd(e.low));
  return _mm512_cvt_roundpd_epi32(_mm512_min_pd(kept, _mm512_set1_pd(e.high)), kRounding | _MM_FROUND_NO_EXC);
}

template <int kRounding>
inline __m512i rounded(const Ending& e, __m512i sum, std::size_t group, double half) {
  const __m512d raise = _mm512_set1_pd(half);
  const __m256i low = rounded<kRounding>(e, low_half(sum), group * kGroup, raise);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), rounded<kRounding>(e, high_half(sum), group * kGroup + 8, raise), 1);
}

// Sums of a group to whole levels, by a shift to the right.
inline __m512i shifted(const Ending& e, __m512i sum) {
  const __m512i whole = _mm512_srav_epi32(sum, _mm512_set1_epi32(e.shift)), half = _mm512_srav_epi32(sum, _mm512_set1_epi32(e.shift - 1));
  const __m512i up = _mm512_and_si512(half, _mm512_set1_epi32(e.rule == Rule::shift_up ? 1 : 0));
  return _mm512_min_epi32(_mm512_max_epi32(_mm512_add_epi32(whole, up), _mm512_set1_epi32(e.low)), _mm512_set1_epi32(e.high));
}

// Whether `levels` knows the ending: words and bytes that are rounded or shifted. All others end lane by lane.
inline bool has_levels(const Ending& e) {
  const bool rounds = e.rule == Rule::round_even || e.rule == Rule::round_up || e.rule == Rule::round_down;
  const bool shifts = e.rule == Rule::shift_up || e.rule == Rule::shift_down;
  return (e.form == Form::words || e.form == Form::bytes) && ((rounds && e.step == 1) || (shifts && e.shift > 0));
}

inline __m512i levels(const Ending& e, __m512i sum, std::size_t group) {
  switch (e.rule) {
    case Rule::round_up: return rounded<_MM_FROUND_TO_NEG_INF>(e, sum, group, 0.5);
    case Rule::round_down: return rounded<_MM_FROUND_TO_NEG_INF>(e, sum, group, 0);
    case Rule::round_even: return rounded<_MM_FROUND_TO_NEAREST_INT>(e, sum, group, 0);
    default: return shifted(e, sum);
  }
}

inline void store_levels(const Ending& e, __m512i level, std::size_t group, std::byte* y) {
  const std::size_t first = group * kGroup;
  const __mmask16 valid = first_lanes(e.channels - first);
  const __m512i entry = _mm512_sub_epi32(level, _mm512_set1_epi32(e.base));
  if (e.form == Form::words) {
    _mm256_mask_storeu_epi16(y + 2 * first, valid, _mm512_cvtepi32_epi16(entry));
  } else {
    _mm_mask_storeu_epi8(y + first, valid, _mm512_cvtepi32_epi8(entry));
  }
}

void finish_other(const Epilogue& e, const __m512i* acc, const Target& to) {
  if (has_levels(*e.ending)) {
    for (std::size_t r = 0; r < to.rows; ++r) store_levels(*e.ending, levels(*e.ending, acc[r], to.group), to.group, to.spots[r].y);
    return;
  }
  for (std::size_t r = 0; r < to.rows; ++r) {
    alignas(64) std::int32_t lanes[kGroup];
    _mm512_store_si512(lanes, acc[r]);
    end_lanes(*e.ending, lanes, to.group, to.spots[r].y, to.y_plane);
  }
}

// From accumulators, one per row, to outputs. Out of line: a tile must not repeat it for each of its rows.
[[gnu::noinline]] void finish(const Epilogue& e, const __m512i* acc, const Target& to) {
  if (e.output == Output::affine) return finish_affine(e, acc, to);
  if (e.output == Output::real) return finish_real(e, acc, to);
  if (e.output == Output::other) return finish_other(e, acc, to);
  switch (e.bits) {
    case 1: return finish_ranks<1>(e, acc, to);
    case 2: return finish_ranks<2>(e, acc, to);
    case 3: return finish_ranks<3>(e, acc, to);
    case 4: return finish_ranks<4>(e, acc, to);
    default: return finish_many_ranks(e, acc, to);
  }
}

// constant + row_factor * row_sum.
inline __m512i constants(const Epilogue& e, std::int32_t sum, std::size_t group) {
  const __m512i constant = _mm512_loadu_si512(e.constant + group * kGroup);
  if (e.row_factor == nullptr) return constant;
  const __m512i factor = _mm512_loadu_si512(e.row_factor + group * kGroup);
  return _mm512_add_epi32(constant, _mm512_mullo_epi32(factor, _mm512_set1_epi32(sum)));
}
