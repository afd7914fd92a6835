// Layers that end in lines (see LineGroup), straight from the registers of a tile: four instructions for sixteen sums, and one for what packs
// them. Included inside an anonymous namespace, behind window.inl.

LOWBIT_INLINE bool ends_in_reals(const Epilogue& e) { return e.output == Output::real && e.row_factor == nullptr; }

// Where the sums of a group begin, so that no constant need be added: where it ends in registers.
LOWBIT_INLINE __m512i start_of(const Epilogue& e, std::size_t group) {
  if (e.lines != nullptr) return _mm512_load_si512(e.lines[group].start);
  if (e.narrow != nullptr) return _mm512_load_si512(e.narrow[group / 2].start + group % 2 * kGroup);
  return ends_in_reals(e) ? _mm512_load_si512(e.constant + group * kGroup) : _mm512_setzero_si512();
}

template <std::size_t kRows, std::size_t kGroups>
LOWBIT_INLINE void start_sums(const Epilogue& e, std::size_t group, __m512i* sum) {
#pragma GCC unroll 4
  for (std::size_t g = 0; g < kGroups; ++g) {
    sum[g * kRows] = start_of(e, group + g);
#pragma GCC unroll 8
    for (std::size_t r = 1; r < kRows; ++r) sum[g * kRows + r] = sum[g * kRows];
  }
}

template <std::size_t kCount>
LOWBIT_INLINE void copy_sums(const __m512i* from, __m512i* to) {
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kCount; ++n) to[n] = from[n];
}

template <std::size_t kRows>
LOWBIT_INLINE void floors(const LineGroup& line, __m512i* sum) {
  const __m512 rate = _mm512_load_ps(line.rate), rest = _mm512_load_ps(line.rest), first = _mm512_load_ps(line.first);
  constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) {
    const __m512 n = _mm512_cvtepi32_ps(sum[r]), inner = _mm512_fmadd_ps(n, rest, first);
    // What is rounded down to a float has the floor that it had.
    sum[r] = _mm512_cvt_roundps_epi32(_mm512_fmadd_round_ps(n, rate, inner, kDown), kDown);
  }
}

// Of bytes a group has sixteen, of words thirty-two; y is that of the first one.
template <std::size_t kGroups>
LOWBIT_INLINE void store_groups(std::byte* y, __m512i all, std::size_t bytes) {
  if (bytes < kGroups * kGroup) {
    _mm512_mask_storeu_epi8(y, (__mmask64{1} << bytes) - 1, all);
  } else if constexpr (kGroups == 4) {
    _mm512_storeu_si512(y, all);
  } else if constexpr (kGroups == 2) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), _mm512_castsi512_si256(all));
  } else {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), _mm512_castsi512_si128(all));
  }
}

template <std::size_t kRows, std::size_t kGroups>
LOWBIT_INLINE void store_line_bytes(const Epilogue& e, const Spot* spots, std::size_t group, const __m512i* sum) {
  const __m512i zero = _mm512_set1_epi16(static_cast<std::int16_t>(e.lines_zero));
  const __m512i low = _mm512_set1_epi8(static_cast<char>(e.lines_low + e.lines_zero));
  const __m512i high = _mm512_set1_epi8(static_cast<char>(e.lines_high + e.lines_zero));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const std::size_t left = e.channels - group * kGroup;
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) {
    const __m512i first = _mm512_adds_epi16(_mm512_packs_epi32(sum[r], sum[(kGroups > 1 ? kRows : 0) + r]), zero);
    __m512i last = first;
    if constexpr (kGroups > 2) last = _mm512_adds_epi16(_mm512_packs_epi32(sum[2 * kRows + r], sum[3 * kRows + r]), zero);
    const __m512i bytes = _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(first, last), low), high);
    store_groups<kGroups>(spots[r].y + group * kGroup, _mm512_permutexvar_epi32(order, bytes), left);
  }
}

template <std::size_t kRows, std::size_t kGroups>
LOWBIT_INLINE void store_line_words(const Epilogue& e, const Spot* spots, std::size_t group, const __m512i* sum) {
  const __m512i low = _mm512_set1_epi16(static_cast<std::int16_t>(e.lines_low));
  const __m512i high = _mm512_set1_epi16(static_cast<std::int16_t>(e.lines_high));
  const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  constexpr std::size_t kEach = kGroups > 1 ? 2 : 1;  // groups in a vector of words
#pragma GCC unroll 4
  for (std::size_t g = 0; g < kGroups; g += kEach) {
    const std::size_t first = (group + g) * kGroup;
    if (first >= e.channels) return;
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m512i both = _mm512_packs_epi32(sum[g * kRows + r], sum[(g + kEach - 1) * kRows + r]);
      const __m512i words = _mm512_min_epi16(_mm512_max_epi16(both, low), high);
      store_groups<2 * kEach>(spots[r].y + 2 * first, _mm512_permutexvar_epi64(order, words), 2 * (e.channels - first));
    }
  }
}

