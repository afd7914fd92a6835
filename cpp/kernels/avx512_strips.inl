// Binary convolutions: four output pixels times 64 channels at a time, all counts in registers, whichever pixels read a
// word. Included inside an anonymous namespace.

// One word of a pixel against the weights of kGroups groups. A whole block in the processor's own words: gcc 12 would copy
// counts from register to register.
template <std::size_t kGroups>
inline void count_word(const std::byte* x, const __m512i* weight, __m512i* count) {
  if constexpr (kGroups == kBlock) {
    __m512i input, differ;
    asm("vpbroadcastd %[word], %[input]\n\t"
        "vpxord %[w0], %[input], %[differ]\n\tvpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c0], %[c0]\n\t"
        "vpxord %[w1], %[input], %[differ]\n\tvpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c1], %[c1]\n\t"
        "vpxord %[w2], %[input], %[differ]\n\tvpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c2], %[c2]\n\t"
        "vpxord %[w3], %[input], %[differ]\n\tvpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c3], %[c3]"
        : [input] "=&v"(input), [differ] "=&v"(differ), [c0] "+v"(count[0]), [c1] "+v"(count[kStrip]),
          [c2] "+v"(count[2 * kStrip]), [c3] "+v"(count[3 * kStrip])
        : [word] "m"(*reinterpret_cast<const std::int32_t*>(x)), [w0] "v"(weight[0]), [w1] "v"(weight[1]),
          [w2] "v"(weight[2]), [w3] "v"(weight[3]));
  } else {
    std::int32_t word;
    __builtin_memcpy(&word, x, sizeof word);
    const __m512i input = _mm512_set1_epi32(word);
    for (std::size_t g = 0; g < kGroups; ++g) {
      count[g * kStrip] = _mm512_sub_epi32(count[g * kStrip], _mm512_popcnt_epi32(_mm512_xor_si512(input, weight[g])));
    }
  }
}

// majority(differ, sum of the inputs, ~sum of the weights), as the truth table of vpternlog.
inline constexpr int kMajority = 0xd4;

// The same with a pair (x1, X): first[g] is w1, second[g] is W.
template <std::size_t kGroups>
inline void count_pair(const std::byte* x, const __m512i* first, const __m512i* second, __m512i* count) {
  if constexpr (kGroups == kBlock) {
    __m512i input, sum, differ;
    asm("vpbroadcastd %[word], %[input]\n\tvpbroadcastd %[next], %[sum]\n\t"
        "vpxord %[v0], %[input], %[differ]\n\tvpternlogd %[majority], %[w0], %[sum], %[differ]\n\t"
        "vpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c0], %[c0]\n\t"
        "vpxord %[v1], %[input], %[differ]\n\tvpternlogd %[majority], %[w1], %[sum], %[differ]\n\t"
        "vpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c1], %[c1]\n\t"
        "vpxord %[v2], %[input], %[differ]\n\tvpternlogd %[majority], %[w2], %[sum], %[differ]\n\t"
        "vpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c2], %[c2]\n\t"
        "vpxord %[v3], %[input], %[differ]\n\tvpternlogd %[majority], %[w3], %[sum], %[differ]\n\t"
        "vpopcntd %[differ], %[differ]\n\tvpsubd %[differ], %[c3], %[c3]"
        : [input] "=&v"(input), [sum] "=&v"(sum), [differ] "=&v"(differ), [c0] "+v"(count[0]), [c1] "+v"(count[kStrip]),
          [c2] "+v"(count[2 * kStrip]), [c3] "+v"(count[3 * kStrip])
        : [word] "m"(*reinterpret_cast<const std::int32_t*>(x)), [next] "m"(*reinterpret_cast<const std::int32_t*>(x + 4)),
          [majority] "i"(kMajority), [v0] "v"(first[0]), [v1] "v"(first[1]), [v2] "v"(first[2]), [v3] "v"(first[3]),
          [w0] "v"(second[0]), [w1] "v"(second[1]), [w2] "v"(second[2]), [w3] "v"(second[3]));
  } else {
    std::int32_t word[2];
    __builtin_memcpy(word, x, sizeof word);
    const __m512i input = _mm512_set1_epi32(word[0]), sum = _mm512_set1_epi32(word[1]);
    for (std::size_t g = 0; g < kGroups; ++g) {
      const __m512i differ = _mm512_xor_si512(input, first[g]);
      const __m512i ones = _mm512_popcnt_epi32(_mm512_ternarylogic_epi32(differ, sum, second[g], kMajority));
      count[g * kStrip] = _mm512_sub_epi32(count[g * kStrip], ones);
    }
  }
}

inline std::uint32_t ones_in(const std::byte* x) {
  std::uint32_t word;
  __builtin_memcpy(&word, x, sizeof word);
  return static_cast<std::uint32_t>(__builtin_popcount(word));
}

