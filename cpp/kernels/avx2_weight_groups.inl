// Floats times codes in groups: floats become whole numbers of two or three signed bytes, piece by piece, where what rounding
// changes is within three quarters of the tolerance (ir/weight_only.py, as avx512_weight_dots.inl); maddubs multiplies them exactly.

namespace lowbit::avx2 {
namespace {

constexpr std::size_t kChunkInputs = kChunkPieces * kPieceInputs;
constexpr std::size_t kDigitRows = 4;  // that share the codes of a chunk while they are in the first cache

struct PieceDigits {
  float unit;                // of the whole numbers
  std::int32_t low, high;    // their sums: of the two lower bytes together, of the third
  float total;               // of the floats
};

struct GroupDigits {
  alignas(32) std::int8_t byte[3][kChunkInputs];  // lowest first; a piece begins where its first vector does
  PieceDigits piece[kChunkPieces];
  unsigned bytes;
  bool exact;  // whether digits stand for the floats

  void fill(const float* x, const Piece* first, const Piece* end, std::size_t inputs, std::size_t features) {
    const std::size_t length = end->first - first->first;
    float sizes = 0, most = 0, least = std::numeric_limits<float>::max();
    for (const Piece* p = first; p != end; ++p) {
      __m256 largest = _mm256_setzero_ps(), size = largest, total = largest;
      for (std::size_t n = 0; n < p->count; n += 8) {
        const __m256 real = load_values(reinterpret_cast<const std::byte*>(x + p->first + n), p->count - n);
        const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), real);
        largest = _mm256_max_ps(magnitude, largest), size = _mm256_add_ps(size, magnitude), total = _mm256_add_ps(total, real);
      }
      const float peak = most_of(largest);
      piece[p - first].unit = peak, piece[p - first].total = added(total);
      sizes += added(size), most = peak > most ? peak : most;
      if (peak != 0 && peak < least) least = peak;
    }
    // Powers of two that bring them to whole numbers have to be floats; what is no number never compares.
    exact = length != 0 && sizes <= std::numeric_limits<float>::max() && most < 0x1p100f && least > 0x1p-100f;
    if (!exact) return;
    bytes = 2;
    if (!(split(x, first, end, inputs, 15) <= 0.75f * 0x1p-24f * static_cast<float>(features) * sizes)) {
      bytes = 3;
      split(x, first, end, inputs, 23);
    }
  }

 private:
  static float added(__m256 v) {
    alignas(32) float lanes[8];
    _mm256_store_ps(lanes, v);
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
  }

  static float most_of(__m256 v) {
    alignas(32) float lanes[8];
    _mm256_store_ps(lanes, v);
    float most = lanes[0];
    for (const float lane : lanes) most = lane > most ? lane : most;
    return most;
  }

  // The power of two that brings what is at most `most` below 2^bits, with room for signed bytes.
  static float power_for(float most, int bits) {
    if (most == 0) return 1;
    std::uint32_t word;
    const float wide = most * (1 + 0x1p-7f);
    __builtin_memcpy(&word, &wide, sizeof word);
    word = static_cast<std::uint32_t>(127 + bits - 1 - (static_cast<int>(word >> 23) - 127)) << 23;
    float power;
    __builtin_memcpy(&power, &word, sizeof power);
    return power;
  }

