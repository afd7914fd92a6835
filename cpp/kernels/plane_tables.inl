// Fully connected layers of planes without an instruction that counts bits: four inputs of all their planes together make a table
// of sixteen bytes, what four bits of weights add to sum_i input_factor[i] * popcount(x_i ^ w), and a shuffle of bytes looks up
// four bits of sixteen channels (or twice that). So a plane of weights costs the same beside one plane of inputs and beside four.
// Included inside an anonymous namespace, behind finish.inl.

typedef std::uint8_t Octets __attribute__((vector_size(kVectorBytes)));
typedef std::uint16_t Pieces __attribute__((vector_size(kVectorBytes)));

constexpr std::size_t kTableGroups = kVectorBytes / 16;     // bytes of weights that a vector holds of a group of channels
constexpr std::size_t kTableWords = 32;                     // of a plane at once; 32 * 32 * kTableTop fits 16 bits
constexpr std::size_t kTableBytes = 4 * kTableWords;
constexpr std::int32_t kTableTop = 31;                      // the largest sum of factors that two look-ups may have

// table[index], 16 bytes each; indices are below 16.
LOWBIT_INLINE Octets look_up_octets(Octets table, Octets index) {
#if defined(__AVX2__)
  return reinterpret_cast<Octets>(_mm256_shuffle_epi8(reinterpret_cast<__m256i>(table), reinterpret_cast<__m256i>(index)));
#elif defined(__SSE4_1__)
  return reinterpret_cast<Octets>(_mm_shuffle_epi8(reinterpret_cast<__m128i>(table), reinterpret_cast<__m128i>(index)));
#elif defined(__aarch64__)
  return reinterpret_cast<Octets>(vqtbl1q_u8(reinterpret_cast<uint8x16_t>(table), reinterpret_cast<uint8x16_t>(index)));
#elif defined(__wasm_simd128__)
  return reinterpret_cast<Octets>(wasm_i8x16_swizzle(reinterpret_cast<v128_t>(table), reinterpret_cast<v128_t>(index)));
#else
  Octets found{};
  for (std::size_t n = 0; n < 16; ++n) found[n] = table[index[n]];
  return found;
#endif
}

// The upper four bits of each byte; by a product, since shifts wait for the units that shuffle.
LOWBIT_INLINE Octets upper_fours(Octets bits) {
#if defined(__AVX2__)
  return reinterpret_cast<Octets>(_mm256_mulhi_epu16(reinterpret_cast<__m256i>(bits), _mm256_set1_epi16(1 << 12))) & 15;
#elif defined(__SSE4_1__)
  return reinterpret_cast<Octets>(_mm_mulhi_epu16(reinterpret_cast<__m128i>(bits), _mm_set1_epi16(1 << 12))) & 15;
#else
  return reinterpret_cast<Octets>(reinterpret_cast<Pieces>(bits) >> 4) & 15;
#endif
}

// The compiler reads again what it has read, and moves sums about, until loads are what such a loop waits for.
#if defined(__SSE4_1__)
LOWBIT_INLINE void keep_order(Octets& octets) { asm volatile("" : "+x"(octets)); }
#elif defined(__aarch64__)
LOWBIT_INLINE void keep_order(Octets& octets) { asm volatile("" : "+w"(octets)); }
#else
LOWBIT_INLINE void keep_order(Octets&) {}
#endif

LOWBIT_INLINE Octets load_once(const std::uint8_t* at) {
  auto octets = read_as<Octets>(at);
  keep_order(octets);
  return octets;
}

// Sums of the even and of the odd channels, for each byte of weights in a vector, to those of sixteen channels.
LOWBIT_INLINE Group join_channels(Pieces even, Pieces odd) {
#if defined(__SSE4_1__)
#if defined(__AVX2__)
  const auto both = [](Pieces sums) {
    const auto all = reinterpret_cast<__m256i>(sums);
    return _mm_add_epi16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  };
  const __m128i low = _mm_unpacklo_epi16(both(even), both(odd)), high = _mm_unpackhi_epi16(both(even), both(odd));
  return {{reinterpret_cast<Integers>(_mm256_cvtepu16_epi32(low)), reinterpret_cast<Integers>(_mm256_cvtepu16_epi32(high))}};
#else
  const auto a = reinterpret_cast<__m128i>(even), b = reinterpret_cast<__m128i>(odd), zero = _mm_setzero_si128();
  const __m128i low = _mm_unpacklo_epi16(a, b), high = _mm_unpackhi_epi16(a, b);
  return {{reinterpret_cast<Integers>(_mm_unpacklo_epi16(low, zero)), reinterpret_cast<Integers>(_mm_unpackhi_epi16(low, zero)),
           reinterpret_cast<Integers>(_mm_unpacklo_epi16(high, zero)), reinterpret_cast<Integers>(_mm_unpackhi_epi16(high, zero))}};
#endif
#else
  std::int32_t lanes[kGroup];
  for (std::size_t n = 0; n < kGroup / 2; ++n) lanes[2 * n] = even[n], lanes[2 * n + 1] = odd[n];
  return load_group(lanes);
#endif
}

