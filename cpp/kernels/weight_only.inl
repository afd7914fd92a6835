// Floats times weights in planes, one text for every level. Four inputs have sixteen sums +-x0 +-x1 +-x2 +-x3: a table that
// fills one vector, indexed by four bits of a weight plane. Sixteen channels in lanes look up at once, so four inputs of
// sixteen channels cost a shift, a permutation and an addition (Jeon et al., BiQGEMM, 2020).
// The file that includes this defines LOWBIT_NAMESPACE and
//   template <std::size_t kGroups> void look_up(w, step, words, tables, sums):
//     sums[g][lane] = sum over words k and their eight fours q of tables[8 k + q][(w[g * step + 16 k + lane] >> 4 q) & 15].

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

constexpr std::size_t kFoursOfWord = 8, kTable = 16;
constexpr std::size_t kLookUpGroups = 4;  // that share each table while it is in a register

typedef float TableLanes __attribute__((vector_size(64)));

// Tables of the fours of `words` words; inputs behind the last are zeros.
void fill_tables(const float* x, std::size_t count, std::size_t words, float* tables) {
  constexpr TableLanes kSign[4] = {{-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1},
                                   {-1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1},
                                   {-1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1},
                                   {-1, -1, -1, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1, 1, 1, 1}};
  for (std::size_t four = 0; four < kFoursOfWord * words; ++four, tables += kTable) {
    float some[4] = {};
    const std::size_t first = 4 * four, left = count > first ? count - first : 0;
    if (left != 0) __builtin_memcpy(some, x + first, 4 * (left < 4 ? left : 4));
    const TableLanes sums = (kSign[0] * some[0] + kSign[1] * some[1]) + (kSign[2] * some[2] + kSign[3] * some[3]);
    __builtin_memcpy(tables, &sums, sizeof sums);
  }
}

// Adds to one group of a row what a chunk gives, plane by plane.
void add_group(const WeightOnlyLayer& layer, std::size_t group, std::size_t plane, const float* sums, float* y) {
  const std::size_t first = group * kGroup, left = layer.channels - first, count = left < kGroup ? left : kGroup;
  const float* factor = layer.factor + (group * layer.planes + plane) * kGroup;
  for (std::size_t lane = 0; lane < count; ++lane) y[first + lane] += factor[lane] * sums[lane];
}

void start_row(const WeightOnlyLayer& layer, const float* x, Groups groups, float* y) {
  float total = 0;
  for (std::size_t n = 0; layer.offset != nullptr && n < layer.features; ++n) total += x[n];
  for (std::size_t o = groups.begin * kGroup; o < groups.end * kGroup && o < layer.channels; ++o) {
    y[o] = layer.bias[o] + (layer.offset == nullptr ? 0.0f : layer.offset[o] * total);
  }
}

template <std::size_t kGroups>
std::size_t sweep(const WeightOnlyLayer& layer, const std::uint32_t* weights, std::size_t words, const float* tables,
                  std::size_t group, std::size_t end, float* y) {
  const std::size_t plane_step = words * kGroup, step = layer.planes * plane_step;
  for (; group + kGroups <= end; group += kGroups) {
    for (unsigned j = 0; j < layer.planes; ++j) {
      alignas(64) float sums[kGroups * kGroup];
      look_up<kGroups>(weights + group * step + j * plane_step, step, words, tables, sums);
      for (std::size_t g = 0; g < kGroups; ++g) add_group(layer, group + g, j, sums + g * kGroup, y);
    }
  }
  return group;
}

}  // namespace

void weight_only_fully_connected(const WeightOnlyLayer& layer, const Rows& rows, Groups groups) {
  alignas(64) float tables[kChunkWords * kFoursOfWord * kTable];
  const auto input = [&](std::size_t row) { return reinterpret_cast<const float*>(rows.x + row * rows.x_row); };
  const auto output = [&](std::size_t row) { return reinterpret_cast<float*>(rows.y + row * rows.y_row); };
  const std::size_t all_groups = (layer.channels + kGroup - 1) / kGroup;
  for (std::size_t row = 0; row < rows.count; ++row) start_row(layer, input(row), groups, output(row));
  for (std::size_t first = 0; first < layer.words; first += kChunkWords) {
    const std::size_t left = layer.words - first, words = left < kChunkWords ? left : kChunkWords;
    const std::uint32_t* weights = layer.weights + first * all_groups * layer.planes * kGroup;
    for (std::size_t row = 0; row < rows.count; ++row) {
      fill_tables(input(row) + 32 * first, layer.features - 32 * first, words, tables);
      const std::size_t group =
          sweep<kLookUpGroups>(layer, weights, words, tables, groups.begin, groups.end, output(row));
      sweep<1>(layer, weights, words, tables, group, groups.end, output(row));
    }
  }
}

}  // namespace lowbit::LOWBIT_NAMESPACE
