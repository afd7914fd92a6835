// The end of a layer by its Ending, for all levels: loops over the sixteen channels of a group that the compiler makes
// vectors of. Included inside an anonymous namespace, so that each file keeps its own copy for its own instruction set.

template <class Number>
inline void copy_lanes(const Number* lanes, std::size_t count, std::byte* y) {
  if (count >= kGroup) {
    __builtin_memcpy(y, lanes, kGroup * sizeof *lanes);
  } else {
    __builtin_memcpy(y, lanes, count * sizeof *lanes);
  }
}

// One group of results in the form that the row at `y` has; channels that do not exist give zero bits.
inline void store_lanes(const Ending& e, const std::int32_t* value, std::size_t group, std::byte* y, std::size_t y_plane) {
  const std::size_t first = group * kGroup, count = e.channels - first;
  if (e.form == Form::words) {
    std::int16_t words[kGroup];
    for (std::size_t n = 0; n < kGroup; ++n) words[n] = static_cast<std::int16_t>(value[n]);
    return copy_lanes(words, count, y + 2 * first);
  }
  if (e.form == Form::bytes) {
    std::uint8_t bytes[kGroup];
    for (std::size_t n = 0; n < kGroup; ++n) bytes[n] = static_cast<std::uint8_t>(value[n]);
    return copy_lanes(bytes, count, y + first);
  }
  for (unsigned bit = 0; bit < e.bits; ++bit) {
    std::uint16_t piece = 0;
    for (std::size_t n = 0; n < kGroup && n < count; ++n) {
      piece = static_cast<std::uint16_t>(piece | ((value[n] >> bit) & 1) << n);
    }
    __builtin_memcpy(y + bit * y_plane + 2 * group, &piece, sizeof piece);
  }
}

inline const std::int32_t* thresholds_of(const Ending& e, std::int32_t) { return e.thresholds; }
inline const std::int64_t* thresholds_of(const Ending& e, std::int64_t) { return e.wide_thresholds; }

// Many thresholds are searched, as they rise.
constexpr std::size_t kCounted = 63;

template <class Sum>
inline void rank_lanes(const Ending& e, const Sum* sum, std::size_t group, std::int32_t* value) {
  const Sum* threshold = thresholds_of(e, Sum{}) + group * e.steps * kGroup;
  Sum rank[kGroup] = {};
  if (e.steps <= kCounted) {
    for (std::size_t c = 0; c < e.steps; ++c, threshold += kGroup) {
      for (std::size_t n = 0; n < kGroup; ++n) rank[n] += sum[n] > threshold[n];
    }
  } else {
    for (std::size_t n = 0; n < kGroup; ++n) {
      std::size_t low = 0, high = e.steps;
      while (low < high) {
        const std::size_t middle = (low + high) / 2;
        if (sum[n] > threshold[middle * kGroup + n]) low = middle + 1;
        else high = middle;
      }
      rank[n] = static_cast<Sum>(low);
    }
  }
  for (std::size_t n = 0; n < kGroup; ++n) value[n] = e.table[rank[n]];
}

template <class Sum>
inline Sum clipped(Sum value, Sum low, Sum high) {
  const Sum above = value < low ? low : value;
  return above > high ? high : above;
}

// No step can leave the type of the sums: half a unit is the last bit that a shift drops, and what is shifted to the left is
// clipped before, to more than any code has.
template <class Sum>
inline void shift_lanes(const Ending& e, const Sum* sum, std::int32_t* value) {
  constexpr Sum kBeyond = Sum{1} << 16;
  const int right = e.shift > 0 ? e.shift : 0, left = e.shift < 0 ? -e.shift : 0;
  const int half = right > 0 && e.rule == Rule::shift_up ? right - 1 : 0;
  const Sum mask = right > 0 && e.rule == Rule::shift_up ? 1 : 0;
  for (std::size_t n = 0; n < kGroup; ++n) {
    const Sum moved = clipped<Sum>((sum[n] >> right) + ((sum[n] >> half) & mask), -kBeyond, kBeyond) * (Sum{1} << left);
    value[n] = static_cast<std::int32_t>(clipped<Sum>(moved, e.low, e.high)) - e.base;
  }
}

template <class Sum>
inline void real_lanes(const Ending& e, const Sum* sum, std::size_t group, double* real) {
  const double* scale = e.scale + group * kGroup;
  for (std::size_t n = 0; n < kGroup; ++n) real[n] = scale[n] * static_cast<double>(sum[n]);
  if (e.bias == nullptr) return;
  for (std::size_t n = 0; n < kGroup; ++n) real[n] += e.bias[group * kGroup + n];
}

template <class Sum>
inline void round_lanes(const Ending& e, const Sum* sum, std::size_t group, std::int32_t* value) {
  double real[kGroup];
  real_lanes(e, sum, group, real);
  for (std::size_t n = 0; e.step != 1 && n < kGroup; ++n) real[n] /= e.step;
  if (e.rule == Rule::round_even) {
    for (std::size_t n = 0; n < kGroup; ++n) real[n] = __builtin_rint(real[n]);
  } else {
    const double half = e.rule == Rule::round_up ? 0.5 : 0.0;
    for (std::size_t n = 0; n < kGroup; ++n) real[n] = __builtin_floor(real[n] + half);
  }
  for (std::size_t n = 0; n < kGroup; ++n) {
    value[n] = static_cast<std::int32_t>(clipped<double>(real[n], e.low, e.high)) - e.base;
  }
}

// From the sums of one group of channels to its outputs in the row at `y`. Sum: int32 or int64.
template <class Sum>
[[gnu::noinline]] void end_lanes(const Ending& e, const Sum* sum, std::size_t group, std::byte* y, std::size_t y_plane) {
  alignas(64) std::int32_t value[kGroup];
  switch (e.rule) {
    case Rule::real: {
      double real[kGroup];
      float single[kGroup];
      real_lanes(e, sum, group, real);
      for (std::size_t n = 0; n < kGroup; ++n) single[n] = static_cast<float>(real[n]);
      return copy_lanes(single, e.channels - group * kGroup, y + 4 * group * kGroup);
    }
    case Rule::ranks: rank_lanes(e, sum, group, value); break;
    case Rule::shift_up:
    case Rule::shift_down: shift_lanes(e, sum, value); break;
    default: round_lanes(e, sum, group, value); break;
  }
  store_lanes(e, value, group, y, y_plane);
}
