// y = x w^T + bias in float32, one text for every level: sixteen channels in lanes, four spots share each weight.
// Sums run in the order of n and nothing is contracted, so that all levels give equal floats.
// The file that includes this defines LOWBIT_NAMESPACE, the level it is compiled for.

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

typedef float FloatLanes __attribute__((vector_size(64)));

template <std::size_t kRows>
void float_tile(const FloatLayer& layer, const Task& task, const Spot* spots, std::size_t group) {
  FloatLanes sum[kRows], weight;
  const float* weights = layer.weights + group * layer.features * kGroup;
  for (std::size_t r = 0; r < kRows; ++r) __builtin_memcpy(&sum[r], layer.bias + group * kGroup, sizeof sum[r]);
  for (const Run* run = task.runs; run != task.runs + task.run_count; ++run) {
    const float* w = weights + run->weight * kGroup;
    const float* x[kRows];
    for (std::size_t r = 0; r < kRows; ++r) x[r] = reinterpret_cast<const float*>(spots[r].x + run->x);
    for (std::size_t n = 0; n < run->length; ++n, w += kGroup) {
      __builtin_memcpy(&weight, w, sizeof weight);
      for (std::size_t r = 0; r < kRows; ++r) sum[r] += x[r][n] * weight;
    }
  }
  const std::size_t left = layer.channels - group * kGroup;
  for (std::size_t r = 0; r < kRows; ++r) {
    __builtin_memcpy(spots[r].y + 4 * group * kGroup, &sum[r], 4 * (left < kGroup ? left : kGroup));
  }
}

template <std::size_t kRows>
std::size_t float_sweep(const FloatLayer& layer, const Task& task, const Rows& rows, std::size_t row,
                        std::size_t group) {
  Spot spots[kRows];
  for (; row + kRows <= rows.count; row += kRows) {
    spots_of_rows<kRows>(rows, row, spots);
    float_tile<kRows>(layer, task, spots, group);
  }
  return row;
}

}  // namespace

void float_fully_connected(const FloatLayer& layer, const Rows& rows, Groups groups) {
  const Run whole{0, 0, static_cast<std::uint32_t>(layer.features)};
  const Task task{&whole, 1, nullptr, 0, 0};
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    const std::size_t row = float_sweep<4>(layer, task, rows, 0, group);
    float_sweep<1>(layer, task, rows, row, group);
  }
}

void float_convolution(const FloatLayer& layer, const Window& window, const Rows& maps, const Part& part) {
  for (std::size_t group = part.groups.begin; group < part.groups.end; ++group) {
    visit_regions<4>(window, maps, part, group, [&]<std::size_t kSpots>(const Task& task, const Spot* spots) {
      float_tile<kSpots>(layer, task, spots, group);
    });
  }
}

}  // namespace lowbit::LOWBIT_NAMESPACE