  // Returns the sum of what rounding changed. The peak of a piece is in its unit the first time, its inverse power the second.
  [[gnu::noinline]] float split(const float* x, const Piece* first, const Piece* end, std::size_t inputs, int bits) {
    float changed = 0;
    for (const Piece* p = first; p != end; ++p) {
      PieceDigits& own = piece[p - first];
      const float by = bits == 15 ? power_for(own.unit, bits) : 256 / own.unit;
      own.unit = 1 / by;
      const __m256 power = _mm256_set1_ps(by);
      const std::size_t begin = (p->vector - first->vector) * inputs, padded = (p[1].vector - p->vector) * inputs;
      __m256 error = _mm256_setzero_ps();
      __m256i low = _mm256_setzero_si256(), high = low;
      for (std::size_t n = 0; n < padded; n += 8) {
        const std::size_t left = p->count > n ? p->count - n : 0;
        const __m256 real = _mm256_mul_ps(load_values(reinterpret_cast<const std::byte*>(x + p->first + n), left), power);
        __m256i whole = _mm256_cvtps_epi32(real);
        const __m256 change = _mm256_sub_ps(real, _mm256_cvtepi32_ps(whole));
        error = _mm256_add_ps(error, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), change));
        __m256i two = _mm256_setzero_si256();
        for (unsigned b = 0; b < 3; ++b) {
          const __m256i digit = _mm256_srai_epi32(_mm256_slli_epi32(whole, 24), 24);
          const __m256i words = _mm256_packs_epi32(digit, digit), narrow = _mm256_packs_epi16(words, words);
          const std::uint32_t halves[2] = {static_cast<std::uint32_t>(_mm256_extract_epi32(narrow, 0)),
                                           static_cast<std::uint32_t>(_mm256_extract_epi32(narrow, 4))};
          __builtin_memcpy(byte[b] + begin + n, halves, sizeof halves);
          two = b == 0 ? digit : b == 1 ? _mm256_add_epi32(two, _mm256_slli_epi32(digit, 8)) : two;
          if (b == 2) high = _mm256_add_epi32(high, digit);
          whole = _mm256_srai_epi32(_mm256_sub_epi32(whole, digit), 8);
        }
        low = _mm256_add_epi32(low, two);
      }
      own.low = sum_of(low), own.high = sum_of(high);
      changed += own.unit * added(error);
    }
    return changed;
  }

  static std::int32_t sum_of(__m256i v) {
    std::int32_t lanes[8], sum = 0;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), v);
    for (const std::int32_t lane : lanes) sum += lane;
    return sum;
  }
};

// Eight channels of a piece: sum_n c_n x_n by each byte of x, whole numbers. Sixteen bits hold eight products of four bits
// and a signed byte, so they are widened after eight quads.
template <unsigned kWidth, unsigned kBytes>
LOWBIT_INLINE void sum_codes(const std::uint8_t* w, std::size_t vectors, const std::int8_t* x, __m256i* sum) {
  constexpr std::size_t kQuads = kWidth == 2 ? 4 : kWidth == 4 ? 2 : 1, kHalves = kWidth == 8 ? 2 : 1, kWiden = 8 / kQuads;
  const __m256i mask = _mm256_set1_epi8(kWidth == 2 ? 3 : 15), ones = _mm256_set1_epi16(1);
#pragma GCC unroll 3
  for (unsigned b = 0; b < kBytes; ++b) sum[b] = _mm256_setzero_si256();
  for (std::size_t v = 0; v < vectors;) {
    const std::size_t end = v + kWiden < vectors ? v + kWiden : vectors;
    __m256i narrow[kHalves][kBytes];
#pragma GCC unroll 2
    for (std::size_t half = 0; half < kHalves; ++half) {
#pragma GCC unroll 3
      for (unsigned b = 0; b < kBytes; ++b) narrow[half][b] = _mm256_setzero_si256();
    }
    for (; v < end; ++v) {
      const __m256i codes = load(w + v * 64);
#pragma GCC unroll 4
      for (std::size_t q = 0; q < kQuads * kHalves; ++q) {
        constexpr int kStep = kWidth == 2 ? 2 : 4;
        const __m256i some = _mm256_and_si256(_mm256_srli_epi16(codes, static_cast<int>(q) * kStep), mask);
        const std::size_t quad = kHalves == 2 ? v : v * kQuads + q, half = kHalves == 2 ? q : 0;
#pragma GCC unroll 3
        for (unsigned b = 0; b < kBytes; ++b) {
          const __m256i input = broadcast_quad(reinterpret_cast<const std::byte*>(x + b * kChunkInputs + 4 * quad));
          narrow[half][b] = _mm256_add_epi16(narrow[half][b], _mm256_maddubs_epi16(some, input));
        }
      }
    }
#pragma GCC unroll 3
    for (unsigned b = 0; b < kBytes; ++b) {
      sum[b] = _mm256_add_epi32(sum[b], _mm256_madd_epi16(narrow[0][b], ones));
      if (kHalves == 2) sum[b] = _mm256_add_epi32(sum[b], _mm256_slli_epi32(_mm256_madd_epi16(narrow[kHalves - 1][b], ones), 4));
    }
  }
}

