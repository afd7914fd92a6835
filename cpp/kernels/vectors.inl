// What endings need of vectors, by instruction set, so that they are one text for all levels: sixteen int32 of a group of
// channels, floats beside them, a truth for each, sixteen bytes, and float64. Arithmetic of vectors is the compiler's.
// Included inside an anonymous namespace, so that each file keeps its own copy for its own instruction set.

#define LOWBIT_INLINE __attribute__((always_inline)) inline

#if defined(__AVX512F__)
constexpr std::size_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr std::size_t kVectorBytes = 32;
#else
constexpr std::size_t kVectorBytes = 16;
#endif

constexpr std::size_t kDoubleLanes = kVectorBytes / 8;
typedef double Doubles __attribute__((vector_size(kVectorBytes)));
typedef float Floats __attribute__((vector_size(kVectorBytes)));
typedef std::int32_t Integers __attribute__((vector_size(kVectorBytes)));
typedef float HalfFloats __attribute__((vector_size(kVectorBytes / 2)));
typedef std::int32_t HalfIntegers __attribute__((vector_size(kVectorBytes / 2)));
typedef std::int16_t HalfWords __attribute__((vector_size(kVectorBytes / 2)));
typedef std::uint8_t Bytes __attribute__((vector_size(16)));

constexpr std::size_t kVectors = 4 * kGroup / kVectorBytes;  // of a group

struct Group {
  Integers part[kVectors];
};

struct Reals {
  Floats part[kVectors];
};

template <class Vector>
LOWBIT_INLINE Vector read_as(const void* at) {
  Vector vector;
  __builtin_memcpy(&vector, at, sizeof vector);
  return vector;
}

template <class Vector>
LOWBIT_INLINE void write_as(void* at, Vector vector) {
  __builtin_memcpy(at, &vector, sizeof vector);
}

// What apply(n) gives for the vectors of a group. Written out: structures that loops fill live in memory.
template <class All = Group, class Apply>
LOWBIT_INLINE All each(const Apply& apply) {
  if constexpr (kVectors == 1) {
    return {{apply(0)}};
  } else if constexpr (kVectors == 2) {
    return {{apply(0), apply(1)}};
  } else {
    return {{apply(0), apply(1), apply(2), apply(3)}};
  }
}

// Vector by vector: a copy as a whole goes through memory, in pieces that are slow to read together.
template <>
LOWBIT_INLINE Reals read_as<Reals>(const void* at) {
  return each<Reals>([&](std::size_t n) { return read_as<Floats>(static_cast<const std::byte*>(at) + n * kVectorBytes); });
}

LOWBIT_INLINE Group load_group(const std::int32_t* at) {
  return each([&](std::size_t n) { return read_as<Integers>(at + n * kVectorBytes / 4); });
}

LOWBIT_INLINE void store_group(std::int32_t* at, const Group& group) {
#pragma GCC unroll 4
  for (std::size_t n = 0; n < kVectors; ++n) write_as(at + n * kVectorBytes / 4, group.part[n]);
}

LOWBIT_INLINE Group same(std::int32_t value) {
  return each([&](std::size_t) { return Integers{} + value; });
}

LOWBIT_INLINE Reals same(float value) {
  return each<Reals>([&](std::size_t) { return Floats{} + value; });
}

LOWBIT_INLINE Group operator+(const Group& a, const Group& b) {
  return each([&](std::size_t n) { return a.part[n] + b.part[n]; });
}

LOWBIT_INLINE Group operator-(const Group& a, const Group& b) {
  return each([&](std::size_t n) { return a.part[n] - b.part[n]; });
}

LOWBIT_INLINE Group operator*(const Group& a, const Group& b) {
  return each([&](std::size_t n) { return a.part[n] * b.part[n]; });
}

LOWBIT_INLINE Group operator&(const Group& a, const Group& b) {
  return each([&](std::size_t n) { return a.part[n] & b.part[n]; });
}

LOWBIT_INLINE Group operator>>(const Group& a, int by) {
  return each([&](std::size_t n) { return a.part[n] >> by; });
}

LOWBIT_INLINE Group clipped(const Group& value, std::int32_t low, std::int32_t high) {
  return each([&](std::size_t n) {
    const Integers least = Integers{} + low, most = Integers{} + high;
    const Integers above = value.part[n] < least ? least : value.part[n];
    return above > most ? most : above;
  });
}

