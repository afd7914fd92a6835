// y = x w^T + bias in float32, one text for every level: sixteen channels in lanes, four rows share each weight.
// Sums run in the order of n and nothing is contracted, so that all levels give equal floats.
// The file that includes this defines LOWBIT_NAMESPACE, the level it is compiled for.

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

typedef float FloatLanes __attribute__((vector_size(64)));

template <std::size_t kRows>
void float_tile(const FloatLayer& layer, const Rows& rows, std::size_t group, std::size_t row) {
  FloatLanes sum[kRows], weight;
  const float* x[kRows];
  for (std::size_t r = 0; r < kRows; ++r) {
    x[r] = reinterpret_cast<const float*>(rows.x + (row + r) * rows.x_row);
    __builtin_memcpy(&sum[r], layer.bias + group * kGroup, sizeof sum[r]);
  }
  const float* w = layer.weights + group * layer.features * kGroup;
  for (std::size_t n = 0; n < layer.features; ++n, w += kGroup) {
    __builtin_memcpy(&weight, w, sizeof weight);
    for (std::size_t r = 0; r < kRows; ++r) sum[r] += x[r][n] * weight;
  }
  const std::size_t left = layer.channels - group * kGroup;
  for (std::size_t r = 0; r < kRows; ++r) {
    std::byte* y = rows.y + (row + r) * rows.y_row + 4 * group * kGroup;
    __builtin_memcpy(y, &sum[r], 4 * (left < kGroup ? left : kGroup));
  }
}

}  // namespace

void float_fully_connected(const FloatLayer& layer, const Rows& rows, Groups groups) {
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    std::size_t row = 0;
    for (; row + 4 <= rows.count; row += 4) float_tile<4>(layer, rows, group, row);
    for (; row < rows.count; ++row) float_tile<1>(layer, rows, group, row);
  }
}

}  // namespace lowbit::LOWBIT_NAMESPACE
