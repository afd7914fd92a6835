// Sums of 16-bit words and their ranks among few thresholds, in AVX-512. Included by the file of a level, behind
// word_elements.inl.
namespace lowbit::avx512_vpopcntdq {
namespace {

constexpr std::size_t kWords = 32;  // of a vector, and bits of a piece of a plane

inline __mmask32 first_words(std::size_t count) {
  return count >= kWords ? ~__mmask32{0} : (__mmask32{1} << count) - 1;
}

inline __m512i entries(const WordRanker& ranker, __m512i x, __m512i table) {
  __m512i rank = _mm512_setzero_si512();
  const __m512i one = _mm512_set1_epi16(1);
  for (std::size_t c = 0; c < ranker.steps; ++c) {
    rank = _mm512_mask_add_epi16(rank, _mm512_cmpgt_epi16_mask(x, _mm512_set1_epi16(ranker.thresholds[c])), rank, one);
  }
  return _mm512_permutexvar_epi16(rank, table);
}

}  // namespace

void add_words(const WordAdder& adder, const std::int16_t* a, const std::int16_t* b, std::int16_t* y, std::size_t count) {
  if (adder.right != 0 || adder.left != 0) return add_shifted(adder, a, b, y, count);
  const __m512i low = _mm512_set1_epi16(static_cast<std::int16_t>(adder.low)), high = _mm512_set1_epi16(static_cast<std::int16_t>(adder.high));
  for (std::size_t n = 0; n < count; n += kWords) {
    const __mmask32 valid = first_words(count - n);
    const __m512i sum = _mm512_adds_epi16(_mm512_maskz_loadu_epi16(valid, a + n), _mm512_maskz_loadu_epi16(valid, b + n));
    _mm512_mask_storeu_epi16(y + n, valid, _mm512_min_epi16(_mm512_max_epi16(sum, low), high));
  }
}

void rank_words(const WordRanker& ranker, const Rows& rows) {
  std::uint16_t all[kWords] = {};
  __builtin_memcpy(all, ranker.table, sizeof ranker.table);
  const __m512i table = _mm512_loadu_si512(all);
  for (std::size_t row = 0; row < rows.count; ++row) {
    const auto* x = reinterpret_cast<const std::int16_t*>(rows.x + row * rows.x_row);
    std::byte* y = rows.y + row * rows.y_row;
    for (std::size_t first = 0; first < ranker.features; first += kWords) {
      const __mmask32 valid = first_words(ranker.features - first);
      const __m512i entry = entries(ranker, _mm512_maskz_loadu_epi16(valid, x + first), table);
      if (ranker.form == Form::planes) {
        for (unsigned bit = 0; bit < ranker.bits; ++bit) {
          const std::uint32_t piece = _mm512_mask_test_epi16_mask(valid, entry, _mm512_set1_epi16(static_cast<std::int16_t>(1 << bit)));
          __builtin_memcpy(y + bit * rows.y_plane + first / 8, &piece, sizeof piece);
        }
      } else if (ranker.form == Form::bytes) {
        _mm512_mask_cvtepi16_storeu_epi8(y + first, valid, entry);
      } else {
        _mm512_mask_storeu_epi16(y + 2 * first, valid, entry);
      }
    }
  }
}

}  // namespace lowbit::avx512_vpopcntdq
