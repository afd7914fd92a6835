#include "program.h"

#include <algorithm>

namespace lowbit {

Program::Program(std::vector<Value> values, std::vector<std::unique_ptr<Step>> steps, std::size_t output,
                 std::size_t threads)
    : values_(std::move(values)), steps_(std::move(steps)), output_(output), pool_(threads) {
  lane_bytes_ = round_up(kBlockRows * sizeof(std::int32_t), kCacheLine);
  for (std::size_t n = 1; n < values_.size(); ++n) {
    if (n == output_) continue;
    values_[n].offset = lane_bytes_;
    lane_bytes_ += round_up(kBlockRows * values_[n].row, kCacheLine);
  }
  arena_.resize(lane_bytes_ * threads);
  for (const auto& step : steps_) row_cost_ += step->cost;
}

void Program::run(const std::byte* x, std::byte* y, std::size_t rows) {
  const std::size_t blocks = (rows + kBlockRows - 1) / kBlockRows;
  const auto run_one = [&](std::size_t block, std::size_t lane, Pool* pool) {
    const std::size_t first = block * kBlockRows, count = std::min(kBlockRows, rows - first);
    run_block(x + first * input().row, y + first * output().row, count, lane, pool);
  };
  if (threads() == 1 || blocks < threads()) {
    const bool share = threads() > 1 && cost(std::min(rows, kBlockRows)) > kWorthSharing;
    for (std::size_t block = 0; block < blocks; ++block) run_one(block, 0, share ? &pool_ : nullptr);
    return;
  }
  pool_.run([&](std::size_t lane) {
    for (std::size_t block = lane; block < blocks; block += threads()) run_one(block, lane, nullptr);
  });
}

Block Program::run_block(const std::byte* x, std::byte* y, std::size_t rows, std::size_t lane, Pool* pool) {
  std::byte* arena = arena_.data() + lane * lane_bytes_;
  const Block block{rows, &values_, arena, reinterpret_cast<std::int32_t*>(arena),
                    const_cast<std::byte*>(x), y, output_, pool};
  for (const auto& step : steps_) step->run(block);
  return block;
}

}  // namespace lowbit