LOWBIT_INLINE unsigned first_bits(std::size_t count) { return count >= kGroup ? 0xffffu : (1u << count) - 1u; }

// load_first(at, count) and store_first(at, group or bytes, count) read and write sixteen numbers, or the first `count` of them
// where there are no more. Masks hold a truth for each: of above(a, b), unordered(a, b), where one is NaN, either(mask, mask), for
// choose(mask, a, b) and add_if(mask, a, value).
#if defined(__AVX512F__)

using Mask = __mmask16;

LOWBIT_INLINE Mask above(const Group& a, const Group& b) {
  return _mm512_cmpgt_epi32_mask(reinterpret_cast<__m512i>(a.part[0]), reinterpret_cast<__m512i>(b.part[0]));
}
LOWBIT_INLINE Mask above(const Reals& a, const Reals& b) { return _mm512_cmp_ps_mask(a.part[0], b.part[0], _CMP_GT_OQ); }
LOWBIT_INLINE Group choose(Mask mask, const Group& a, const Group& b) {
  return {{reinterpret_cast<Integers>(_mm512_mask_mov_epi32(reinterpret_cast<__m512i>(b.part[0]), mask, reinterpret_cast<__m512i>(a.part[0])))}};
}
LOWBIT_INLINE Reals choose(Mask mask, const Reals& a, const Reals& b) { return {{_mm512_mask_mov_ps(b.part[0], mask, a.part[0])}}; }
LOWBIT_INLINE Group add_if(Mask mask, const Group& a, std::int32_t value) {
  const auto sum = reinterpret_cast<__m512i>(a.part[0]);
  return {{reinterpret_cast<Integers>(_mm512_mask_add_epi32(sum, mask, sum, _mm512_set1_epi32(value)))}};
}
LOWBIT_INLINE unsigned bits_of(Mask mask) { return mask; }
LOWBIT_INLINE std::uint64_t bits_of(Mask a, Mask b, Mask c, Mask d) {
  return _mm512_kunpackd(_mm512_kunpackw(d, c), _mm512_kunpackw(b, a));
}
LOWBIT_INLINE Mask either(Mask a, Mask b) { return _kor_mask16(a, b); }
LOWBIT_INLINE Mask unordered(const Reals& a, const Reals& b) { return _mm512_cmp_ps_mask(a.part[0], b.part[0], _CMP_UNORD_Q); }
LOWBIT_INLINE Reals load_first(const std::byte* at, std::size_t count) {
  return {{_mm512_maskz_loadu_ps(static_cast<Mask>(first_bits(count)), at)}};
}
LOWBIT_INLINE void store_first(std::byte* at, const Group& group, std::size_t count) {
  _mm512_mask_storeu_epi32(at, static_cast<Mask>(first_bits(count)), reinterpret_cast<__m512i>(group.part[0]));
}
LOWBIT_INLINE void store_first(std::byte* at, Bytes bytes, std::size_t count) {
  _mm_mask_storeu_epi8(at, static_cast<Mask>(first_bits(count)), reinterpret_cast<__m128i>(bytes));
}

#else

using Mask = Group;

LOWBIT_INLINE Mask above(const Group& a, const Group& b) {
  return each([&](std::size_t n) { return a.part[n] > b.part[n]; });
}
LOWBIT_INLINE Mask above(const Reals& a, const Reals& b) {
  return each([&](std::size_t n) { return a.part[n] > b.part[n]; });
}
template <class All>
LOWBIT_INLINE All choose(const Mask& mask, const All& a, const All& b) {
  return each<All>([&](std::size_t n) { return mask.part[n] ? a.part[n] : b.part[n]; });
}
LOWBIT_INLINE Group add_if(const Mask& mask, const Group& a, std::int32_t value) {
  return each([&](std::size_t n) { return a.part[n] + (mask.part[n] & value); });
}
LOWBIT_INLINE Mask either(const Mask& a, const Mask& b) {
  return each([&](std::size_t n) { return a.part[n] | b.part[n]; });
}
LOWBIT_INLINE Mask unordered(const Reals& a, const Reals& b) {
  return each([&](std::size_t n) { return (a.part[n] != a.part[n]) | (b.part[n] != b.part[n]); });
}
LOWBIT_INLINE Reals load_first(const std::byte* at, std::size_t count) {
  if (count >= kGroup) return read_as<Reals>(at);
  Reals values = same(0.0f);
  __builtin_memcpy(&values, at, 4 * count);
  return values;
}
template <class All>
LOWBIT_INLINE void store_first(std::byte* at, const All& all, std::size_t count) {
  if (count >= kGroup) return write_as(at, all);
  __builtin_memcpy(at, &all, count * (sizeof all / kGroup));
}

