// Floats times codes on a grid: floats become whole numbers of two or three signed bytes, chunk by chunk, by the rules of
// avx512_byte_tables.inl, and bytes are multiplied exactly. Here what rounding changed is known, input by input.

namespace lowbit::avx512_vpopcntdq {
namespace {

constexpr std::size_t kChunk = 32 * kChunkWords;

struct Digits {
  alignas(64) std::int8_t byte[3][kChunk];  // lowest first
  std::int32_t sum[3];
  unsigned bytes;
  bool finite;
  float by;

  // Of `count` floats; the rest are zeros.
  [[gnu::noinline]] void fill(const float* x, std::size_t count, std::size_t features) {
    __m512 largest = _mm512_setzero_ps(), total = largest;
    for (std::size_t n = 0; n < count; n += 16) {
      const __m512 size = _mm512_abs_ps(_mm512_maskz_loadu_ps(first_lanes(count - n), x + n));
      largest = _mm512_max_ps(size, largest), total = _mm512_add_ps(total, size);
    }
    const float sum_of_sizes = _mm512_reduce_add_ps(total), most = _mm512_reduce_max_ps(largest) * (1 + 0x1p-7f);  // signed bytes
    finite = sum_of_sizes <= std::numeric_limits<float>::max() && most <= std::numeric_limits<float>::max();
    if (!finite) return;
    by = shift_to(most, 15), bytes = 2;
    if (!is_near(split(x, count), by, features, sum_of_sizes)) by += 8, bytes = 3, split(x, count);
  }

