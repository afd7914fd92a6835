#include "program.h"

#include <algorithm>

namespace lowbit {

Value real_value(std::size_t features) { return {Kind::real, features, 0, 4 * features, 0, 0}; }

Value bytes_value(std::size_t features, unsigned top) {
  return {Kind::bytes, features, 0, round_up(features, 16), 0, 0, 1, 1, 0, top};
}

Value planes_value(std::size_t features, unsigned bits) {
  const std::size_t plane = round_up(features, 64) / 8;
  return {Kind::planes, features, bits, bits * plane, plane, 0};
}

Value map_value(Kind kind, unsigned range, std::size_t channels, std::size_t height, std::size_t width) {
  const std::size_t pixels = height * width, features = channels * pixels;
  if (kind == Kind::real) return {kind, features, 0, 4 * features, 0, 0, height, width, 4 * channels};
  if (kind == Kind::bytes) {
    const std::size_t pixel = round_up(channels, 4);
    return {kind, features, 0, round_up(pixels * pixel, 16), 0, 0, height, width, pixel, range};
  }
  const std::size_t pixel = round_up(channels, 32) / 8, plane = round_up(pixels * pixel, 8);
  return {kind, features, range, range * plane, plane, 0, height, width, pixel};
}

Program::Program(std::vector<Value> values, std::vector<std::unique_ptr<Step>> steps, std::size_t output,
                 std::size_t threads)
    : values_(std::move(values)), steps_(std::move(steps)), output_(output), pool_(threads) {
  std::size_t row_bytes = 1, sums = 1;
  for (std::size_t n = 1; n < values_.size(); ++n) row_bytes += n == output_ ? 0 : values_[n].row;
  for (const auto& step : steps_) row_cost_ += step->cost, sums = std::max(sums, step->scratch);
  block_rows_ = std::clamp<std::size_t>(kBlockBytes / row_bytes, 1, kBlockRows);
  lane_bytes_ = round_up(block_rows_ * sums * sizeof(std::int32_t), kCacheLine);
  for (std::size_t n = 1; n < values_.size(); ++n) {
    if (n == output_) continue;
    values_[n].offset = lane_bytes_;
    lane_bytes_ += round_up(block_rows_ * values_[n].row, kCacheLine);
  }
  arena_.resize(lane_bytes_ * threads);
}

void Program::run(const std::byte* x, std::byte* y, std::size_t rows) {
  const std::size_t blocks = (rows + block_rows_ - 1) / block_rows_;
  const auto run_one = [&](std::size_t block, std::size_t lane, Pool* pool) {
    const std::size_t first = block * block_rows_, count = std::min(block_rows_, rows - first);
    run_block(x + first * input().row, y + first * output().row, count, lane, pool);
  };
  if (threads() == 1 || blocks < threads()) {
    const bool share = threads() > 1 && cost(std::min(rows, block_rows_)) > kWorthSharing;
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
