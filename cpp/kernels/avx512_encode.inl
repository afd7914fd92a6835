// Floats and bytes to codes, in AVX-512. Included by the file of a level, behind avx512.inl.
namespace lowbit::avx512_vpopcntdq {
namespace {

inline __mmask16 unordered(__m512 a, __m512 b) { return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q); }

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
