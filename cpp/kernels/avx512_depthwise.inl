// Depthwise convolutions of bytes with VNNI: four taps of sixteen channels are brought together by unpacking, for 64 channels at a time.
// Included inside an anonymous namespace, behind avx512_lines.inl and depthwise.inl.

constexpr std::size_t kMostTaps = 64, kQuad = 4, kBlockChannels = kBlock * kGroup;

// The taps of a region in the order of the kernel, in fours: those outside of the map, and those that fill up, read nothing.
struct Taps {
  std::size_t quads;
  bool whole;  // all of them are on the map, and all channels are there
  std::uint32_t x[kMostTaps];
  __mmask64 channels[kMostTaps];
};

inline Taps taps_of(const DepthwiseLayer& layer, const Region& region, std::size_t channels) {
  Taps taps{};
  const __mmask64 all = channels >= kBlockChannels ? ~__mmask64{0} : (__mmask64{1} << channels) - 1;
  taps.quads = (layer.taps + kQuad - 1) / kQuad;
  taps.whole = channels >= kBlockChannels && region.unit_count == layer.taps;
  for (const Unit* unit = region.units; unit != region.units + region.unit_count; ++unit) {
    taps.x[unit->weight] = unit->x, taps.channels[unit->weight] = all;
  }
  return taps;
}

template <bool kWhole>
LOWBIT_INLINE void add_quad_of_taps(const Taps& taps, std::size_t quad, const std::byte* x, const std::int8_t* weights, __m512i* sum) {
  __m512i tap[kQuad];
#pragma GCC unroll 4
  for (std::size_t n = 0; n < kQuad; ++n) {
    const std::size_t at = quad * kQuad + n;
    tap[n] = kWhole ? _mm512_loadu_si512(x + taps.x[at]) : _mm512_maskz_loadu_epi8(taps.channels[at], x + taps.x[at]);
  }
  const __m512i low01 = _mm512_unpacklo_epi8(tap[0], tap[1]), low23 = _mm512_unpacklo_epi8(tap[2], tap[3]);
  const __m512i high01 = _mm512_unpackhi_epi8(tap[0], tap[1]), high23 = _mm512_unpackhi_epi8(tap[2], tap[3]);
  const __m512i input[] = {_mm512_unpacklo_epi16(low01, low23), _mm512_unpackhi_epi16(low01, low23),
                           _mm512_unpacklo_epi16(high01, high23), _mm512_unpackhi_epi16(high01, high23)};
  const auto* weight = reinterpret_cast<const __m512i*>(weights) + kQuad * quad;
#pragma GCC unroll 4
  for (std::size_t v = 0; v < kQuad; ++v) asm("vpdpbusd %2, %1, %0" : "+v"(sum[v]) : "v"(input[v]), "m"(weight[v]));
}

// Sums of the 64 channels of one pixel, by groups: lane 4 i + j of vector v is channel 16 i + 4 v + j until they are put in order.
LOWBIT_INLINE void sum_taps(const Taps& taps, const std::byte* x, const std::int8_t* weights, __m512i* sum) {
  __m512i lane[kQuad] = {};
  const std::size_t plain = taps.whole ? taps.quads - 1 : 0;
  for (std::size_t quad = 0; quad < plain; ++quad) add_quad_of_taps<true>(taps, quad, x, weights, lane);
  for (std::size_t quad = plain; quad < taps.quads; ++quad) add_quad_of_taps<false>(taps, quad, x, weights, lane);
  constexpr int kEven = 0x88, kOdd = 0xdd;
  const __m512i even01 = _mm512_shuffle_i32x4(lane[0], lane[1], kEven), odd01 = _mm512_shuffle_i32x4(lane[0], lane[1], kOdd);
  const __m512i even23 = _mm512_shuffle_i32x4(lane[2], lane[3], kEven), odd23 = _mm512_shuffle_i32x4(lane[2], lane[3], kOdd);
  sum[0] = _mm512_shuffle_i32x4(even01, even23, kEven), sum[1] = _mm512_shuffle_i32x4(odd01, odd23, kEven);
  sum[2] = _mm512_shuffle_i32x4(even01, even23, kOdd), sum[3] = _mm512_shuffle_i32x4(odd01, odd23, kOdd);
}