// Sums [groups][rows] of some groups of channels from `group` on; those behind the last channel are not stored.
template <std::size_t kRows, std::size_t kGroups>
LOWBIT_INLINE void end_in_lines(const Epilogue& e, const Spot* spots, std::size_t group, __m512i* sum) {
#pragma GCC unroll 4
  for (std::size_t g = 0; g < kGroups; ++g) floors<kRows>(e.lines[group + g], sum + g * kRows);
  if (e.lines_words) return store_line_words<kRows, kGroups>(e, spots, group, sum);
  store_line_bytes<kRows, kGroups>(e, spots, group, sum);
}

// The same out of line, for what tiles leave.
[[gnu::noinline]] void end_each_in_lines(const Epilogue& e, const Spot* spots, std::size_t rows, Groups groups, const __m512i* sums) {
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    for (std::size_t r = 0; r < rows; ++r) {
      __m512i sum = *sums++;
      end_in_lines<1, 1>(e, spots + r, group, &sum);
    }
  }
}

// Sums [groups][rows] that begin with their constants, to floats.
[[gnu::noinline]] void end_in_reals(const Epilogue& e, const Spot* spots, std::size_t rows, Groups groups, const __m512i* sums) {
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    const std::size_t first = group * kGroup;
    const __m512d scale = _mm512_loadu_pd(e.scale + first), other_scale = _mm512_loadu_pd(e.scale + first + 8);
    const __m512d none = _mm512_setzero_pd();  // to add +0 is to add nothing but that a product may be -0
    const __m512d bias = e.bias == nullptr ? none : _mm512_loadu_pd(e.bias + first);
    const __m512d other_bias = e.bias == nullptr ? none : _mm512_loadu_pd(e.bias + first + 8);
    for (std::size_t r = 0; r < rows; ++r, ++sums) {
      const __m512d low = _mm512_cvtepi32_pd(_mm512_castsi512_si256(*sums)), high = _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(*sums, 1));
      const __m256 real = _mm512_cvtpd_ps(_mm512_add_pd(_mm512_mul_pd(scale, low), bias));
      const __m256 other = _mm512_cvtpd_ps(_mm512_add_pd(_mm512_mul_pd(other_scale, high), other_bias));
      const __m512 both = _mm512_insertf32x8(_mm512_castps256_ps512(real), other, 1);
      if (first + kGroup <= e.channels) _mm512_storeu_ps(spots[r].y + 4 * first, both);
      else _mm512_mask_storeu_ps(spots[r].y + 4 * first, first_lanes(e.channels - first), both);
    }
  }
}

// The sums of one pixel that are not told apart as words.
[[gnu::noinline]] void end_one(const Epilogue& e, const Spot& spot, std::size_t group, __m512i sum) {
  const Group whole = group_of(sum) + load_group(e.constant + group * kGroup);
  finish(e, &whole, {group, 1, &spot, 0});
}

// unsure: words that are a threshold themselves, where that matters.
struct NarrowRank {
  __m512i rank;
  __mmask32 unsure;
};

// kUpper: the thresholds below the middle one are always exceeded, as by what a ReLU leaves.
template <bool kShifted, bool kUpper>
LOWBIT_INLINE NarrowRank narrow_rank(__m512i word, const __m512i* thresholds) {
  constexpr int kHalf = 7;
  __mmask32 above, unsure = 0;
  const auto compare = [&](__m512i threshold) {
    above = _mm512_cmpgt_epi16_mask(word, threshold);
    if constexpr (kShifted) unsure = _kor_mask32(unsure, _mm512_cmpeq_epi16_mask(word, threshold));
  };
  compare(thresholds[kHalf]);
  __m512i rank, left[kHalf];
  if constexpr (kUpper) rank = _mm512_mask_blend_epi16(above, _mm512_set1_epi16(kHalf), _mm512_set1_epi16(kHalf + 1));
  else rank = _mm512_maskz_mov_epi16(above, _mm512_set1_epi16(kHalf + 1));
#pragma GCC unroll 7
  for (int c = 0; c < kHalf; ++c) left[c] = kUpper ? thresholds[kHalf + 1 + c] : _mm512_mask_blend_epi16(above, thresholds[c], thresholds[kHalf + 1 + c]);
  compare(left[3]);
  rank = _mm512_mask_add_epi16(rank, above, rank, _mm512_set1_epi16(4));
#pragma GCC unroll 3
  for (int c = 0; c < 3; ++c) left[c] = _mm512_mask_blend_epi16(above, left[c], left[c + 4]);
  compare(left[1]);
  rank = _mm512_mask_add_epi16(rank, above, rank, _mm512_set1_epi16(2));
  compare(_mm512_mask_blend_epi16(above, left[0], left[2]));
  rank = _mm512_mask_add_epi16(rank, above, rank, _mm512_set1_epi16(1));
  return {rank, unsure};
}