// Adds what a chunk gives for one group of channels.
template <unsigned kWidth, unsigned kBytes>
[[gnu::noinline]] void add_digits(const WeightGroupLayer& layer, const Piece* first, const Piece* end, const GroupDigits& x,
                                  GroupOfChunk at, float* lanes) {
  __m256 low = _mm256_loadu_ps(lanes), high = _mm256_loadu_ps(lanes + 8);
  const auto add = [&](__m256& to, std::size_t half, const Piece* piece, const PieceDigits& own) {
    __m256i sum[kBytes];
    const std::size_t vector = piece->vector - first->vector;
    sum_codes<kWidth, kBytes>(at.w + vector * 64 + half * 32, piece[1].vector - piece->vector, x.byte[0] + vector * (32 / kWidth), sum);
    __m256i two = _mm256_add_epi32(sum[0], _mm256_slli_epi32(sum[1], 8));
    two = _mm256_sub_epi32(two, _mm256_set1_epi32(layer.middle * own.low));
    __m256 real = _mm256_cvtepi32_ps(two);
    if (kBytes == 3) {
      const __m256i third = _mm256_sub_epi32(sum[kBytes - 1], _mm256_set1_epi32(layer.middle * own.high));
      real = _mm256_add_ps(real, _mm256_mul_ps(_mm256_cvtepi32_ps(third), _mm256_set1_ps(65536)));
    }
    real = _mm256_mul_ps(real, _mm256_set1_ps(own.unit));
    to = _mm256_add_ps(to, _mm256_mul_ps(real, _mm256_loadu_ps(at.factor + half * 8)));
    if (at.offset != nullptr) to = _mm256_add_ps(to, _mm256_mul_ps(_mm256_set1_ps(own.total), _mm256_loadu_ps(at.offset + half * 8)));
  };
  for (const Piece* piece = first; piece != end; ++piece) {
    const PieceDigits& own = x.piece[piece - first];
    add(low, 0, piece, own), add(high, 1, piece, own);
    at.factor += kGroup, at.offset = at.offset == nullptr ? nullptr : at.offset + kGroup;
  }
  _mm256_storeu_ps(lanes, low), _mm256_storeu_ps(lanes + 8, high);
}

}  // namespace

void weight_group_fully_connected(const WeightGroupLayer& layer, const Rows& rows, Groups groups) {
  GroupDigits digits[kDigitRows];
  const auto input = [&](std::size_t row) { return reinterpret_cast<const float*>(rows.x + row * rows.x_row); };
  const auto output = [&](std::size_t row) { return reinterpret_cast<float*>(rows.y + row * rows.y_row); };
  const auto add = layer.width == 2 ? add_digits<2, 2> : layer.width == 4 ? add_digits<4, 2> : add_digits<8, 2>;
  const auto add_more = layer.width == 2 ? add_digits<2, 3> : layer.width == 4 ? add_digits<4, 3> : add_digits<8, 3>;
  for (std::size_t row = 0; row < rows.count; row += kDigitRows) {
    const std::size_t count = rows.count - row < kDigitRows ? rows.count - row : kDigitRows;
    visit_chunks(layer, [&](const Piece* first, const Piece* end) {
      for (std::size_t r = 0; r < count; ++r) digits[r].fill(input(row + r), first, end, 32 / layer.width, layer.features);
      for (std::size_t group = groups.begin; group < groups.end; ++group) {
        const GroupOfChunk at(layer, first, end, group);
        for (std::size_t r = 0; r < count; ++r) {
          alignas(32) float lanes[kGroup];
          float* y = output(row + r);
          load_lanes(layer, group, first == layer.pieces, y, lanes);
          if (!digits[r].exact) {
            add_pieces(layer, first, end, input(row + r), at.w, at.factor, at.offset, lanes);
          } else {
            (digits[r].bytes == 2 ? add : add_more)(layer, first, end, digits[r], at, lanes);
          }
          store_lanes(layer, group, lanes, y);
        }
      }
    });
  }
}

}  // namespace lowbit::avx2
