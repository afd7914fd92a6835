// Floats times codes in groups, input by input: any level, and any floats. The file that includes this defines LOWBIT_NAMESPACE,
// behind weight_only.inl.

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

// Adds what the pieces of a chunk give for one group of channels: `w` are its codes, `factor` and `offset` its parameters.
[[gnu::noinline]] void add_pieces(const WeightGroupLayer& layer, const Piece* first, const Piece* end, const float* x,
                                  const std::uint8_t* w, const float* factor, const float* offset, float* lanes) {
  const unsigned width = layer.width, mask = (1u << width) - 1;
  const std::size_t inputs = 32 / width;
  for (const Piece* piece = first; piece != end; ++piece, factor += kGroup) {
    float sums[kGroup] = {}, total = 0;
    const std::uint8_t* codes = w + (piece->vector - first->vector) * kGroup * 4;
    for (std::size_t n = 0; n < piece->count; ++n) {
      const float value = x[piece->first + n];
      const std::uint8_t* at = codes + n / inputs * kGroup * 4 + n % 4;
      const unsigned shift = static_cast<unsigned>(n % inputs / 4) * width;
      for (std::size_t lane = 0; lane < kGroup; ++lane) {
        sums[lane] += static_cast<float>(static_cast<int>(at[4 * lane] >> shift & mask) - layer.middle) * value;
      }
      total += value;
    }
    for (std::size_t lane = 0; lane < kGroup; ++lane) lanes[lane] += factor[lane] * sums[lane];
    if (offset == nullptr) continue;
    for (std::size_t lane = 0; lane < kGroup; ++lane) lanes[lane] += offset[lane] * total;
    offset += kGroup;
  }
}

// Calls visit(first piece, end, all vectors and pieces before) for each chunk.
template <class Visit>
void visit_chunks(const WeightGroupLayer& layer, const Visit& visit) {
  for (std::size_t chunk = 0; chunk < layer.piece_count; chunk += kChunkPieces) {
    const std::size_t left = layer.piece_count - chunk, count = left < kChunkPieces ? left : kChunkPieces;
    visit(layer.pieces + chunk, layer.pieces + chunk + count);
  }
}

// Where codes and parameters of a group of channels are in a chunk.
struct GroupOfChunk {
  const std::uint8_t* w;
  const float *factor, *offset;

  GroupOfChunk(const WeightGroupLayer& layer, const Piece* first, const Piece* end, std::size_t group) {
    const std::size_t groups = (layer.channels + kGroup - 1) / kGroup;
    const std::size_t pieces = static_cast<std::size_t>(end - first), before = static_cast<std::size_t>(first - layer.pieces);
    w = layer.weights + (first->vector * groups + group * (end->vector - first->vector)) * kGroup * 4;
    const std::size_t parameters = (before * groups + group * pieces) * kGroup;
    factor = layer.factor + parameters;
    offset = layer.offset == nullptr ? nullptr : layer.offset + parameters;
  }
};

// Sums of a group so far, from its biases on.
void load_lanes(const WeightGroupLayer& layer, std::size_t group, bool begin, const float* y, float* lanes) {
  if (begin) {
    __builtin_memcpy(lanes, layer.bias + group * kGroup, sizeof(float) * kGroup);
    return;
  }
  const std::size_t left = layer.channels - group * kGroup;
  for (std::size_t lane = 0; lane < kGroup; ++lane) lanes[lane] = lane < left ? y[group * kGroup + lane] : 0.0f;
}

void store_lanes(const WeightGroupLayer& layer, std::size_t group, const float* lanes, float* y) {
  const std::size_t left = layer.channels - group * kGroup;
  __builtin_memcpy(y + group * kGroup, lanes, sizeof(float) * (left < kGroup ? left : kGroup));
}

}  // namespace
}  // namespace lowbit::LOWBIT_NAMESPACE