[[gnu::noinline]] void depthwise_in_lines(const Taps& taps, const Epilogue& e, const Spot& spot, std::size_t group, const std::int8_t* weights) {
  __m512i sum[kBlock];
  sum_taps(taps, spot.x, weights, sum);
#pragma GCC unroll 4
  for (std::size_t g = 0; g < kBlock; ++g) sum[g] = _mm512_add_epi32(sum[g], start_of(e, group + g));
  end_in_lines<1, kBlock>(e, &spot, group, sum);
}

// Other endings take some pixels of a group at a time, as their thresholds are many.
[[gnu::noinline]] void depthwise_pixels(const Taps& taps, const Task& task, const Spot* spots, std::size_t count, Groups groups,
                                        const std::int8_t* weights) {
  const Epilogue& e = *task.epilogue;
  __m512i sums[kBlock * kBlock];
  for (std::size_t r = 0; r < count; ++r) {
    __m512i sum[kBlock];
    sum_taps(taps, spots[r].x, weights, sum);
    for (std::size_t g = 0; g < groups.end - groups.begin; ++g) sums[g * count + r] = _mm512_add_epi32(sum[g], start_of(e, groups.begin + g));
  }
  if (end_from_memory(e, spots, count, groups, sums)) return;
  end_tile(task, reinterpret_cast<Group*>(sums), spots, count, groups);
}

inline void depthwise_region(const DepthwiseLayer& layer, const Window& window, const Region& region, const Rows& maps, const Part& part,
                             Groups groups) {
  const Epilogue& e = region.epilogue;
  const Task task{nullptr, 0, &e, maps.x_plane, maps.y_plane};
  const Taps taps = taps_of(layer, region, e.channels - groups.begin * kGroup);
  const std::int8_t* weights = layer.quads + groups.begin * kGroup * kQuad * taps.quads;
  Walk walk(region, window, maps, part, window.shift[groups.begin]);
  Spot spots[kBlock] = {};
  while (walk.left() > 0) {
    const std::size_t count = e.lines != nullptr ? 1 : walk.left() < kBlock ? walk.left() : kBlock;
    walk.next(count, spots);
    if (e.lines != nullptr) depthwise_in_lines(taps, e, *spots, groups.begin, weights);
    else depthwise_pixels(taps, task, spots, count, groups, weights);
  }
}

// One group of some pixels by pairs of words, where 64 channels would be mostly empty.
template <std::size_t kRows, bool kWhole>
[[gnu::noinline]] void depthwise_group(const DepthwiseLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  const Epilogue& e = *task.epilogue;
  Group sum[kRows];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) sum[r] = group_of(start_of(e, group));
  add_taps<kRows, kWhole>(layer, task, spots, group, sum);
  const auto lanes = [&](std::size_t r) { return reinterpret_cast<__m512i>(sum[r].part[0]); };
  if constexpr (kRows == 4) {
    if (e.lines != nullptr) {
      __m512i line[] = {lanes(0), lanes(1), lanes(2), lanes(3)};
      return end_in_lines<kRows, 1>(e, spots, group, line);
    }
  }
  __m512i own[kRows];  // others, so that the sums stay in registers
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) own[r] = lanes(r);
  if (end_from_memory(e, spots, kRows, {group, group + 1}, own)) return;
  end_tile(task, reinterpret_cast<Group*>(own), spots, kRows, {group, group + 1});
}

