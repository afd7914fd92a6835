// Binary convolutions: four output pixels times 64 channels at a time, all counts in registers, whichever pixels read a
// word. Included inside an anonymous namespace.

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
        count_pair<kGroups, kStrip>(x[r] + unit->x, weight, weight + kGroups, count + r);
        sum[r] += ones_in(x[r] + unit->x + 4);
      } else {
        count_word<kGroups, kStrip>(x[r] + unit->x, weight, count + r);
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
      case 7: count_reads<7, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 8: count_reads<8, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
      case 12: count_reads<12, kGroups, kPairs>(*reads, x, task.block, count, sum); break;
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