 private:
  // Returns the sum of what rounding changed, in units.
  float split(const float* x, std::size_t count) {
    __m512 error = _mm512_setzero_ps();
    __m512i all[3] = {};
    for (std::size_t n = 0; n < kChunk; n += 16) {
      const std::size_t left = count > n ? count - n : 0;
      const __m512 real = shifted(_mm512_maskz_loadu_ps(first_lanes(left), x + n), by);
      __m512i whole = _mm512_cvtps_epi32(real);
      error = _mm512_add_ps(error, _mm512_abs_ps(_mm512_sub_ps(real, _mm512_cvtepi32_ps(whole))));
      for (unsigned b = 0; b < 3; ++b) {
        const __m512i digit = _mm512_srai_epi32(_mm512_slli_epi32(whole, 24), 24);
        _mm_store_si128(reinterpret_cast<__m128i*>(byte[b] + n), _mm512_cvtepi32_epi8(whole));
        all[b] = _mm512_add_epi32(all[b], digit);
        whole = _mm512_srai_epi32(_mm512_sub_epi32(whole, digit), 8);
      }
    }
    for (unsigned b = 0; b < 3; ++b) sum[b] = _mm512_reduce_add_epi32(all[b]);
    return _mm512_reduce_add_ps(error);
  }
};

// sum_n (2 c_n - top) x_n of a chunk of `quads` quads, for kGroups groups whose codes lie `step` bytes apart.
template <std::size_t kGroups, unsigned kBytes, bool kHalves>
void sum_codes(const Digits& x, const std::uint8_t* w, std::size_t step, std::size_t quads, int top, __m512* sums) {
  const __m512i half = _mm512_set1_epi8(15);
  const auto quad = [&](unsigned b, std::size_t q) {
    std::int32_t bytes;
    __builtin_memcpy(&bytes, x.byte[b] + 4 * q, sizeof bytes);
    return _mm512_set1_epi32(bytes);
  };
  __m512i sum[kGroups][kBytes];
#pragma GCC unroll 4
  for (std::size_t g = 0; g < kGroups; ++g) {
#pragma GCC unroll 3
    for (unsigned b = 0; b < kBytes; ++b) sum[g][b] = _mm512_setzero_si512();
  }
  for (std::size_t q = 0; q < quads; q += 2, w += kHalves ? 64 : 128) {
    __m512i input[2][kBytes];
#pragma GCC unroll 3
    for (unsigned b = 0; b < kBytes; ++b) input[0][b] = quad(b, q), input[1][b] = quad(b, q + 1);
#pragma GCC unroll 4
    for (std::size_t g = 0; g < kGroups; ++g) {
      const std::uint8_t* at = w + g * step;
      const __m512i first = _mm512_loadu_si512(at);
      const __m512i even = kHalves ? _mm512_and_si512(first, half) : first;
      const __m512i odd = kHalves ? _mm512_and_si512(_mm512_srli_epi16(first, 4), half) : _mm512_loadu_si512(at + 64);
#pragma GCC unroll 3
      for (unsigned b = 0; b < kBytes; ++b) add_dot(sum[g][b], even, input[0][b]), add_dot(sum[g][b], odd, input[1][b]);
    }
  }
#pragma GCC unroll 4
  for (std::size_t g = 0; g < kGroups; ++g) {
    __m512 real = _mm512_setzero_ps();
#pragma GCC unroll 3
    for (unsigned n = 1; n <= kBytes; ++n) {  // from the highest, each of them exact
      const __m512i twice = _mm512_add_epi32(sum[g][kBytes - n], sum[g][kBytes - n]);
      const __m512i whole = _mm512_sub_epi32(twice, _mm512_set1_epi32(top * x.sum[kBytes - n]));
      real = _mm512_fmadd_ps(real, _mm512_set1_ps(256), _mm512_cvtepi32_ps(whole));
    }
    sums[g] = shifted(real, -x.by);
  }
}

// One by one: infinity and what is no number.
template <bool kHalves>
[[gnu::noinline]] void add_codes(const float* x, std::size_t count, const std::uint8_t* w, int top, __m512* sums) {
  float lanes[kGroup] = {};
  for (std::size_t n = 0; n < count; ++n) {
    for (std::size_t lane = 0; lane < kGroup; ++lane) {
      const std::size_t quad = n / 4, vector = kHalves ? quad / 2 : quad;
      const int byte = w[(vector * kGroup + lane) * 4 + n % 4], code = kHalves ? byte >> (quad % 2 * 4) & 15 : byte;
      lanes[lane] += static_cast<float>(2 * code - top) * x[n];
    }
  }
  *sums = _mm512_loadu_ps(lanes);
}

template <bool kHalves>
void multiply_codes(const WeightCodeLayer& layer, const Rows& rows, Groups groups) {
  const std::size_t all_groups = (layer.channels + kGroup - 1) / kGroup;
  const auto input = [&](std::size_t row) { return reinterpret_cast<const float*>(rows.x + row * rows.x_row); };
  const auto output = [&](std::size_t row) { return reinterpret_cast<float*>(rows.y + row * rows.y_row); };
  for (std::size_t row = 0; row < rows.count; ++row) start_row(layer, input(row), groups, output(row));
  Digits digits;
  for (std::size_t first = 0; first < layer.features; first += kChunk) {
    const std::size_t left = layer.features - first, count = left < kChunk ? left : kChunk, quads = (count + 7) / 8 * 2;
    const std::size_t step = quads * (kHalves ? 32 : 64);
    const std::uint8_t* weights = layer.weights + first * all_groups * (kHalves ? kGroup / 2 : kGroup);
    for (std::size_t row = 0; row < rows.count; ++row) {
      const float* x = input(row) + first;
      digits.fill(x, count, layer.features);
      const auto sum = [&]<std::size_t kGroups>(std::size_t group) {
        const std::uint8_t* w = weights + group * step;
        __m512 sums[kGroups];
        if (!digits.finite) {
          for (std::size_t g = 0; g < kGroups; ++g) add_codes<kHalves>(x, count, w + g * step, layer.top, sums + g);
        } else if (digits.bytes == 2) {
          sum_codes<kGroups, 2, kHalves>(digits, w, step, quads, layer.top, sums);
        } else {
          sum_codes<kGroups, 3, kHalves>(digits, w, step, quads, layer.top, sums);
        }
        for (std::size_t g = 0; g < kGroups; ++g) {
          add_group(layer, group + g, layer.factor + (group + g) * kGroup, reinterpret_cast<const float*>(sums + g), output(row));
        }
      };
      std::size_t group = groups.begin;
      for (; group + 4 <= groups.end; group += 4) sum.template operator()<4>(group);
      for (; group < groups.end; ++group) sum.template operator()<1>(group);
    }
  }
}

}  // namespace

void weight_code_fully_connected(const WeightCodeLayer& layer, const Rows& rows, Groups groups) {
  layer.halves ? multiply_codes<true>(layer, rows, groups) : multiply_codes<false>(layer, rows, groups);
}

}  // namespace lowbit::avx512_vpopcntdq