typedef std::uint8_t Table __attribute__((vector_size(16)));

// popcount(a ^ b) of four bits each.
struct Ones {
  alignas(16) std::uint8_t of[16][16];
};
constexpr Ones kOnes = [] {
  Ones ones{};
  for (unsigned n = 0; n < 256; ++n) ones.of[n / 16][n % 16] = static_cast<std::uint8_t>(__builtin_popcount(n / 16 ^ n % 16));
  return ones;
}();

// Of the inputs of up to kTableWords words.
struct PlaneTables {
  alignas(32) std::uint8_t low[kTableBytes][16], high[kTableBytes][16];  // of the lower four bits of each byte, of the upper
  alignas(32) std::uint8_t pattern[kMaxPlanes][16][16];                  // by plane and its four bits
  std::size_t vectors;  // of weights, whose two look-ups each a byte holds together

  // Of input planes of these factors, whose sum is kTableTop at most.
  void set_factors(const std::int32_t* factor, unsigned planes) {
    std::int32_t top = 0;
    for (unsigned i = 0; i < planes; ++i) {
      top += factor[i];
      for (unsigned bits = 0; bits < 16; ++bits) write_as(pattern[i][bits], read_as<Table>(kOnes.of[bits]) * static_cast<std::uint8_t>(factor[i]));
    }
    vectors = static_cast<std::size_t>(255 / (8 * (top > 0 ? top : 1)));
  }

  void fill(const std::byte* x, std::size_t x_plane, unsigned planes, std::size_t bytes) {
    switch (planes) {
      case 1: return fill_planes<1>(x, x_plane, bytes);
      case 2: return fill_planes<2>(x, x_plane, bytes);
      case 3: return fill_planes<3>(x, x_plane, bytes);
      default: return fill_planes<4>(x, x_plane, bytes);
    }
  }

  // sum_i input_factor[i] * popcount(x_i ^ w) of one weight plane of some groups, whose bytes lie [bytes][16], `step` bytes apart.
  template <std::size_t kGroups>
  LOWBIT_INLINE void look_up(const std::uint8_t* w, std::size_t step, std::size_t bytes, Group* sums) const {
    Pieces all[kGroups], odd[kGroups];
#pragma GCC unroll 2
    for (std::size_t g = 0; g < kGroups; ++g) all[g] = odd[g] = Pieces{};
    const std::size_t end = 16 * bytes;
    std::size_t at = 0;
    for (; vectors >= 4 && at + 4 * kVectorBytes <= end; at += 4 * kVectorBytes) add_up<kGroups, 4>(w + at, step, at, all, odd);
    for (; at < end; at += kVectorBytes) add_up<kGroups, 1>(w + at, step, at, all, odd);
#pragma GCC unroll 2
    for (std::size_t g = 0; g < kGroups; ++g) sums[g] = join_channels(all[g] - (odd[g] << 8), odd[g]);
  }

 private:
  template <unsigned kPlanes>
  void fill_planes(const std::byte* x, std::size_t x_plane, std::size_t bytes) {
    for (std::size_t b = 0; b < bytes; ++b) {
      Table lower{}, upper{};
#pragma GCC unroll 4
      for (unsigned i = 0; i < kPlanes; ++i) {
        const auto bits = static_cast<unsigned>(x[i * x_plane + b]);
        lower += read_as<Table>(pattern[i][bits & 15]), upper += read_as<Table>(pattern[i][bits >> 4]);
      }
      write_as(low[b], lower), write_as(high[b], upper);
    }
  }