#endif

// By instruction set:
//   bits_of(mask), bits_of(mask, mask, mask, mask)       sixteen bits, or 64
//   bytes_of(group)                    of numbers that fit bytes
//   group_of(bytes)                    their numbers; load_bytes(at, count): the first of sixteen bytes
//   add_products(sum, a, b)            sum + a * b, of numbers that fit 16 bits with a sign
//   look_up(table, bytes)              in a table of sixteen
//   bits_of(bytes, bit)                that bit of every byte
//   store_words(at, group, count)      of numbers that fit words, the first of them
//   half(integers, n), join(low, high)
//   doubles_of(half), clipped(doubles, low, high)        of integers or floats; a NaN becomes the lower end
//   nearest(doubles or floats)         half to even
//   integers_nearest(floats)           half to even; of numbers that fit
//   integers_nearest(doubles), integers_below(doubles), integers_above(doubles)   half to even, down, up; of numbers that fit
//   gather(table, group)               floats at these places
#if defined(__AVX512F__)

LOWBIT_INLINE Bytes bytes_of(const Group& group) {
  return reinterpret_cast<Bytes>(_mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(group.part[0])));
}
LOWBIT_INLINE Group group_of(Bytes bytes) {
  return {{reinterpret_cast<Integers>(_mm512_cvtepu8_epi32(reinterpret_cast<__m128i>(bytes)))}};
}
LOWBIT_INLINE Bytes load_bytes(const std::byte* at, std::size_t count) {
  return reinterpret_cast<Bytes>(_mm_maskz_loadu_epi8(static_cast<Mask>(first_bits(count)), at));
}
LOWBIT_INLINE Group add_products(const Group& sum, const Group& a, const Group& b) {
  const auto x = reinterpret_cast<__m512i>(a.part[0]), y = reinterpret_cast<__m512i>(b.part[0]);
#if defined(__AVX512VNNI__)
  return {{reinterpret_cast<Integers>(_mm512_dpwssd_epi32(reinterpret_cast<__m512i>(sum.part[0]), x, y))}};
#else
  return {{sum.part[0] + reinterpret_cast<Integers>(_mm512_madd_epi16(x, y))}};
#endif
}
LOWBIT_INLINE unsigned bits_of(Bytes bytes, unsigned bit) {
  return _mm_test_epi8_mask(reinterpret_cast<__m128i>(bytes), _mm_set1_epi8(static_cast<char>(1 << bit)));
}
LOWBIT_INLINE void store_words(std::byte* at, const Group& group, std::size_t count) {
  const __m256i words = _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(group.part[0]));
  _mm256_mask_storeu_epi16(at, static_cast<Mask>(first_bits(count)), words);
}
LOWBIT_INLINE HalfIntegers half(Integers v, std::size_t n) {
  const auto whole = reinterpret_cast<__m512i>(v);
  return reinterpret_cast<HalfIntegers>(n == 0 ? _mm512_castsi512_si256(whole) : _mm512_extracti64x4_epi64(whole, 1));
}
LOWBIT_INLINE Integers join(HalfIntegers low, HalfIntegers high) {
  const __m512i whole = _mm512_castsi256_si512(reinterpret_cast<__m256i>(low));
  return reinterpret_cast<Integers>(_mm512_inserti64x4(whole, reinterpret_cast<__m256i>(high), 1));
}
LOWBIT_INLINE Doubles doubles_of(HalfIntegers v) { return _mm512_cvtepi32_pd(reinterpret_cast<__m256i>(v)); }
LOWBIT_INLINE Doubles clipped(Doubles v, double low, double high) {
  return _mm512_min_pd(_mm512_max_pd(v, _mm512_set1_pd(low)), _mm512_set1_pd(high));
}
LOWBIT_INLINE Floats nearest(Floats v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LOWBIT_INLINE Doubles nearest(Doubles v) { return _mm512_roundscale_pd(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LOWBIT_INLINE HalfIntegers integers_nearest(Doubles v) {
  return reinterpret_cast<HalfIntegers>(_mm512_cvt_roundpd_epi32(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
LOWBIT_INLINE Integers integers_nearest(Floats v) {
  return reinterpret_cast<Integers>(_mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
LOWBIT_INLINE HalfIntegers integers_below(Doubles v) {
  return reinterpret_cast<HalfIntegers>(_mm512_cvt_roundpd_epi32(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
}
LOWBIT_INLINE HalfIntegers integers_above(Doubles v) {
  return reinterpret_cast<HalfIntegers>(_mm512_cvt_roundpd_epi32(v, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC));
}
LOWBIT_INLINE Doubles doubles_of(HalfFloats v) { return _mm512_cvtps_pd(v); }
LOWBIT_INLINE Reals gather(const float* table, const Group& at) {
  return {{_mm512_i32gather_ps(reinterpret_cast<__m512i>(at.part[0]), table, 4)}};
}

#elif defined(__AVX2__)

LOWBIT_INLINE unsigned bits_of(const Mask& mask) {
  const auto low = static_cast<unsigned>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask.part[0])));
  return low | static_cast<unsigned>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask.part[1]))) << 8;
}
LOWBIT_INLINE __m256i words_of(const Group& group) {
  const __m256i words = _mm256_packs_epi32(reinterpret_cast<__m256i>(group.part[0]), reinterpret_cast<__m256i>(group.part[1]));
  return _mm256_permute4x64_epi64(words, 0xd8);
}
LOWBIT_INLINE Bytes bytes_of(const Group& group) {
  const __m256i words = words_of(group);
  return reinterpret_cast<Bytes>(_mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
LOWBIT_INLINE Group group_of(Bytes bytes) {
  const auto all = reinterpret_cast<__m128i>(bytes);
  return {{reinterpret_cast<Integers>(_mm256_cvtepu8_epi32(all)), reinterpret_cast<Integers>(_mm256_cvtepu8_epi32(_mm_srli_si128(all, 8)))}};
}
LOWBIT_INLINE Group add_products(const Group& sum, const Group& a, const Group& b) {
  return each([&](std::size_t n) {
    const auto x = reinterpret_cast<__m256i>(a.part[n]), y = reinterpret_cast<__m256i>(b.part[n]);
    return sum.part[n] + reinterpret_cast<Integers>(_mm256_madd_epi16(x, y));
  });
}
LOWBIT_INLINE void store_words(std::byte* at, const Group& group, std::size_t count) { store_first(at, words_of(group), count); }
LOWBIT_INLINE HalfIntegers half(Integers v, std::size_t n) {
  const auto whole = reinterpret_cast<__m256i>(v);
  return reinterpret_cast<HalfIntegers>(n == 0 ? _mm256_castsi256_si128(whole) : _mm256_extracti128_si256(whole, 1));
}
LOWBIT_INLINE Integers join(HalfIntegers low, HalfIntegers high) {
  return reinterpret_cast<Integers>(_mm256_setr_m128i(reinterpret_cast<__m128i>(low), reinterpret_cast<__m128i>(high)));
}
LOWBIT_INLINE Floats nearest(Floats v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LOWBIT_INLINE Doubles nearest(Doubles v) { return _mm256_round_pd(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LOWBIT_INLINE HalfIntegers integers_nearest(Doubles v) { return reinterpret_cast<HalfIntegers>(_mm256_cvttpd_epi32(nearest(v))); }
LOWBIT_INLINE HalfIntegers integers_below(Doubles v) {
  return reinterpret_cast<HalfIntegers>(_mm256_cvttpd_epi32(_mm256_floor_pd(v)));
}
LOWBIT_INLINE HalfIntegers integers_above(Doubles v) {
  return reinterpret_cast<HalfIntegers>(_mm256_cvttpd_epi32(_mm256_ceil_pd(v)));
}

#elif defined(__aarch64__)

LOWBIT_INLINE unsigned bits_of_truths(uint8x16_t truths) {
  constexpr std::uint8_t kBit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t bits = vandq_u8(truths, vld1q_u8(kBit));
  bits = vpaddq_u8(bits, bits);
  bits = vpaddq_u8(bits, bits);
  bits = vpaddq_u8(bits, bits);
  return vgetq_lane_u16(vreinterpretq_u16_u8(bits), 0);
}
LOWBIT_INLINE uint16x8_t words_of(Integers low, Integers high) {
  return vuzp1q_u16(reinterpret_cast<uint16x8_t>(low), reinterpret_cast<uint16x8_t>(high));
}
LOWBIT_INLINE Bytes bytes_of(const Group& group) {
  const uint16x8_t low = words_of(group.part[0], group.part[1]), high = words_of(group.part[2], group.part[3]);
  return reinterpret_cast<Bytes>(vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high)));
}
LOWBIT_INLINE unsigned bits_of(const Mask& mask) { return bits_of_truths(reinterpret_cast<uint8x16_t>(bytes_of(mask))); }
LOWBIT_INLINE Bytes look_up(const std::uint8_t* table, Bytes bytes) {
  return reinterpret_cast<Bytes>(vqtbl1q_u8(vld1q_u8(table), reinterpret_cast<uint8x16_t>(bytes)));
}
LOWBIT_INLINE unsigned bits_of(Bytes bytes, unsigned bit) {
  return bits_of_truths(vtstq_u8(reinterpret_cast<uint8x16_t>(bytes), vdupq_n_u8(static_cast<std::uint8_t>(1u << bit))));
}
LOWBIT_INLINE void store_words(std::byte* at, const Group& group, std::size_t count) {
  store_first(at, uint16x8x2_t{{words_of(group.part[0], group.part[1]), words_of(group.part[2], group.part[3])}}, count);
}
LOWBIT_INLINE HalfIntegers half(Integers v, std::size_t n) {
  const auto whole = reinterpret_cast<int32x4_t>(v);
  return reinterpret_cast<HalfIntegers>(n == 0 ? vget_low_s32(whole) : vget_high_s32(whole));
}
LOWBIT_INLINE Integers join(HalfIntegers low, HalfIntegers high) {
  return reinterpret_cast<Integers>(vcombine_s32(reinterpret_cast<int32x2_t>(low), reinterpret_cast<int32x2_t>(high)));
}
LOWBIT_INLINE Floats nearest(Floats v) { return reinterpret_cast<Floats>(vrndnq_f32(reinterpret_cast<float32x4_t>(v))); }
LOWBIT_INLINE Doubles nearest(Doubles v) { return reinterpret_cast<Doubles>(vrndnq_f64(reinterpret_cast<float64x2_t>(v))); }
LOWBIT_INLINE HalfIntegers integers_nearest(Doubles v) {
  return reinterpret_cast<HalfIntegers>(vmovn_s64(vcvtnq_s64_f64(reinterpret_cast<float64x2_t>(v))));
}
LOWBIT_INLINE HalfIntegers integers_below(Doubles v) {
  return reinterpret_cast<HalfIntegers>(vmovn_s64(vcvtmq_s64_f64(reinterpret_cast<float64x2_t>(v))));
}
LOWBIT_INLINE HalfIntegers integers_above(Doubles v) {
  return reinterpret_cast<HalfIntegers>(vmovn_s64(vcvtpq_s64_f64(reinterpret_cast<float64x2_t>(v))));
}

#elif defined(__SSE4_1__)

LOWBIT_INLINE __m128i words_of(const Group& group, std::size_t half) {
  return _mm_packs_epi32(reinterpret_cast<__m128i>(group.part[2 * half]), reinterpret_cast<__m128i>(group.part[2 * half + 1]));
}
LOWBIT_INLINE Bytes bytes_of(const Group& group) { return reinterpret_cast<Bytes>(_mm_packus_epi16(words_of(group, 0), words_of(group, 1))); }
LOWBIT_INLINE unsigned bits_of(const Mask& mask) {
  const __m128i bytes = _mm_packs_epi16(words_of(mask, 0), words_of(mask, 1));
  return static_cast<unsigned>(_mm_movemask_epi8(bytes));
}
LOWBIT_INLINE void store_words(std::byte* at, const Group& group, std::size_t count) {
  struct {
    __m128i low, high;
  } const words{words_of(group, 0), words_of(group, 1)};
  store_first(at, words, count);
}
LOWBIT_INLINE HalfIntegers half(Integers v, std::size_t n) { return HalfIntegers{v[2 * n], v[2 * n + 1]}; }
LOWBIT_INLINE Integers join(HalfIntegers low, HalfIntegers high) { return Integers{low[0], low[1], high[0], high[1]}; }
LOWBIT_INLINE Floats nearest(Floats v) { return _mm_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LOWBIT_INLINE Doubles nearest(Doubles v) { return _mm_round_pd(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LOWBIT_INLINE HalfIntegers whole(Doubles v) {
  const __m128i integers = _mm_cvttpd_epi32(v);
  return read_as<HalfIntegers>(&integers);
}
LOWBIT_INLINE HalfIntegers integers_nearest(Doubles v) { return whole(nearest(v)); }
LOWBIT_INLINE HalfIntegers integers_below(Doubles v) { return whole(_mm_floor_pd(v)); }
LOWBIT_INLINE HalfIntegers integers_above(Doubles v) { return whole(_mm_ceil_pd(v)); }

#elif defined(__wasm_simd128__)

LOWBIT_INLINE v128_t words_of(const Group& group, std::size_t half) {
  return wasm_i16x8_narrow_i32x4(reinterpret_cast<v128_t>(group.part[2 * half]), reinterpret_cast<v128_t>(group.part[2 * half + 1]));
}
LOWBIT_INLINE Bytes bytes_of(const Group& group) {
  return reinterpret_cast<Bytes>(wasm_u8x16_narrow_i16x8(words_of(group, 0), words_of(group, 1)));
}
LOWBIT_INLINE unsigned bits_of(const Mask& mask) {
  return wasm_i8x16_bitmask(wasm_i8x16_narrow_i16x8(words_of(mask, 0), words_of(mask, 1)));
}
LOWBIT_INLINE unsigned bits_of(Bytes bytes, unsigned bit) {
  return wasm_i8x16_bitmask(wasm_i8x16_shl(reinterpret_cast<v128_t>(bytes), 7 - bit));
}
LOWBIT_INLINE Bytes look_up(const std::uint8_t* table, Bytes bytes) {
  return reinterpret_cast<Bytes>(wasm_i8x16_swizzle(wasm_v128_load(table), reinterpret_cast<v128_t>(bytes)));
}
LOWBIT_INLINE void store_words(std::byte* at, const Group& group, std::size_t count) {
  struct {
    v128_t low, high;
  } const words{words_of(group, 0), words_of(group, 1)};
  store_first(at, words, count);
}
LOWBIT_INLINE HalfIntegers half(Integers v, std::size_t n) { return HalfIntegers{v[2 * n], v[2 * n + 1]}; }
LOWBIT_INLINE Integers join(HalfIntegers low, HalfIntegers high) { return Integers{low[0], low[1], high[0], high[1]}; }
LOWBIT_INLINE Floats nearest(Floats v) { return reinterpret_cast<Floats>(wasm_f32x4_nearest(reinterpret_cast<v128_t>(v))); }
LOWBIT_INLINE Doubles nearest(Doubles v) { return reinterpret_cast<Doubles>(wasm_f64x2_nearest(reinterpret_cast<v128_t>(v))); }
LOWBIT_INLINE HalfIntegers whole(v128_t v) {
  const v128_t integers = wasm_i32x4_trunc_sat_f64x2_zero(v);
  return read_as<HalfIntegers>(&integers);
}
LOWBIT_INLINE HalfIntegers integers_nearest(Doubles v) { return whole(wasm_f64x2_nearest(reinterpret_cast<v128_t>(v))); }
LOWBIT_INLINE HalfIntegers integers_below(Doubles v) { return whole(wasm_f64x2_floor(reinterpret_cast<v128_t>(v))); }
LOWBIT_INLINE HalfIntegers integers_above(Doubles v) { return whole(wasm_f64x2_ceil(reinterpret_cast<v128_t>(v))); }

#else

// Codes in bytes to pieces of planes, in plain C++. Included inside an anonymous namespace.

// Bit `bit` of eight bytes, the first byte's lowest: the product moves every bit to the top byte.
inline unsigned gather_bits(const std::uint8_t* bytes, unsigned bit) {
  std::uint64_t eight;
  __builtin_memcpy(&eight, bytes, sizeof eight);
  return static_cast<unsigned>((((eight >> bit) & 0x0101010101010101u) * 0x0102040810204080u) >> 56);
}

LOWBIT_INLINE Bytes bytes_of(const Group& group) {
  std::int32_t lanes[kGroup];
  std::uint8_t bytes[kGroup];
  store_group(lanes, group);
  for (std::size_t n = 0; n < kGroup; ++n) bytes[n] = static_cast<std::uint8_t>(lanes[n]);
  return read_as<Bytes>(bytes);
}
LOWBIT_INLINE unsigned bits_of(Bytes bytes, unsigned bit) {
  std::uint8_t lanes[kGroup];
  write_as(lanes, bytes);
  return gather_bits(lanes, bit) | gather_bits(lanes + 8, bit) << 8;
}
LOWBIT_INLINE unsigned bits_of(const Mask& mask) { return bits_of(bytes_of(mask), 0); }
LOWBIT_INLINE Bytes look_up(const std::uint8_t* table, Bytes bytes) {
  for (std::size_t n = 0; n < kGroup; ++n) bytes[n] = table[bytes[n]];
  return bytes;
}
LOWBIT_INLINE void store_words(std::byte* at, const Group& group, std::size_t count) {
  struct {
    std::int16_t of[kGroup];
  } words;
  std::int32_t lanes[kGroup];
  store_group(lanes, group);
  for (std::size_t n = 0; n < kGroup; ++n) words.of[n] = static_cast<std::int16_t>(lanes[n]);
  store_first(at, words, count);
}
LOWBIT_INLINE HalfIntegers half(Integers v, std::size_t n) { return HalfIntegers{v[2 * n], v[2 * n + 1]}; }
LOWBIT_INLINE Integers join(HalfIntegers low, HalfIntegers high) { return Integers{low[0], low[1], high[0], high[1]}; }
LOWBIT_INLINE Floats nearest(Floats v) {
  return Floats{__builtin_rintf(v[0]), __builtin_rintf(v[1]), __builtin_rintf(v[2]), __builtin_rintf(v[3])};
}
LOWBIT_INLINE Doubles nearest(Doubles v) { return Doubles{__builtin_rint(v[0]), __builtin_rint(v[1])}; }
LOWBIT_INLINE HalfIntegers integers_nearest(Doubles v) { return __builtin_convertvector(nearest(v), HalfIntegers); }
LOWBIT_INLINE HalfIntegers integers_below(Doubles v) {
  return __builtin_convertvector((Doubles{__builtin_floor(v[0]), __builtin_floor(v[1])}), HalfIntegers);
}
LOWBIT_INLINE HalfIntegers integers_above(Doubles v) {
  return __builtin_convertvector((Doubles{__builtin_ceil(v[0]), __builtin_ceil(v[1])}), HalfIntegers);
}

#endif

#if !defined(__AVX512F__)
LOWBIT_INLINE Integers integers_nearest(Floats v) { return __builtin_convertvector(nearest(v), Integers); }
// Bytes of a pixel come in fours.
LOWBIT_INLINE Bytes load_bytes(const std::byte* at, std::size_t count) {
  if (count >= kGroup) return read_as<Bytes>(at);
  std::uint32_t fours[kGroup / 4] = {};
  for (std::size_t n = 0; 4 * n < count; ++n) __builtin_memcpy(fours + n, at + 4 * n, 4);
  return read_as<Bytes>(fours);
}
LOWBIT_INLINE std::uint64_t bits_of(const Mask& a, const Mask& b, const Mask& c, const Mask& d) {
  return bits_of(a) | bits_of(b) << 16 | std::uint64_t{bits_of(c) | bits_of(d) << 16} << 32;
}
LOWBIT_INLINE Doubles doubles_of(HalfIntegers v) { return __builtin_convertvector(v, Doubles); }
LOWBIT_INLINE Doubles doubles_of(HalfFloats v) { return __builtin_convertvector(v, Doubles); }
LOWBIT_INLINE Reals gather(const float* table, const Group& at) {
  std::int32_t place[kGroup];
  float found[kGroup];
  store_group(place, at);
  for (std::size_t n = 0; n < kGroup; ++n) found[n] = table[place[n]];
  return read_as<Reals>(found);
}
LOWBIT_INLINE Doubles clipped(Doubles v, double low, double high) {
  const Doubles least = Doubles{} + low, most = Doubles{} + high, above = v > least ? v : least;
  return above < most ? above : most;
}
#endif

#if !defined(__AVX2__)
LOWBIT_INLINE Group group_of(Bytes bytes) {
  std::uint8_t from[kGroup];
  std::int32_t to[kGroup];
  write_as(from, bytes);
  for (std::size_t n = 0; n < kGroup; ++n) to[n] = from[n];
  return load_group(to);
}
LOWBIT_INLINE Group add_products(const Group& sum, const Group& a, const Group& b) { return sum + a * b; }
#endif

#if defined(__SSE4_1__) && !defined(__AVX512F__)
LOWBIT_INLINE unsigned bits_of(Bytes bytes, unsigned bit) {
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_sll_epi16(reinterpret_cast<__m128i>(bytes), _mm_cvtsi32_si128(static_cast<int>(7 - bit)))));
}
#endif

#if defined(__SSE4_1__)
LOWBIT_INLINE Bytes look_up(const std::uint8_t* table, Bytes bytes) {
  return reinterpret_cast<Bytes>(_mm_shuffle_epi8(read_as<__m128i>(table), reinterpret_cast<__m128i>(bytes)));
}
#endif

// Sixteen words, or the first of them and zeros.
LOWBIT_INLINE Group load_words(const std::int16_t* at, std::size_t count = kGroup) {
  std::int16_t rest[kGroup];
  if (count < kGroup) {
    __builtin_memset(rest, 0, sizeof rest);
    __builtin_memcpy(rest, at, count * sizeof *at);
    at = rest;
  }
  return each([&](std::size_t n) { return __builtin_convertvector(read_as<HalfWords>(at + n * kVectorBytes / 4), Integers); });
}

LOWBIT_INLINE HalfFloats half(Floats v, std::size_t n) { return reinterpret_cast<HalfFloats>(half(reinterpret_cast<Integers>(v), n)); }

// What apply(doubles, channel) gives for the numbers of a group, from the n-th of them on.
template <class All, class Apply>
LOWBIT_INLINE Group each_half(const All& group, const Apply& apply) {
  return each([&](std::size_t n) {
    const auto part = [&](std::size_t m) { return apply(doubles_of(half(group.part[n], m)), (2 * n + m) * kDoubleLanes); };
    return join(part(0), part(1));
  });
}

#if defined(__aarch64__)
#define LOWBIT_REGISTER "w"
#elif defined(__AVX512F__)
#define LOWBIT_REGISTER "v"
#elif defined(__wasm__)
#define LOWBIT_REGISTER "r"
#else
#define LOWBIT_REGISTER "x"
#endif

// What a processor can do of add(sum, x) at most: kChains sums in turn, as many as hide how long one takes, each of an x that is new as
// far as the compiler knows. Returns how many multiply-adds that was, of `each` a step.
template <std::size_t kChains, class Sum, class Input, class Add>
LOWBIT_INLINE std::uint64_t peak(std::uint64_t repeats, std::uint64_t each, Input x, const Add& add) {
  Sum sum[kChains];
#pragma GCC unroll 16
  for (std::size_t i = 0; i < kChains; ++i) sum[i] = Sum{};
  for (std::uint64_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kChains; ++i) {
      asm volatile("" : "+" LOWBIT_REGISTER(x));
      sum[i] = add(sum[i], x);
    }
  }
#pragma GCC unroll 16
  for (std::size_t i = 0; i < kChains; ++i) asm volatile("" ::LOWBIT_REGISTER(sum[i]));
  return repeats * kChains * each;
}

// Four vectors at a time, each with a sum of its own.
LOWBIT_INLINE void read_vectors(const std::byte* at, std::size_t bytes) {
  Integers sum[4] = {};
  for (const std::byte* end = at + bytes; at != end; at += sizeof sum) {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) sum[i] ^= read_as<Integers>(at + i * kVectorBytes);
  }
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) asm volatile("" ::LOWBIT_REGISTER(sum[i]));
}

// By a product and a sum, rounded one by one.
LOWBIT_INLINE std::uint64_t plain_float_peak(std::uint64_t repeats) {
  return peak<8, Floats>(repeats, kVectorBytes / sizeof(float), Floats{} + static_cast<float>(repeats),
                         [](Floats sum, Floats x) { return sum + x * x; });
}
