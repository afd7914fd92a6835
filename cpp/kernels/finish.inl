// The end of a layer by its Epilogue, one text for all levels over vectors.inl. Included inside an anonymous namespace, behind
// window.inl, vectors.inl and ending.inl. A level may say that another one, whose features it has, ends its tiles: LOWBIT_ENDS_AS.

// The bits of rank = #{thresholds below the value}, highest first: each halves the thresholds that are left, so
// 2^b - 1 thresholds take b compares.
template <unsigned kBits, class All>
LOWBIT_INLINE void rank_masks(const All* thresholds, const All& value, Mask* masks) {
  constexpr unsigned kMiddle = (1u << (kBits - 1)) - 1;
  const Mask up = above(value, thresholds[kMiddle]);
  masks[kBits - 1] = up;
  if constexpr (kBits > 1) {
    All left[kMiddle];
#pragma GCC unroll 8
    for (unsigned c = 0; c < kMiddle; ++c) left[c] = choose(up, thresholds[c + kMiddle + 1], thresholds[c]);
    rank_masks<kBits - 1>(left, value, masks);
  }
}

// In a table of any length.
inline Bytes look_up_any(const std::uint8_t* table, Bytes bytes) {
  std::uint8_t lanes[kGroup];
  write_as(lanes, bytes);
  for (std::uint8_t& lane : lanes) lane = table[lane];
  return read_as<Bytes>(lanes);
}

inline Bytes look_up_ranks(const std::uint8_t* table, unsigned bits, Bytes ranks) {
  return bits > 4 ? look_up_any(table, ranks) : look_up(table, ranks);
}

template <unsigned kBits>
LOWBIT_INLINE Bytes rank_of(const Mask* masks) {
  Group rank = same(0);
#pragma GCC unroll 4
  for (unsigned bit = 0; bit < kBits; ++bit) rank = add_if(masks[bit], rank, 1 << bit);
  return bytes_of(rank);
}

// One group's ranks as 16-bit pieces of planes, or as bytes. Channels that do not exist give zero bits.
template <unsigned kBits>
LOWBIT_INLINE void write_ranks(const Mask* masks, Output output, bool rank_is_code, const std::uint8_t* table, std::size_t count,
                               std::byte* planes, std::size_t y_plane, std::byte* bytes) {
  if (output == Output::bytes) return store_first(bytes, look_up(table, rank_of<kBits>(masks)), count);
  const Bytes codes = rank_is_code ? Bytes{} : look_up(table, rank_of<kBits>(masks));
#pragma GCC unroll 4
  for (unsigned bit = 0; bit < kBits; ++bit) {
    const unsigned bits = rank_is_code ? bits_of(masks[bit]) : bits_of(codes, bit);
    write_as(planes + bit * y_plane, static_cast<std::uint16_t>(bits & first_bits(count)));
  }
}

template <unsigned kBits>
void finish_ranks(const Epilogue& e, const Group* acc, const Target& to) {
  constexpr unsigned kThresholds = (1u << kBits) - 1;
  const std::size_t first = to.group * kGroup;
  Group threshold[kThresholds];
#pragma GCC unroll 16
  for (unsigned c = 0; c < kThresholds; ++c) threshold[c] = load_group(e.thresholds + (to.group * kThresholds + c) * kGroup);
  for (std::size_t r = 0; r < to.rows; ++r) {
    Mask masks[kBits];
    rank_masks<kBits>(threshold, acc[r], masks);
    std::byte* y = to.spots[r].y;
    write_ranks<kBits>(masks, e.output, e.rank_is_code, e.table, e.channels - first, y + first / 8, to.y_plane, y + first);
  }
}

// Up to how many bits a rank is found by halves. The more vectors a group takes, the less that saves.
constexpr unsigned kHalved = kVectors == 1 ? 4 : kVectors == 2 ? 3 : 2;

inline void write_planes(unsigned bits, Bytes codes, std::size_t count, std::byte* y, std::size_t y_plane) {
  for (unsigned bit = 0; bit < bits; ++bit) {
    write_as(y + bit * y_plane, static_cast<std::uint16_t>(bits_of(codes, bit) & first_bits(count)));
  }
}

// Of up to four bits as by halves; beyond them the bytes are looked up one by one.
inline void finish_counted_ranks(const Epilogue& e, const Group* acc, const Target& to) {
  const std::size_t levels = (std::size_t{1} << e.bits) - 1, first = to.group * kGroup;
  for (std::size_t r = 0; r < to.rows; ++r) {
    const std::int32_t* threshold = e.thresholds + to.group * levels * kGroup;
    Group rank = same(0);
    for (std::size_t c = 0; c < levels; ++c, threshold += kGroup) rank = add_if(above(acc[r], load_group(threshold)), rank, 1);
    const Bytes ranks = bytes_of(rank);
    std::byte* y = to.spots[r].y;
    if (e.output == Output::planes) {
      write_planes(e.bits, e.rank_is_code ? ranks : look_up_ranks(e.table, e.bits, ranks), e.channels - first, y + first / 8, to.y_plane);
    } else {
      store_first(y + first, look_up_ranks(e.table, e.bits, ranks), e.channels - first);
    }
  }
}

// What round(sums, channel) gives, clipped and as bytes.
template <class Round>
LOWBIT_INLINE void end_affine(const Epilogue& e, const Group* acc, const Target& to, const Round& round) {
  const std::size_t first = to.group * kGroup;
  for (std::size_t r = 0; r < to.rows; ++r) {
    Group code = each_half(acc[r], [&](Doubles sum, std::size_t n) { return round(sum, first + n); });
    if (e.line) {
      const Group next = each([&](std::size_t n) {
        return integers_nearest(__builtin_convertvector(code.part[n], Floats) * e.line_rate + e.line_first);
      });
      code = clipped(next, e.line_low, e.line_high);
    } else {
      code = clipped(code, e.out_low, e.out_high) + same(e.out_zero);
    }
    store_first(to.spots[r].y + first, bytes_of(code), e.channels - first);
  }
}