// The sums of a pair of groups, one of which there may not be, at several pixels.
struct PairOfSums {
  std::size_t pair, rows;
  const __m512i *low, *high;  // or null
};

inline void store_ranks(const Epilogue& e, const Spot& spot, std::size_t group, __m128i bytes) {
  store_first(spot.y + group * kGroup, reinterpret_cast<Bytes>(bytes), e.channels - group * kGroup);
}

// A group that is alone fills vectors with two pixels.
template <bool kShifted, bool kUpper>
void end_pair_in_ranks(const Epilogue& e, const Spot* spots, const PairOfSums& sums) {
  const NarrowRanks& ranks = e.narrow[sums.pair];
  const bool alone = ranks.alone && sums.high == nullptr;
  const std::size_t group = 2 * sums.pair, other_group = alone ? group : group + 1;
  const __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(e.table)));
  const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
  __m512i thresholds[kNarrowSteps];  // here, as what is stored might be theirs for all that a compiler knows
#pragma GCC unroll 16
  for (std::size_t c = kUpper ? kNarrowSteps / 2 : 0; c < kNarrowSteps; ++c) thresholds[c] = _mm512_loadu_si512(ranks.thresholds[c]);
  for (std::size_t r = 0; r < sums.rows; ++r) {
    const __m512i* low = sums.low == nullptr ? nullptr : sums.low + r;
    const __m512i* high = sums.high == nullptr ? nullptr : sums.high + r;
    const Spot& spot = spots[r];
    if (alone && r + 1 < sums.rows) high = sums.low + ++r;
    const Spot& other = spots[r];
    __m512i first = low == nullptr ? _mm512_setzero_si512() : *low, last = high == nullptr ? _mm512_setzero_si512() : *high;
    if constexpr (kShifted) {
      first = _mm512_srav_epi32(first, _mm512_load_si512(ranks.shift)), last = _mm512_srav_epi32(last, _mm512_load_si512(ranks.shift + kGroup));
    }
    const NarrowRank found = narrow_rank<kShifted, kUpper>(_mm512_packs_epi32(first, last), thresholds);
    if (kShifted && (found.unsure & ranks.shifted) != 0) {
      if (low != nullptr) end_one(e, spot, group, _mm512_sub_epi32(*low, _mm512_load_si512(ranks.start)));
      if (high != nullptr) end_one(e, other, other_group, _mm512_sub_epi32(*high, _mm512_load_si512(ranks.start + kGroup)));
      continue;
    }
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm512_cvtepi16_epi8(_mm512_shuffle_epi8(table, found.rank)), order);
    if (low != nullptr && high != nullptr && !alone && (group + 2) * kGroup <= e.channels) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(spot.y + group * kGroup), bytes);
    } else {
      if (low != nullptr) store_ranks(e, spot, group, _mm256_castsi256_si128(bytes));
      if (high != nullptr) store_ranks(e, other, other_group, _mm256_extracti128_si256(bytes, 1));
    }
  }
}

// Sums [groups][rows] to bytes of ranks.
[[gnu::noinline]] void end_in_ranks(const Epilogue& e, const Spot* spots, std::size_t rows, Groups groups, const __m512i* sums) {
  for (std::size_t pair = groups.begin / 2; 2 * pair < groups.end; ++pair) {
    PairOfSums both{pair, rows, nullptr, nullptr};
    if (2 * pair >= groups.begin) both.low = sums, sums += rows;
    if (2 * pair + 1 < groups.end) both.high = sums, sums += rows;
    const bool upper = e.narrow[pair].upper;
    if (e.narrow[pair].shifted == 0) upper ? end_pair_in_ranks<false, true>(e, spots, both) : end_pair_in_ranks<false, false>(e, spots, both);
    else upper ? end_pair_in_ranks<true, true>(e, spots, both) : end_pair_in_ranks<true, false>(e, spots, both);
  }
}

// Ends that take sums [groups][rows] from memory; false: there is none of them, and nothing was done.
LOWBIT_INLINE bool end_from_memory(const Epilogue& e, const Spot* spots, std::size_t rows, Groups groups, const __m512i* sums) {
  if (e.lines != nullptr) return end_each_in_lines(e, spots, rows, groups, sums), true;
  if (e.narrow != nullptr) return end_in_ranks(e, spots, rows, groups, sums), true;
  if (ends_in_reals(e)) return end_in_reals(e, spots, rows, groups, sums), true;
  return false;
}
