// Tables of floats that one vector, or a few, hold; see weight_only.inl. The file that includes this defines LOWBIT_NAMESPACE and
//   template <std::size_t kGroups> void sum_tables(w, step, words, tables, sums), as `Tables::look_up` promises.

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

constexpr std::size_t kFoursOfWord = 8, kTable = 16;

typedef float TableLanes __attribute__((vector_size(64)));

class Tables {
 public:
  // Of the fours of `words` words; inputs behind the last are zeros.
  void fill(const float* x, std::size_t count, std::size_t words, std::size_t) {
    constexpr TableLanes kSign[4] = {{-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1},
                                     {-1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1},
                                     {-1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1},
                                     {-1, -1, -1, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1, 1, 1, 1}};
    float* table = tables_;
    for (std::size_t four = 0; four < kFoursOfWord * words; ++four, table += kTable) {
      float some[4] = {};
      const std::size_t first = 4 * four, left = count > first ? count - first : 0;
      if (left != 0) __builtin_memcpy(some, x + first, 4 * (left < 4 ? left : 4));
      const TableLanes sums = (kSign[0] * some[0] + kSign[1] * some[1]) + (kSign[2] * some[2] + kSign[3] * some[3]);
      __builtin_memcpy(table, &sums, sizeof sums);
    }
  }

  template <std::size_t kGroups>
  void look_up(const std::uint32_t* w, std::size_t step, std::size_t words, float* sums) const {
    sum_tables<kGroups>(w, step, words, tables_, sums);
  }

 private:
  alignas(64) float tables_[kChunkWords * kFoursOfWord * kTable];
};

}  // namespace
}  // namespace lowbit::LOWBIT_NAMESPACE
