// Floats times weights in planes, one text for every level. Four inputs have sixteen sums +-x0 +-x1 +-x2 +-x3: a table that
// four bits of a weight plane index (Jeon et al., BiQGEMM, 2020). Sixteen channels in lanes look up at once.
// The file that includes this, behind float_tables.inl or tables of its own, defines LOWBIT_NAMESPACE. A class Tables has
//   void fill(x, count, words, features): of a chunk of so many words, `count` inputs or more, of a layer of so many features;
//   template <std::size_t kGroups> void look_up(w, step, words, sums) const:
//     sums[g][lane] = sum over words k and their eight fours q of table 8 k + q at [(w[g * step + 16 k + lane] >> 4 q) & 15].

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

constexpr std::size_t kLookUpGroups = 4;  // that share each table while it is in a register

LOWBIT_INLINE const std::byte* bytes_at(const float* x) { return reinterpret_cast<const std::byte*>(x); }

LOWBIT_INLINE Reals add_product(const Reals& first, const float* factor, const Reals& second) {
  const Reals factors = read_as<Reals>(factor);
  return each<Reals>([&](std::size_t n) { return first.part[n] + factors.part[n] * second.part[n]; });
}

LOWBIT_INLINE void store_reals(float* y, const Reals& reals, std::size_t count) {
  const Group bits = each([&](std::size_t n) { return reinterpret_cast<Integers>(reals.part[n]); });
  store_first(reinterpret_cast<std::byte*>(y), bits, count);
}

// Adds to one group of a row what a chunk gives.
template <class Layer>
LOWBIT_INLINE void add_group(const Layer& layer, std::size_t group, const float* factor, const float* sums, float* y) {
  const std::size_t first = group * kGroup, left = layer.channels - first;
  store_reals(y + first, add_product(load_first(bytes_at(y + first), left), factor, read_as<Reals>(sums)), left);
}

float sum_of(const float* x, std::size_t count) {
  Reals sum = same(0.0f);
  for (std::size_t n = 0; n < count; n += kGroup) {
    const Reals some = load_first(bytes_at(x + n), count - n);
    sum = each<Reals>([&](std::size_t part) { return sum.part[part] + some.part[part]; });
  }
  float lanes[kGroup], total = 0;
  write_as(lanes, sum);
  for (const float lane : lanes) total += lane;
  return total;
}

template <class Layer>
void start_row(const Layer& layer, const float* x, Groups groups, float* y) {
  const Reals total = same(layer.offset == nullptr ? 0.0f : sum_of(x, layer.features));
  for (std::size_t group = groups.begin; group < groups.end; ++group) {
    const std::size_t first = group * kGroup;
    Reals start = read_as<Reals>(layer.bias + first);
    if (layer.offset != nullptr) start = add_product(start, layer.offset + first, total);
    store_reals(y + first, start, layer.channels - first);
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
      for (std::size_t g = 0; g < kGroups; ++g) {
        add_group(layer, group + g, layer.factor + ((group + g) * layer.planes + j) * kGroup, sums + g * kGroup, y);
      }
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
