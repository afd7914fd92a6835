// y = x w^T + bias in float32, one text for every level: sixteen channels in the lanes of vectors of the level, some spots share
// each weight, and where registers are many groups of channels share each input; a single row goes through several groups at
// once, whose sums wait for nobody. It comes behind functions.inl.
// Sums run in the order of n and nothing is contracted, so that all levels give equal floats.
// The file that includes this defines LOWBIT_NAMESPACE, the level it is compiled for.

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

typedef float FloatLanes __attribute__((vector_size(kVectorBytes)));
constexpr std::size_t kFloatParts = 64 / kVectorBytes;  // vectors of a group

// As many sums as there are registers for: 16 of 32, 8 of 16.
#if defined(__AVX512F__)
constexpr std::size_t kSpots = 4, kSpotGroups = 4, kRowGroups = 4;
#elif defined(__AVX2__) || defined(__aarch64__)
constexpr std::size_t kSpots = 4, kSpotGroups = 1, kRowGroups = 4;
#else
constexpr std::size_t kSpots = 2, kSpotGroups = 1, kRowGroups = 2;
#endif

template <std::size_t kRows, std::size_t kGroups>
[[gnu::noinline]] void float_tile(const FloatLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  FloatLanes sum[kRows][kGroups * kFloatParts], weight[kGroups * kFloatParts];
  const std::size_t stride = layer.features * kGroup;
  const float* weights = layer.weights + group * stride;
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < kGroups * kFloatParts; ++v) sum[r][v] = read_as<FloatLanes>(layer.bias + group * kGroup + v * (kGroup / kFloatParts));
  }
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const float* w = weights + run->weight * kGroup;
    const float* x[kRows];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) x[r] = reinterpret_cast<const float*>(spots[r].x + run->x);
    for (std::size_t n = 0; n < run->length; ++n, w += kGroup) {
#pragma GCC unroll 8
      for (std::size_t v = 0; v < kGroups * kFloatParts; ++v) {
        __builtin_memcpy(&weight[v], w + v / kFloatParts * stride + v % kFloatParts * (kGroup / kFloatParts), sizeof weight[v]);
      }
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (std::size_t v = 0; v < kGroups * kFloatParts; ++v) sum[r][v] += x[r][n] * weight[v];
      }
    }
  }
  const std::size_t left = layer.channels - group * kGroup, all = kGroups * kGroup;
  for (std::size_t r = 0; r < kRows; ++r) {
    __builtin_memcpy(spots[r].y + 4 * group * kGroup, sum[r], 4 * (left < all ? left : all));
  }
}

template <std::size_t kRows, std::size_t kGroups>
std::size_t float_sweep(const FloatLayer& layer, const Task& task, const Rows& rows, std::size_t row,
                        std::size_t group) {
  return visit_rows<kRows>(task, rows, row, [&]<std::size_t>(const Task& all, const Spot* spots) {
    float_tile<kRows, kGroups>(layer, all, spots, group);
  });
}

// Each channel from that channel alone: its weights are taps.
template <std::size_t kRows>
void float_depthwise_tile(const FloatLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  const std::size_t left = layer.channels - group * kGroup;
  const float* weights = layer.weights + group * layer.features * kGroup;
  Reals sum[kRows];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) sum[r] = read_as<Reals>(layer.bias + group * kGroup);
  for (const Unit* unit = task.units; unit != task.units + task.unit_count; ++unit) {
    const auto weight = read_as<Reals>(weights + unit->weight * kGroup);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      const Reals x = load_first(spots[r].x + unit->x, left);
      sum[r] = each<Reals>([&](std::size_t n) { return sum[r].part[n] + x.part[n] * weight.part[n]; });
    }
  }
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) {
    const Group bits = each([&](std::size_t n) { return reinterpret_cast<Integers>(sum[r].part[n]); });
    store_first(spots[r].y + 4 * group * kGroup, bits, left);
  }
}

// All of one thread's tiles, as many groups of channels at once as there are, up to kMost.
template <std::size_t kMost, class Visit>
void visit_groups(std::size_t group, std::size_t end, const Visit& visit) {
  for (; group + kMost <= end; group += kMost) visit.template operator()<kMost>(group);
  if constexpr (kMost > 1) visit_groups<kMost / 2>(group, end, visit);
}

}  // namespace

void float_fully_connected(const FloatLayer& layer, const Rows& rows, Groups groups) {
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.features)};
  const Task task{&whole, 1, nullptr, 0, 0};
  const std::size_t tiled = rows.count / kSpots * kSpots;
  visit_groups<kSpotGroups>(groups.begin, groups.end, [&]<std::size_t kGroups>(std::size_t group) {
    float_sweep<kSpots, kGroups>(layer, task, rows, 0, group);
  });
  if (tiled == rows.count) return;
  visit_groups<kRowGroups>(groups.begin, groups.end, [&]<std::size_t kGroups>(std::size_t group) {
    float_sweep<1, kGroups>(layer, task, rows, tiled, group);
  });
}

void float_convolution(const FloatLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  const auto visit = [&]<std::size_t kGroups>(std::size_t group) {
    visit_regions<kSpots>(window, maps, part, group, [&]<std::size_t kTile>(const Task& task, const Spot* spots) {
      float_tile<kTile, kGroups>(layer, task, spots, group);
    });
  };
  // Groups of channels that do not read the same have tiles of their own.
  if (window.shift != nullptr) return visit_groups<1>(part.groups.begin, part.groups.end, visit);
  visit_groups<kSpotGroups>(part.groups.begin, part.groups.end, visit);
}

void float_depthwise(const FloatLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; ++group) {
    visit_regions<kSpots>(window, maps, part, group, [&]<std::size_t kTile>(const Task& task, const Spot* spots) {
      float_depthwise_tile<kTile>(layer, task, spots, group);
    });
  }
}

}  // namespace lowbit::LOWBIT_NAMESPACE
