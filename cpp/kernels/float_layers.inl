// y = x w^T + bias in float32, one text for every level: sixteen channels in lanes, four spots share each weight, and where vectors
// are wide groups of channels share each input; a single row goes through four groups at once, whose sums wait for nobody.
// Sums run in the order of n and nothing is contracted, so that all levels give equal floats.
// The file that includes this defines LOWBIT_NAMESPACE, the level it is compiled for.

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

typedef float FloatLanes __attribute__((vector_size(64)));

#if defined(__AVX512F__)
constexpr std::size_t kSpotGroups = 4;  // 16 sums of 32 registers
#else
constexpr std::size_t kSpotGroups = 1;
#endif
constexpr std::size_t kRowGroups = 4;

template <std::size_t kRows, std::size_t kGroups>
void float_tile(const FloatLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  FloatLanes sum[kRows][kGroups], weight[kGroups];
  const std::size_t stride = layer.features * kGroup;
  const float* weights = layer.weights + group * stride;
  for (std::size_t r = 0; r < kRows; ++r) __builtin_memcpy(sum[r], layer.bias + group * kGroup, sizeof sum[r]);
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const float* w = weights + run->weight * kGroup;
    const float* x[kRows];
    for (std::size_t r = 0; r < kRows; ++r) x[r] = reinterpret_cast<const float*>(spots[r].x + run->x);
    for (std::size_t n = 0; n < run->length; ++n, w += kGroup) {
#pragma GCC unroll 4
      for (std::size_t g = 0; g < kGroups; ++g) __builtin_memcpy(&weight[g], w + g * stride, sizeof weight[g]);
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (std::size_t g = 0; g < kGroups; ++g) sum[r][g] += x[r][n] * weight[g];
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
  Spot spots[kRows];
  for (; row + kRows <= rows.count; row += kRows) {
    spots_of_rows<kRows>(rows, row, spots);
    float_tile<kRows, kGroups>(layer, task, spots, group);
  }
  return row;
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
  const std::size_t tiled = rows.count / 4 * 4;
  visit_groups<kSpotGroups>(groups.begin, groups.end, [&]<std::size_t kGroups>(std::size_t group) {
    float_sweep<4, kGroups>(layer, task, rows, 0, group);
  });
  if (tiled == rows.count) return;
  visit_groups<kRowGroups>(groups.begin, groups.end, [&]<std::size_t kGroups>(std::size_t group) {
    float_sweep<1, kGroups>(layer, task, rows, tiled, group);
  });
}

void float_convolution(const FloatLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  const auto visit = [&]<std::size_t kGroups>(std::size_t group) {
    visit_regions<4>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      float_tile<kSpots, kGroups>(layer, task, spots, group);
    });
  };
  // Groups of channels that do not read the same have tiles of their own.
  if (window.shift != nullptr) return visit_groups<1>(part.groups.begin, part.groups.end, visit);
  visit_groups<kSpotGroups>(part.groups.begin, part.groups.end, visit);
}

}  // namespace lowbit::LOWBIT_NAMESPACE