inline void finish_affine(const Epilogue& e, const Group* acc, const Target& to) {
  const auto real = [&](Doubles sum, std::size_t channel) { return read_as<Doubles>(e.scale + channel) * sum; };
  if (e.single) {
    end_affine(e, acc, to, [&](Doubles sum, std::size_t channel) {
      const Doubles biased = e.bias == nullptr ? real(sum, channel) : real(sum, channel) + read_as<Doubles>(e.bias + channel);
      return integers_nearest(doubles_of(__builtin_convertvector(biased, HalfFloats)) * e.out_rate);
    });
  } else if (e.quick) {
    end_affine(e, acc, to, [&](Doubles sum, std::size_t channel) { return integers_nearest(real(sum, channel)); });
  } else {  // ends are whole: what is clipped before it is rounded leaves nothing out
    end_affine(e, acc, to, [&](Doubles sum, std::size_t channel) {
      return integers_nearest(clipped(real(sum, channel) / e.out_scale, e.out_low, e.out_high));
    });
  }
}

inline void finish_real(const Epilogue& e, const Group* acc, const Target& to) {
  const std::size_t first = to.group * kGroup;
  for (std::size_t r = 0; r < to.rows; ++r) {
    const Group reals = each_half(acc[r], [&](Doubles sum, std::size_t n) {
      const Doubles real = read_as<Doubles>(e.scale + first + n) * sum;
      const Doubles whole = e.bias == nullptr ? real + 0.0 : real + read_as<Doubles>(e.bias + first + n);
      return reinterpret_cast<HalfIntegers>(__builtin_convertvector(whole, HalfFloats));
    });
    store_first(to.spots[r].y + 4 * first, reals, e.channels - first);
  }
}

// Sums of a group to whole levels, as `e` rounds or shifts them. Clipped before they are rounded, as the ends are whole: nothing
// leaves int32 then.
inline Group levels(const Ending& e, const Group& sum, std::size_t group) {
  if (e.rule == Rule::shift_up || e.rule == Rule::shift_down) {
    const Group up = (sum >> (e.shift - 1)) & same(e.rule == Rule::shift_up ? 1 : 0);
    return clipped((sum >> e.shift) + up, e.low, e.high);
  }
  const double raise = e.rule == Rule::round_up ? 0.5 : 0.0;
  return each_half(sum, [&](Doubles integer, std::size_t n) {
    const std::size_t channel = group * kGroup + n;
    Doubles real = read_as<Doubles>(e.scale + channel) * integer;
    if (e.bias != nullptr) real += read_as<Doubles>(e.bias + channel);
    if (e.step != 1) real /= e.step;
    if (e.rule == Rule::round_even) return integers_nearest(clipped(real, e.low, e.high));
    return integers_below(clipped(real + raise, e.low, e.high));
  });
}

// Ends a group in words or bytes that are rounded or shifted. All others end lane by lane: false.
inline bool end_levels(const Ending& e, const Group& sum, std::size_t group, std::byte* y) {
  const bool rounds = e.rule == Rule::round_even || e.rule == Rule::round_up || e.rule == Rule::round_down;
  const bool shifts = e.rule == Rule::shift_up || e.rule == Rule::shift_down;
  if (e.form != Form::words && e.form != Form::bytes) return false;
  if (!rounds && !(shifts && e.shift > 0)) return false;
  const Group entry = levels(e, sum, group) - same(e.base);
  const std::size_t first = group * kGroup, count = e.channels - first;
  if (e.form == Form::bytes) {
    store_first(y + first, bytes_of(entry), count);
  } else {
    store_words(y + 2 * first, entry, count);
  }
  return true;
}

inline void finish_other(const Epilogue& e, const Group* acc, const Target& to) {
  for (std::size_t r = 0; r < to.rows; ++r) {
    if (end_levels(*e.ending, acc[r], to.group, to.spots[r].y)) continue;
    alignas(64) std::int32_t lanes[kGroup];
    store_group(lanes, acc[r]);
    end_lanes(*e.ending, lanes, to.group, to.spots[r].y, to.y_plane);
  }
}

#if defined(LOWBIT_ENDS_AS)
inline void finish(const Epilogue& e, const Group* acc, const Target& to) {
  LOWBIT_ENDS_AS::finish_sums(e, reinterpret_cast<const std::int32_t*>(acc), to);
}
#else
// From accumulators, one per row, to outputs. Out of line: a tile must not repeat it for each of its rows.
[[gnu::noinline]] void finish(const Epilogue& e, const Group* acc, const Target& to) {
  if (e.output == Output::affine) return finish_affine(e, acc, to);
  if (e.output == Output::real) return finish_real(e, acc, to);
  if (e.output == Output::other) return finish_other(e, acc, to);
  if (e.bits == 1) return finish_ranks<1>(e, acc, to);
  if (e.bits == 2) return finish_ranks<2>(e, acc, to);
  if constexpr (kHalved > 2) {
    if (e.bits == 3) return finish_ranks<3>(e, acc, to);
  }
  if constexpr (kHalved > 3) {
    if (e.bits == 4) return finish_ranks<4>(e, acc, to);
  }
  finish_counted_ranks(e, acc, to);
}
#endif

// constant + row_factor * row_sum.
inline Group constants(const Epilogue& e, std::int32_t sum, std::size_t group) {
  const Group constant = load_group(e.constant + group * kGroup);
  if (e.row_factor == nullptr) return constant;
  return constant + load_group(e.row_factor + group * kGroup) * same(sum);
}
