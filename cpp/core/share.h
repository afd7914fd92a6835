// How layers go through a block: its rows, and the parts that threads do.
#pragma once

#include "finish.h"
#include "program.h"

namespace lowbit {

// Into how many parts a step is split that takes so many nanoseconds a row: one is done here.
inline std::size_t parts_of(const Block& block, double cost) {
  return block.pool == nullptr || cost * static_cast<double>(block.rows) < kWorthHanding ? 1 : block.pool->threads();
}

// part(0) … part(parts - 1), each by its thread.
inline void each_part(const Block& block, std::size_t parts, PartFunction part) {
  if (parts == 1) part(0);
  else block.pool->run(part);
}

// Splits groups of channels among the threads of the block, or does them all here.
template <class Function>
void share_groups(const Block& block, std::size_t groups, double cost, const Function& run) {
  const std::size_t parts = parts_of(block, cost);
  each_part(block, parts, [&](std::size_t n) { run(groups_of_part(groups, n, parts)); });
}

// Parts of a step that have nothing in common: run(begin, end).
template <class Function>
void share_parts(const Block& block, std::size_t count, double cost, const Function& run) {
  const std::size_t parts = count == 1 ? 1 : parts_of(block, cost);
  each_part(block, parts, [&](std::size_t n) { run(count * n / parts, count * (n + 1) / parts); });
}

inline Rows rows_of(const Block& block, std::size_t x, std::size_t y) {
  const Place in = block.place(x), out = block.place(y);
  return {block.rows,       in.at,  in.value->row,  in.value->plane,
          block.sums,       out.at, out.value->row, out.value->plane};
}

// Maps of fewer pixels are shared by channels: every thread then keeps only its own weights in its caches.
inline constexpr std::size_t kPixelsWorthSharing = 64;

// What one thread of a block does with maps: `run` is called with its Part.
template <class Function>
void share_maps(const Block& block, std::size_t groups, std::size_t pixels, double cost, const Function& run) {
  const std::size_t parts = parts_of(block, cost);
  each_part(block, parts, [&](std::size_t n) {
    const bool by_pixels = pixels >= kPixelsWorthSharing || groups < parts * kBlock;
    run(by_pixels ? Part{{0, groups}, n, parts} : Part{groups_of_part(groups, n, parts), 0, 1});
  });
}

// A map that the second cache does not hold is computed piece by piece, all channels of one before the next, where their weights
// stay in the first cache: so lines of the map are read and written once.
inline constexpr std::size_t kPieceBytes = std::size_t{1} << 15;

inline std::size_t pieces_of(const Value& input, const Value& output, std::size_t weight_bytes) {
  const std::size_t bytes = input.row + output.row;
  return bytes > 8 * kPieceBytes && weight_bytes <= kPieceBytes ? bytes / kPieceBytes : 1;
}

// Runs a part of a layer on maps in its share of so many pieces.
template <class Function>
void run_in_pieces(const Part& part, std::size_t pieces, const Function& run) {
  const std::size_t own = (pieces + part.parts - 1) / part.parts;
  for (std::size_t n = 0; n < own; ++n) run(Part{part.groups, part.part * own + n, part.parts * own});
}

// Splits the outputs of a pooling step among threads as convolutions split theirs, so that each finds its own rows.
template <class Function>
void share_outputs(const Block& block, double cost, const Function& run) {
  const std::size_t parts = parts_of(block, cost);
  each_part(block, parts, [&](std::size_t n) { run(n, parts); });
}

inline Rows maps_of(const Block& block, std::size_t x, std::size_t y, bool sums) {
  Rows rows = rows_of(block, x, y);
  if (!sums) rows.sums = nullptr;
  return rows;
}

}  // namespace lowbit
