// Bytes times weights of few levels, packed: four codes of two bits to a byte, or two of four. Two bits above the lowest
// are not shifted down before they are multiplied, their sum is. Included inside an anonymous namespace.

// Codes of quads k, k + 1, … of sixteen channels from one line: of two bits times 1, 4, 1 and 4.
template <unsigned kBits>
inline void unpack_codes(const std::uint8_t* w, __m512i* codes) {
  const __m512i packed = _mm512_load_si512(w);
  if constexpr (kBits == 2) {
    const __m512i upper = _mm512_srli_epi16(packed, 4);
    codes[0] = _mm512_and_si512(packed, _mm512_set1_epi8(3)), codes[1] = _mm512_and_si512(packed, _mm512_set1_epi8(12));
    codes[2] = _mm512_and_si512(upper, _mm512_set1_epi8(3)), codes[3] = _mm512_and_si512(upper, _mm512_set1_epi8(12));
  } else {
    codes[0] = _mm512_and_si512(packed, _mm512_set1_epi8(15));
    codes[1] = _mm512_and_si512(_mm512_srli_epi16(packed, 4), _mm512_set1_epi8(15));
  }
}

// Adds the quads of one line of codes of each group at `x` of every spot.
template <std::size_t kRows, std::size_t kGroups, unsigned kBits>
inline void add_line(const std::byte* const* x, std::size_t at, const std::uint8_t* w, __m512i* sum) {
  constexpr std::size_t kQuads = 8 / kBits, kSums = kBits == 2 ? 2 : 1;
#pragma GCC unroll 4
  for (std::size_t g = 0; g < kGroups; ++g) {
    __m512i codes[kQuads];
    unpack_codes<kBits>(w + 64 * g, codes);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (std::size_t q = 0; q < kQuads; ++q) {
        std::int32_t quad;
        __builtin_memcpy(&quad, x[r] + at + 4 * q, sizeof quad);
        const __m512i input = _mm512_set1_epi32(quad);
        __m512i& to = sum[(g * kRows + r) * kSums + q % kSums];
        asm("vpdpbusd %2, %1, %0" : "+v"(to) : "v"(input), "v"(codes[q]));
      }
    }
  }
}

template <std::size_t kRows, std::size_t kGroups, unsigned kBits>
[[gnu::noinline]] void code_tile(const ByteCodeLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  constexpr std::size_t kSums = kBits == 2 ? 2 : 1, kInputs = 32 / kBits;  // of a line
  __m512i sum[kGroups * kRows * kSums];
#pragma GCC unroll 32
  for (std::size_t n = 0; n < kGroups * kRows * kSums; ++n) sum[n] = _mm512_setzero_si512();
  const std::size_t lines = layer.lines, whole = layer.features / kInputs, block = group / kBlock * kBlock;
  const std::size_t width = 64 * (layer.groups - block < kBlock ? layer.groups - block : kBlock);
  const std::uint8_t* w = layer.weights + 64 * (block * lines + group - block);
  const std::byte* x[kRows];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) x[r] = spots[r].x;
  for (std::size_t n = 0; n < whole; ++n) add_line<kRows, kGroups, kBits>(x, n * kInputs, w + width * n, sum);
  if (whole < lines) {
    std::byte rest[kRows][kInputs] = {};
    for (std::size_t r = 0; r < kRows; ++r) __builtin_memcpy(rest[r], x[r] + whole * kInputs, layer.features - whole * kInputs), x[r] = rest[r];
    add_line<kRows, kGroups, kBits>(x, 0, w + width * whole, sum);
  }
  Group acc[kGroups * kRows];
#pragma GCC unroll 4
  for (std::size_t g = 0; g < kGroups; ++g) {
    const Group factor = load_group(layer.step + (group + g) * kGroup);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m512i* of = sum + (g * kRows + r) * kSums;
      __m512i all = of[0];
      if constexpr (kSums == 2) all = _mm512_add_epi32(all, _mm512_srai_epi32(of[1], 2));
      acc[g * kRows + r] = group_of(all) * factor;
    }
  }
  end_tile(task, acc, spots, kRows, {group, group + kGroups});
}

template <std::size_t kRows, std::size_t kGroups, unsigned kBits>
void sweep_codes(const ByteCodeLayer& layer, const Rows& rows, std::size_t first, Groups groups) {
  const Task task{nullptr, 0, &layer.epilogue, rows.x_plane, rows.y_plane};
  const auto visit = [&]<std::size_t kAtOnce>(std::size_t group) {
    visit_rows<kRows>(task, rows, first, [&]<std::size_t>(const Task& all, const Spot* spots) {
      code_tile<kRows, kAtOnce, kBits>(layer, all, spots, group);
    });
  };
  std::size_t group = groups.begin;
  for (; group + kGroups <= groups.end; group += kGroups) visit.template operator()<kGroups>(group);
  for (; group < groups.end; ++group) visit.template operator()<1>(group);
}

template <unsigned kBits>
void multiply_codes(const ByteCodeLayer& layer, const Rows& rows, Groups groups) {
  const std::size_t tiled = rows.count / 4 * 4;
  if (tiled != 0) sweep_codes<4, 2, kBits>(layer, rows, 0, groups);
  if (tiled != rows.count) sweep_codes<1, 4, kBits>(layer, rows, tiled, groups);
}
