// Tables of whole numbers, byte by byte; see weight_only.inl. Sixteen entries of four tables are 64 bytes, which vpermb reaches:
// the four bytes of a word of weights look up at once, sixteen channels side by side, and a dot product with ones adds them up.
//
// The sums T of four inputs are rounded to multiples of a unit, the smallest power of two for which they fit b bytes. An entry
// is wrong by half a unit, a chunk of n_c inputs by n_c / 8 units, for weights of one. Two bytes are enough where that is no
// more than three quarters of what the definition allows (ir/weight_only.py), n 2^-24 sum |x|; three always are, since
// a unit is then 2^-22 max |T| at most. Additions of whole numbers are exact.

namespace lowbit::avx512_vpopcntdq {
namespace {

// As _mm512_dpbusd_epi32, which the compiler surrounds with copies.
LOWBIT_INLINE void add_dot(__m512i& sum, __m512i bytes, __m512i signed_bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(signed_bytes));
}

// x * 2^by, whatever the exponents are.
LOWBIT_INLINE __m512 shifted(__m512 x, float by) { return _mm512_scalef_ps(x, _mm512_set1_ps(by)); }

// The exponent that brings what is at most `most` below 2^bits.
inline float shift_to(float most, int bits) {
  const float exponent = _mm_cvtss_f32(_mm_getexp_ss(_mm_setzero_ps(), _mm_set_ss(most)));
  return most == 0 ? 0.0f : static_cast<float>(bits - 1) - exponent;
}

// Whether `error`, of numbers shifted to whole ones, is within the tolerance of a layer of so many features.
inline bool is_near(float error, float by, std::size_t features, float sum) {
  const float real = _mm_cvtss_f32(_mm_scalef_ss(_mm_set_ss(error), _mm_set_ss(-by)));
  return real <= 0.75f * 0x1p-24f * static_cast<float>(features) * sum;
}

class Tables {
 public:
  // Of the fours of `words` words from x on; inputs from `count` on are zeros. The layer has so many features.
  void fill(const float* x, std::size_t count, std::size_t words, std::size_t features) {
    x_ = x, count_ = count < 32 * words ? count : 32 * words;
    __m512 largest = _mm512_setzero_ps(), total = largest;
    for (std::size_t n = 0; n < count_; n += 16) {
      const __m512 size = _mm512_abs_ps(_mm512_maskz_loadu_ps(first_lanes(count_ - n), x + n));
      const __m512 pairs = _mm512_add_ps(size, _mm512_permute_ps(size, 0xb1));
      const __m512 fours = _mm512_add_ps(pairs, _mm512_permute_ps(pairs, 0x4e));
      largest = _mm512_max_ps(fours, largest);  // the second where one is NaN: the sum finds that
      total = _mm512_add_ps(total, fours);
    }
    const float sum = _mm512_reduce_add_ps(total) / 4, most = _mm512_reduce_max_ps(largest) * (1 + 0x1p-14f);  // rounded up
    finite_ = sum <= std::numeric_limits<float>::max() && most <= std::numeric_limits<float>::max();
    if (!finite_) return;
    by_ = shift_to(most, 15), bytes_ = 2;
    if (!is_near(static_cast<float>(count_) / 8, by_, features, sum)) by_ += 8, bytes_ = 3;
    bytes_ == 2 ? fill_tables<2>(words) : fill_tables<3>(words);
  }

  template <std::size_t kGroups>
  void look_up(const std::uint32_t* w, std::size_t step, std::size_t words, float* sums) const {
    if (!finite_) return add_up(w, step, kGroups, sums);
    bytes_ == 2 ? sum_up<kGroups, 2>(w, step, words, sums) : sum_up<kGroups, 3>(w, step, words, sums);
  }

 private:
  struct Indices {
    alignas(64) std::uint8_t byte[64];
  };

  // Of two vectors of sixteen numbers: byte `first` of each, then byte `second`.
  static constexpr Indices bytes_of_tables(std::uint8_t first, std::uint8_t second) {
    Indices from{};
    for (std::size_t n = 0; n < 64; ++n) {
      from.byte[n] = static_cast<std::uint8_t>(n % 32 / 16 * 64 + n % 16 * 4 + (n < 32 ? first : second));
    }
    return from;
  }

