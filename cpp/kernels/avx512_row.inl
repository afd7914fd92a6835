// One row of a fully connected layer in pairs: every weight is read once, so the memory is the limit and nothing may
// interrupt the stream. Included inside an anonymous namespace.

// Bytes between what is read and what is asked for. Measured: more than the processor asks for by itself, and best at
// 1 to 2 KB; several streams and other hints change nothing.
inline constexpr std::ptrdiff_t kAhead = 1024;

// Where a row's weights begin.
struct RowPass {
  const std::byte* const* x;
  const std::uint32_t* weights;  // of the first block and plane
  std::size_t pairs, step;       // words from a pair of words to the next
};

// A pair of words of 64 channels, line after line: the processor follows lines that fall or rise one by one twice as fast
// as others, so their order is not the compiler's to choose.
template <bool kBackwards>
inline void load_lines(const std::uint32_t* w, __m512i* weight) {
#pragma GCC unroll 16
  for (std::size_t n = 0; n < 2 * kBlock; ++n) {
    const std::size_t m = kBackwards ? 2 * kBlock - 1 - n : n;
    const std::uint32_t* at = w + m * kGroup;
    _mm_prefetch(reinterpret_cast<const char*>(at) + (kBackwards ? -kAhead : kAhead), _MM_HINT_T0);
    asm volatile("vmovdqa64 %1, %0" : "=v"(weight[m]) : "m"(*reinterpret_cast<const __m512i*>(at)));
  }
}

// Negated popcounts of the majorities, [blocks][kPlanes][kInputs][kBlock].
template <std::size_t kInputs, std::size_t kPlanes, bool kBackwards>
[[gnu::noinline]] void count_row(const RowPass& pass, std::size_t blocks, __m512i* counts) {
  constexpr std::size_t kPair = 2 * kBlock * kGroup, kCounts = kPlanes * kInputs * kBlock;
  const std::size_t start = kBackwards ? pass.pairs - 1 : 0;
  for (std::size_t n = 0; n < blocks; ++n) {
    const std::size_t b = kBackwards ? blocks - 1 - n : n;
    const std::uint32_t* w = pass.weights + (b * pass.pairs + start) * pass.step;
    const std::byte* x[kInputs];
    __m512i count[kCounts];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kInputs; ++i) x[i] = pass.x[i] + 8 * start;
#pragma GCC unroll 16
    for (std::size_t c = 0; c < kCounts; ++c) count[c] = _mm512_setzero_si512();
    for (std::size_t k = 0; k < pass.pairs; ++k) {
#pragma GCC unroll 16
      for (std::size_t m = 0; m < kPlanes; ++m) {
        const std::size_t j = kBackwards ? kPlanes - 1 - m : m;
        __m512i weight[2 * kBlock];
        load_lines<kBackwards>(w + j * kPair, weight);
#pragma GCC unroll 16
        for (std::size_t i = 0; i < kInputs; ++i) {
          count_pair<kBlock, 1>(x[i], weight, weight + kBlock, count + (j * kInputs + i) * kBlock);
        }
      }
      w += kBackwards ? -static_cast<std::ptrdiff_t>(pass.step) : static_cast<std::ptrdiff_t>(pass.step);
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kInputs; ++i) x[i] += kBackwards ? -8 : 8;
    }
#pragma GCC unroll 16
    for (std::size_t c = 0; c < kCounts; ++c) counts[b * kCounts + c] = count[c];
  }
}

// All planes of weights of whole blocks, [blocks][weight planes][kX][kBlock], in one pass or block by block.
template <std::size_t kX, bool kBackwards>
inline void count_blocks(const RowPass& pass, std::size_t planes, std::size_t blocks, __m512i* counts) {
  if (planes == 1) return count_row<kX, 1, kBackwards>(pass, blocks, counts);
  if constexpr (kX <= 2) {
    if (planes == 2) return count_row<kX, 2, kBackwards>(pass, blocks, counts);
  }
  if constexpr (kX == 1) {
    if (planes == 3) return count_row<kX, 3, kBackwards>(pass, blocks, counts);
    return count_row<kX, 4, kBackwards>(pass, blocks, counts);
  }
  for (std::size_t n = 0; n < blocks; ++n) {
    const std::size_t b = kBackwards ? blocks - 1 - n : n;
    for (std::size_t j = 0; j < planes; ++j) {
      const RowPass one{pass.x, pass.weights + b * pass.pairs * pass.step + j * 2 * kBlock * kGroup, pass.pairs, pass.step};
      count_row<kX, 1, kBackwards>(one, 1, counts + (b * planes + j) * kX * kBlock);
    }
  }
}