inline void depthwise_groups(const DepthwiseLayer& layer, const Window& window, const Rows& maps, const Part& part, Groups groups) {
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    const bool whole = (group + 1) * kGroup <= window.regions->epilogue.channels;
    visit_regions<4>(window, maps, part, group, [&]<std::size_t kRows>(const Task& task, const Spot* spots) {
      if (whole) return depthwise_group<kRows, true>(layer, task, spots, group);
      depthwise_group<kRows, false>(layer, task, spots, group);
    });
  }
}

// Lanes of which the pixels of a line fill the 64 of a quad: what they end in, from that of one pixel.
class WideEnding final {
 public:
  // Of bytes alone, and with the words of ranks as they are: else there is none.
  static bool suits(const Epilogue& e) {
    return e.lines != nullptr ? !e.lines_words : e.narrow != nullptr && e.narrow->shifted == 0;
  }

  WideEnding(const Epilogue& e, std::size_t pixels) : ending_(e) {
    const std::size_t channels = e.channels;
    ending_.channels = channels * pixels;
    alignas(64) std::int32_t from[kBlockChannels];
    for (std::size_t lane = 0; lane < kBlockChannels; ++lane) from[lane] = static_cast<std::int32_t>(lane % channels);
    e.lines != nullptr ? repeat_lines(e, from) : repeat_ranks(e, from);
  }
  WideEnding(const WideEnding&) = delete;

  const Epilogue& ending() const { return ending_; }

 private:
  static __m512i taken(const void* first, const void* second, const std::int32_t* from) {
    return _mm512_permutex2var_epi32(_mm512_loadu_si512(first), _mm512_load_si512(from), _mm512_loadu_si512(second));
  }

  void repeat_lines(const Epilogue& e, const std::int32_t* from) {
    const LineGroup *first = e.lines, *second = e.lines + 1;
    for (LineGroup& line : lines_) {
      _mm512_store_si512(line.start, taken(first->start, second->start, from));
      _mm512_store_si512(line.rate, taken(first->rate, second->rate, from));
      _mm512_store_si512(line.rest, taken(first->rest, second->rest, from));
      _mm512_store_si512(line.first, taken(first->first, second->first, from));
      from += kGroup;
    }
    ending_.lines = lines_;
  }

  // Words lie as vectors of sums are packed.
  void repeat_ranks(const Epilogue& e, const std::int32_t* from) {
    const auto place = [](std::size_t n) { return n % kGroup / 4 * 8 + n / kGroup * 4 + n % 4; };
    for (NarrowRanks& pair : narrow_) {
      alignas(64) std::int16_t order[kNarrow];
      for (std::size_t n = 0; n < kNarrow; ++n) order[place(n)] = static_cast<std::int16_t>(place(static_cast<std::size_t>(from[n])));
      const __m512i words = _mm512_load_si512(order);
      for (std::size_t c = 0; c < kNarrowSteps; ++c) {
        _mm512_storeu_si512(pair.thresholds[c], _mm512_permutexvar_epi16(words, _mm512_loadu_si512(e.narrow->thresholds[c])));
      }
      for (std::size_t half = 0; half < kNarrow; half += kGroup) {
        _mm512_storeu_si512(pair.start + half, taken(e.narrow->start, e.narrow->start + kGroup, from + half));
      }
      pair.shifted = 0, pair.upper = e.narrow->upper, pair.alone = false;
      from += kNarrow;
    }
    ending_.narrow = narrow_;
  }

  Epilogue ending_;
  alignas(64) LineGroup lines_[kBlock];
  alignas(64) NarrowRanks narrow_[kBlock / 2];
};

constexpr std::size_t kFewGroups = 2;

