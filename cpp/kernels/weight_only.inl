// Floats times weights in planes, one text for every level. Four inputs have sixteen sums +-x0 +-x1 +-x2 +-x3: a table that
// four bits of a weight plane index (Jeon et al., BiQGEMM, 2020). Sixteen channels in lanes look up at once.
// The file that includes this, behind float_tables.inl or tables of its own, defines LOWBIT_NAMESPACE. A class Tables has
//   void fill(x, count, words, features): of a chunk of so many words, `count` inputs or more, of a layer of so many features;
//   template <std::size_t kGroups> void look_up(w, step, words, sums) const:
//     sums[g][lane] = sum over words k and their eight fours q of table 8 k + q at [(w[g * step + 16 k + lane] >> 4 q) & 15].

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

constexpr std::size_t kLookUpGroups = 4;  // that share each table while it is in a register

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
std::size_t sweep(const WeightOnlyLayer& layer, const std::uint32_t* weights, std::size_t words, const Tables& tables,
                  std::size_t group, std::size_t end, float* y) {
  const std::size_t plane_step = words * kGroup, step = layer.planes * plane_step;
  for (; group + kGroups <= end; group += kGroups) {
    for (unsigned j = 0; j < layer.planes; ++j) {
      alignas(64) float sums[kGroups * kGroup];
      tables.template look_up<kGroups>(weights + group * step + j * plane_step, step, words, sums);
      for (std::size_t g = 0; g < kGroups; ++g) add_group(layer, group + g, j, sums + g * kGroup, y);
    }
  }
  return group;
}

}  // namespace

void weight_only_fully_connected(const WeightOnlyLayer& layer, const Rows& rows, Groups groups) {
  Tables tables;
  const auto input = [&](std::size_t row) { return reinterpret_cast<const float*>(rows.x + row * rows.x_row); };
  const auto output = [&](std::size_t row) { return reinterpret_cast<float*>(rows.y + row * rows.y_row); };
  const std::size_t all_groups = (layer.channels + kGroup - 1) / kGroup;
  for (std::size_t row = 0; row < rows.count; ++row) start_row(layer, input(row), groups, output(row));
  for (std::size_t first = 0; first < layer.words; first += kChunkWords) {
    const std::size_t left = layer.words - first, words = left < kChunkWords ? left : kChunkWords;
    const std::uint32_t* weights = layer.weights + first * all_groups * layer.planes * kGroup;
    for (std::size_t row = 0; row < rows.count; ++row) {
      tables.fill(input(row) + 32 * first, layer.features - 32 * first, words, layer.features);
      const std::size_t group =
          sweep<kLookUpGroups>(layer, weights, words, tables, groups.begin, groups.end, output(row));
      sweep<1>(layer, weights, words, tables, group, groups.end, output(row));
    }
  }
}

}  // namespace lowbit::LOWBIT_NAMESPACE