// sum_i input_factor[i] * popcount(X_i)
template <std::size_t kX>
inline std::uint32_t ones_of_row(const PlaneLayer& layer, const std::byte* const* x) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kX; ++i) {
    std::uint32_t ones = 0;
    for (std::size_t k = 1; k < layer.words; k += 2) ones += ones_in(x[i] + 4 * k);
    sum += ones * static_cast<std::uint32_t>(layer.input_factor[i]);
  }
  return sum;
}

// One threshold, one plane of weights: straight to bits.
inline void end_bits(const Epilogue& e, std::byte* y, Groups groups, const __m512i* count, std::uint32_t sum) {
  const __m512i sums = _mm512_set1_epi32(static_cast<int>(sum));
  for (std::size_t group = groups.begin; group < groups.end; ++group, ++count) {
    const __m512i acc = _mm512_add_epi32(_mm512_add_epi32(*count, *count), sums);
    const std::uint16_t piece = _mm512_cmpgt_epi32_mask(acc, _mm512_loadu_si512(e.thresholds + group * kGroup));
    __builtin_memcpy(y + 2 * group, &piece, sizeof piece);
  }
}

// The end of one block: counts are doubled, `sum` is that of ones_of_row.
template <std::size_t kX>
[[gnu::noinline]] void end_row(const PlaneLayer& layer, const Spot& spot, const Task& task, std::size_t first, const __m512i* count,
                    std::uint32_t sum) {
  const Epilogue& e = layer.epilogue;
  const Group sums = same(static_cast<std::int32_t>(sum));
  Group acc[kBlock];
  const auto twice = [&](std::size_t n) { return group_of(count[n]) + group_of(count[n]); };
  const std::int32_t* factor = layer.weight_factor + first * layer.weight_planes * kGroup;
  for (std::size_t g = 0; g < kBlock; ++g) {
    acc[g] = constants(e, spot.sum, first + g);
    for (std::size_t j = 0; j < layer.weight_planes; ++j, factor += kGroup) {
      Group inner = sums;
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kX; ++i) {
        const Group one = twice((j * kX + i) * kBlock + g);
        // A single input plane's factor is in the weights'.
        inner = inner + (kX == 1 ? one : one * same(layer.input_factor[i]));
      }
      acc[g] = acc[g] + inner * load_group(factor);
    }
  }
  for (std::size_t g = 0; g < kBlock; ++g) {
    const Target to{first + g, 1, &spot, task.y_plane};
    // Large layers end in floats more often than not: without a call for each group.
    e.output == Output::real ? finish_real(e, acc + g, to) : finish(e, acc + g, to);
  }
}

// Endings would interrupt the stream, so many blocks are counted first, then they end together.
template <std::size_t kX>
void single_row(const PlaneLayer& layer, const Task& task, const Rows& rows, std::size_t row, Groups groups) {
  constexpr std::size_t kTogether = 256;
  const std::size_t each = kX * layer.weight_planes, most = kTogether / each / kBlock * kBlock;
  const std::size_t end = groups.begin + (groups.end - groups.begin) / kBlock * kBlock;
  const std::size_t pieces = (end - groups.begin + most - 1) / most;
  Spot spot;
  spots_of_rows<1>(rows, row, &spot);
  const std::byte* x[kX];
  for (std::size_t i = 0; i < kX; ++i) x[i] = spot.x + i * task.x_plane;
  const std::uint32_t sum = ones_of_row<kX>(layer, x);
  const auto count = rows.backwards ? count_blocks<kX, true> : count_blocks<kX, false>;
  __m512i counts[kTogether];
  for (std::size_t n = 0; n < pieces; ++n) {
    const std::size_t first = groups.begin + (rows.backwards ? pieces - 1 - n : n) * most;
    const std::size_t last = first + most < end ? first + most : end;
    const RowPass pass{x, BlockWeights(layer, first).at, layer.words / 2, layer.weight_planes * 2 * kBlock * kGroup};
    count(pass, layer.weight_planes, (last - first) / kBlock, counts);
    if (kX == 1 && layer.binary) {
      end_bits(layer.epilogue, spot.y, {first, last}, counts, sum);
      continue;
    }
    for (std::size_t group = first; group < last; group += kBlock) {
      end_row<kX>(layer, spot, task, group, counts + (group - first) * each, sum);
    }
  }
  for (std::size_t group = end; group < groups.end; ++group) tile<kX, 1, 1>(layer, task, &spot, group);
}