// One thread's share of a region, for each sample: single(x, y) for a pixel, wide(x, y) for `count` that follow each other in maps
// without gaps, some of them twice where a line is no multiple.
template <class Single, class Wide>
LOWBIT_INLINE void visit_lines(const Region& region, const Rows& maps, const Part& part, std::size_t channels, std::size_t count,
                               const Single& single, const Wide& wide) {
  const Pixel* const begin = region.pixels + region.pixel_count * part.part / part.parts;
  const Pixel* const end = region.pixels + region.pixel_count * (part.part + 1) / part.parts;
  const auto follow = [&](const Pixel* pixel, std::size_t pixels) {
    const std::size_t bytes = (pixels - 1) * channels;
    return pixel[pixels - 1].x - pixel->x == bytes && pixel[pixels - 1].y - pixel->y == bytes;
  };
  for (std::size_t sample = 0; sample < maps.count; ++sample) {
    const std::byte* x = maps.x + sample * maps.x_row;
    std::byte* y = maps.y + sample * maps.y_row;
    for (const Pixel* pixel = begin; pixel != end;) {
      const auto left = static_cast<std::size_t>(end - pixel);
      std::size_t length = left < count ? left : count;
      while (!follow(pixel, length)) --length;
      const Pixel* const last = pixel + length;
      if (static_cast<std::size_t>(last - begin) >= count && follow(last - count, count)) {
        wide(x + (last - count)->x, y + (last - count)->y);
      } else {
        for (const Pixel* one = pixel; one != last; ++one) single(x + one->x, y + one->y);
      }
      pixel = last;
    }
  }
}

// Few channels of a region; false: its pixels do not follow each other, and nothing was done.
inline bool depthwise_lines(const DepthwiseLayer& layer, const Region& region, const Rows& maps, const Part& part, std::size_t groups) {
  const Epilogue& e = region.epilogue;
  const std::size_t count = kBlockChannels / e.channels, bytes = (count - 1) * e.channels;
  if (region.pixel_count < 2 * count || layer.taps > kMostTaps || !WideEnding::suits(e)) return false;
  if (region.pixels[count - 1].x - region.pixels->x != bytes || region.pixels[count - 1].y - region.pixels->y != bytes) return false;
  const WideEnding wide(e, count);
  const Task task{nullptr, 0, &e, maps.x_plane, maps.y_plane, region.units, region.unit_count};
  const Task wide_task{nullptr, 0, &wide.ending(), maps.x_plane, maps.y_plane};
  const Taps taps = taps_of(layer, region, count * e.channels);
  const Groups all{0, (count * e.channels + kGroup - 1) / kGroup};
  Spot spots[kBlock] = {};
  std::size_t held = 0;
  const auto end = [&] {
    if (held != 0) depthwise_pixels(taps, wide_task, spots, held, all, layer.quads);
    held = 0;
  };
  visit_lines(region, maps, part, e.channels, count,
      [&](const std::byte* x, std::byte* y) {
        for (std::size_t group = 0; group < groups; ++group) {
          const Spot one{x + group * kGroup, y, 0};
          depthwise_group<1, false>(layer, task, &one, group);
        }
      },
      [&](const std::byte* x, std::byte* y) {
        spots[held++] = {x, y, 0};
        if (e.lines != nullptr) held = 0, depthwise_in_lines(taps, wide.ending(), *spots, 0, layer.quads);
        else if (held == kBlock) end();
      });
  end();
  return true;
}

inline void depthwise_by_quads(const DepthwiseLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; group += kBlock) {
    const std::size_t end = group + kBlock < part.groups.end ? group + kBlock : part.groups.end;
    const bool few = end - group <= kFewGroups, alone = few && window.regions->epilogue.channels <= kFewGroups * kGroup;
    for (const Region* region = window.regions; region != window.regions + window.region_count; ++region) {
      const bool empty = region->pixel_count * part.part / part.parts == region->pixel_count * (part.part + 1) / part.parts;
      if (empty) continue;  // as most of a piece's shares of borders are
      if (alone && depthwise_lines(layer, *region, maps, part, end)) continue;
      Window one = window;
      one.regions = region, one.region_count = 1;
      if (few || layer.taps > kMostTaps) depthwise_groups(layer, one, maps, part, {group, end});
      else depthwise_region(layer, window, *region, maps, part, {group, end});
    }
  }
}