// Words of the window for those pixels of a strip that read them. Pairs also count their X, which costs no vector.
template <unsigned kPixels, std::size_t kGroups, bool kPairs>
inline void count_reads(const Reads& reads, const std::byte* const* x, const BlockWeights& block, __m512i* count,
                        std::uint32_t* sum) {
  constexpr std::size_t kEach = kPairs ? 2 : 1;
  const std::size_t width = kGroups == kBlock ? kBlock * kGroup : block.width;
  for (const Unit* unit = reads.units; unit != reads.units + reads.unit_count; ++unit) {
    const std::uint32_t* w = block.at + unit->weight * width;
    __m512i weight[kEach * kGroups];
#pragma GCC unroll 16
    for (std::size_t n = 0; n < kEach * kGroups; ++n) {
      weight[n] = _mm512_load_si512(w + n / kGroups * width + n % kGroups * kGroup);
    }
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kStrip; ++r) {
      if ((kPixels >> r & 1u) == 0) continue;
      if constexpr (kPairs) {
        count_pair<kGroups>(x[r] + unit->x, weight, weight + kGroups, count + r);
        sum[r] += ones_in(x[r] + unit->x + 4);
      } else {
        count_word<kGroups>(x[r] + unit->x, weight, count + r);
      }
    }
  }
}

// The bits of kGroups groups in one pixel, whose counts are kStrip apart.
template <std::size_t kGroups, bool kPairs>
inline void write_pixel(const std::int32_t* threshold, const __m512i* count, std::uint32_t sum, std::byte* y) {
  __mmask16 piece[kGroups];
  const __m512i half = _mm512_set1_epi32(static_cast<int>(sum / 2));
#pragma GCC unroll 16
  for (std::size_t g = 0; g < kGroups; ++g) {
    const __m512i acc = kPairs ? _mm512_add_epi32(count[g * kStrip], half) : count[g * kStrip];
    piece[g] = _mm512_cmpgt_epi32_mask(acc, _mm512_loadu_si512(threshold + g * kGroup));
  }
  if constexpr (kGroups == kBlock) {
    const __mmask32 low = _mm512_kunpackw(piece[1], piece[0]), high = _mm512_kunpackw(piece[3], piece[2]);
    const std::uint64_t pieces = _mm512_kunpackd(high, low);
    __builtin_memcpy(y, &pieces, sizeof pieces);
  } else {
    __builtin_memcpy(y, piece, sizeof piece);
  }
}

// Where a strip is, and its channels.
struct StripTask {
  const Strips& strips;
  const BlockWeights& block;
  std::size_t first_channel, channels;
};

template <std::size_t kGroups, bool kPairs>
[[gnu::noinline]] void count_strip(const StripTask& task, const std::byte* start, std::byte* y) {
  const Strips& strips = task.strips;
  const std::byte* x[kStrip];
  __m512i count[kGroups * kStrip];
  std::uint32_t sum[kStrip] = {};
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kStrip; ++r) x[r] = start + strips.x[r];
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kGroups * kStrip; ++n) count[n] = _mm512_setzero_si512();
  for (const Reads* reads = strips.reads; reads != strips.reads + strips.read_count; ++reads) {
    switch (reads->pixels) {
      case 1: count_reads<1, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 2: count_reads<2, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 3: count_reads<3, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 4: count_reads<4, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 5: count_reads<5, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 6: count_reads<6, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 7: count_reads<7, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 8: count_reads<8, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 9: count_reads<9, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 10: count_reads<10, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 11: count_reads<11, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 12: count_reads<12, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 13: count_reads<13, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 14: count_reads<14, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      default: count_reads<15, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
    }
  }
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kStrip; ++r) {
    if (r < strips.pixel_count) {
      const std::int32_t* threshold = strips.thresholds[r] + task.first_channel + (kPairs ? sum[r] % 2 * task.channels : 0);
      write_pixel<kGroups, kPairs>(threshold, count + r, sum[r], y + r * strips.y_pixel);
    }
  }
}

// Where number `n` of all strips is among `count` of them, which have `before` others before them.
inline std::size_t begins_at(std::size_t n, std::size_t before, std::size_t count) {
  return n < before ? 0 : n - before < count ? n - before : count;
}

// One thread's strips for kGroups groups of channels that start at `group`: a share of all, whatever their kinds.
template <std::size_t kGroups>
void visit_strips(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part, std::size_t group) {
  const BlockWeights block(layer, group);
  const auto count = layer.pairs ? count_strip<kGroups, true> : count_strip<kGroups, false>;
  const std::size_t shift = window.shift == nullptr ? 0 : window.shift[group];
  std::size_t all = 0, before = 0;
  for (std::size_t n = 0; n < window.strips_count; ++n) all += window.strips[n].count;
  const std::size_t first = all * part.part / part.parts, last = all * (part.part + 1) / part.parts;
  for (const Strips* strips = window.strips; strips != window.strips + window.strips_count; ++strips) {
    const StripTask task{*strips, block, group * kGroup, layer.groups * kGroup};
    const std::size_t begin = begins_at(first, before, strips->count), end = begins_at(last, before, strips->count);
    before += strips->count;
    for (std::size_t sample = 0; sample < maps.count; ++sample) {
      const std::byte* x = maps.x + sample * maps.x_row + shift;
      std::byte* y = maps.y + sample * maps.y_row + 2 * group;
      for (std::size_t n = begin; n < end; ++n) count(task, x + strips->starts[n], y + strips->y[n]);
    }
  }
}

void binary_convolution(const PlaneLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  std::size_t group = part.groups.begin;
  for (; window.shift == nullptr && group + kBlock <= part.groups.end; group += kBlock) {
    visit_strips<kBlock>(layer, window, maps, part, group);
  }
  for (; group < part.groups.end; ++group) visit_strips<1>(layer, window, maps, part, group);
}