  // Some vectors' look-ups, as bytes and then as pieces: of odd channels, and those of even ones with 256 times them.
  template <std::size_t kGroups, std::size_t kTogether>
  LOWBIT_INLINE void add_up(const std::uint8_t* w, std::size_t step, std::size_t at, Pieces* all, Pieces* odd) const {
    Octets sum[kGroups];
#pragma GCC unroll 4
    for (std::size_t n = 0; n < kTogether; ++n) {
      const Octets lower = load_once(low[0] + at + n * kVectorBytes), upper = load_once(high[0] + at + n * kVectorBytes);
#pragma GCC unroll 2
      for (std::size_t g = 0; g < kGroups; ++g) {
        const auto bits = read_as<Octets>(w + g * step + n * kVectorBytes);
        const Octets fours = upper_fours(bits);
        const Octets found = look_up_octets(lower, bits & 15) + look_up_octets(upper, fours);
        sum[g] = n == 0 ? found : sum[g] + found;
        keep_order(sum[g]);
      }
    }
#pragma GCC unroll 2
    for (std::size_t g = 0; g < kGroups; ++g) {
      all[g] += reinterpret_cast<Pieces>(sum[g]), odd[g] += reinterpret_cast<Pieces>(sum[g]) >> 8;
    }
  }
};

// Subtracts from the sums of some groups what words [first, first + words) of the planes give, times `factor`.
template <std::size_t kGroups>
[[gnu::noinline]] void subtract_tables(const PlaneLayer& layer, const PlaneTables& tables, std::size_t first, std::size_t words,
                                       std::int32_t factor, std::size_t group, Group* acc) {
  const std::size_t plane = 4 * layer.words * kGroup, step = layer.weight_planes * plane;
  const auto* w = static_cast<const std::uint8_t*>(layer.weights) + group * step + 4 * first * kGroup;
  const std::int32_t* weight_factor = layer.weight_factor + group * layer.weight_planes * kGroup;
  for (unsigned j = 0; j < layer.weight_planes; ++j, w += plane, weight_factor += kGroup) {
    Group sum[kGroups];
    tables.look_up<kGroups>(w, step, 4 * words, sum);
#pragma GCC unroll 2
    for (std::size_t g = 0; g < kGroups; ++g) {
      acc[g] = acc[g] - sum[g] * same(factor) * load_group(weight_factor + g * layer.weight_planes * kGroup);
    }
  }
}

inline void table_fully_connected(const PlaneLayer& layer, const Rows& rows, Groups groups) {
  constexpr std::size_t kTogether = 16;  // groups whose sums wait for the next tables
  std::int64_t top = 0;
  bool together = true;
  for (unsigned i = 0; i < layer.input_planes; ++i) top += layer.input_factor[i], together &= layer.input_factor[i] >= 0;
  together &= top <= kTableTop;  // else one plane after another
  const std::int32_t one = 1;
  PlaneTables tables;
  tables.set_factors(together ? layer.input_factor : &one, together ? layer.input_planes : 1);
  const std::size_t passes = together ? 1 : layer.input_planes;
  const bool whole = passes == 1 && layer.words <= kTableWords;
  for (std::size_t row = 0; row < rows.count; ++row) {
    Spot spot;
    spots_of_rows<1>(rows, row, &spot);
    if (whole) tables.fill(spot.x, rows.x_plane, layer.input_planes, 4 * layer.words);
    for (std::size_t begin = groups.begin; begin < groups.end; begin += kTogether) {
      const std::size_t end = begin + kTogether < groups.end ? begin + kTogether : groups.end;
      Group acc[kTogether];
      for (std::size_t group = begin; group < end; ++group) acc[group - begin] = constants(layer.epilogue, spot.sum, group);
      for (std::size_t pass = 0; pass < passes; ++pass) {
        for (std::size_t first = 0; first < layer.words; first += kTableWords) {
          const std::size_t left = layer.words - first, words = left < kTableWords ? left : kTableWords;
          const std::byte* x = spot.x + pass * rows.x_plane + 4 * first;
          if (!whole) tables.fill(x, rows.x_plane, together ? layer.input_planes : 1, 4 * words);
          const std::int32_t factor = together ? 1 : layer.input_factor[pass];
          std::size_t group = begin;
          for (; group + 2 <= end; group += 2) subtract_tables<2>(layer, tables, first, words, factor, group, acc + group - begin);
          if (group < end) subtract_tables<1>(layer, tables, first, words, factor, group, acc + group - begin);
        }
      }
      for (std::size_t group = begin; group < end; ++group) finish(layer.epilogue, acc + group - begin, {group, 1, &spot, rows.y_plane});
    }
  }
}