  template <unsigned kBytes>
  void fill_tables(std::size_t words) {
    static constexpr Indices kLow = bytes_of_tables(0, 1), kHigh = bytes_of_tables(2, 2);
    const __m512i turn = _mm512_set1_epi32(1 << (8 * kBytes - 1));
    const auto signs = [](unsigned bit) {
      const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
      const __mmask16 up = _mm512_test_epi32_mask(lane, _mm512_set1_epi32(1 << bit));
      return _mm512_mask_blend_ps(up, _mm512_set1_ps(-1), _mm512_set1_ps(1));
    };
    const __m512 sign[4] = {signs(0), signs(1), signs(2), signs(3)};
    for (std::size_t k = 0; k < words; ++k) {
      alignas(64) float some[32];
      for (std::size_t n = 0; n < 32; n += 16) {
        const std::size_t first = 32 * k + n, left = count_ > first ? count_ - first : 0;
        _mm512_store_ps(some + n, shifted(_mm512_maskz_loadu_ps(first_lanes(left), x_ + first), by_));
      }
#pragma GCC unroll 2
      for (std::size_t odd = 0; odd < 2; ++odd) {
        __m512i entries[4];
#pragma GCC unroll 4
        for (std::size_t four = 0; four < 4; ++four) {
          const float* in = some + 8 * four + 4 * odd;
          __m512 sum = _mm512_mul_ps(sign[0], _mm512_set1_ps(in[0]));
#pragma GCC unroll 3
          for (std::size_t n = 1; n < 4; ++n) sum = _mm512_fmadd_ps(sign[n], _mm512_set1_ps(in[n]), sum);
          entries[four] = _mm512_add_epi32(_mm512_cvtps_epi32(sum), turn);
        }
        const auto pick = [&](const Indices& from, std::size_t n) {
          return _mm512_permutex2var_epi8(entries[n], _mm512_load_si512(from.byte), entries[n + 1]);
        };
        const __m512i first = pick(kLow, 0), second = pick(kLow, 2);
        _mm512_store_si512(tables_[k][odd][0], _mm512_shuffle_i64x2(first, second, 0x44));
        _mm512_store_si512(tables_[k][odd][1], _mm512_shuffle_i64x2(first, second, 0xee));
        if constexpr (kBytes == 3) {
          _mm512_store_si512(tables_[k][odd][2], _mm512_shuffle_i64x2(pick(kHigh, 0), pick(kHigh, 2), 0x44));
        }
      }
    }
  }

  template <std::size_t kGroups, unsigned kBytes>
  void sum_up(const std::uint32_t* w, std::size_t step, std::size_t words, float* sums) const {
    const __m512i four = _mm512_set1_epi8(15), table = _mm512_set1_epi32(0x30201000), ones = _mm512_set1_epi8(1);
    const auto place = [&](__m512i bits) { return _mm512_ternarylogic_epi32(bits, four, table, 0xea); };  // bits & four | table
    __m512i sum[kGroups][kBytes];
#pragma GCC unroll 16
    for (std::size_t g = 0; g < kGroups; ++g) {
#pragma GCC unroll 3
      for (unsigned b = 0; b < kBytes; ++b) sum[g][b] = _mm512_setzero_si512();
    }
    for (std::size_t k = 0; k < words; ++k, w += kGroup) {
      __m512i entries[2][kBytes];
#pragma GCC unroll 2
      for (std::size_t odd = 0; odd < 2; ++odd) {
#pragma GCC unroll 3
        for (unsigned b = 0; b < kBytes; ++b) entries[odd][b] = _mm512_load_si512(tables_[k][odd][b]);
      }
#pragma GCC unroll 16
      for (std::size_t g = 0; g < kGroups; ++g) {
        const __m512i bits = _mm512_loadu_si512(w + g * step);
        const __m512i even = place(bits), odd = place(_mm512_srli_epi32(bits, 4));
#pragma GCC unroll 3
        for (unsigned b = 0; b < kBytes; ++b) {
          add_dot(sum[g][b], _mm512_permutexvar_epi8(even, entries[0][b]), ones);
          add_dot(sum[g][b], _mm512_permutexvar_epi8(odd, entries[1][b]), ones);
        }
      }
    }
    const auto turned = static_cast<std::uint32_t>(8 * words) << (8 * kBytes - 1);
#pragma GCC unroll 16
    for (std::size_t g = 0; g < kGroups; ++g) {
      __m512i whole = _mm512_set1_epi32(-static_cast<int>(turned));
#pragma GCC unroll 3
      for (unsigned b = 0; b < kBytes; ++b) whole = _mm512_add_epi32(whole, _mm512_slli_epi32(sum[g][b], 8 * b));
      _mm512_store_ps(sums + g * kGroup, shifted(_mm512_cvtepi32_ps(whole), -by_));
    }
  }

  // One by one: infinity and what is no number have no table.
  [[gnu::noinline]] void add_up(const std::uint32_t* w, std::size_t step, std::size_t groups, float* sums) const {
    for (std::size_t g = 0; g < groups; ++g, w += step, sums += kGroup) {
      for (std::size_t lane = 0; lane < kGroup; ++lane) {
        sums[lane] = 0;
        for (std::size_t n = 0; n < count_; ++n) sums[lane] += (w[n / 32 * kGroup + lane] >> n % 32 & 1) != 0 ? x_[n] : -x_[n];
      }
    }
  }

  alignas(64) std::uint8_t tables_[kChunkWords][2][3][64];  // [word][odd fours][byte][four][16]
  const float* x_;
  std::size_t count_;
  unsigned bytes_;
  bool finite_;
  float by_;
};

}  // namespace
}  // namespace lowbit::avx512_vpopcntdq
