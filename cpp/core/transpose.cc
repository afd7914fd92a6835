// Matrices on their side: in squares that live in registers, so that either side is read and written in whole vectors.
#include "transpose.h"

#include <cstdint>
#include <cstring>
#include <utility>

namespace lowbit {
namespace {

// One stage: rows n and n + kSide / 2 become rows 2n and 2n + 1, their elements alternating. As many stages as a side
// has bits move element c of row r to element r of row c.
template <class Vector, std::size_t kSide, std::size_t... kAt>
inline void interleave_rows(Vector* rows, std::index_sequence<kAt...>) {
  Vector next[kSide];
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kSide / 2; ++n) {
    const Vector a = rows[n], b = rows[n + kSide / 2];
    next[2 * n] = __builtin_shufflevector(a, b, (kAt / 2 + kAt % 2 * kSide)...);
    next[2 * n + 1] = __builtin_shufflevector(a, b, (kSide / 2 + kAt / 2 + kAt % 2 * kSide)...);
  }
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kSide; ++n) rows[n] = next[n];
}

// y[c y_step + r] = x[r x_step + c] for the kSide rows and columns of one square; 16 bytes a row.
template <class T>
inline void transpose_square(const T* x, std::size_t x_step, T* y, std::size_t y_step) {
  constexpr std::size_t kSide = 16 / sizeof(T);
  typedef T Vector __attribute__((vector_size(16)));
  Vector rows[kSide];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kSide; ++r) std::memcpy(&rows[r], x + r * x_step, sizeof rows[r]);
#pragma GCC unroll 4
  for (std::size_t left = kSide; left > 1; left /= 2) {
    interleave_rows<Vector, kSide>(rows, std::make_index_sequence<kSide>());
  }
#pragma GCC unroll 16
  for (std::size_t c = 0; c < kSide; ++c) std::memcpy(y + c * y_step, &rows[c], sizeof rows[c]);
}

// The same for kLine rows, put together to cache lines before they are written: rows of y often lie a power of two apart
// and share their place in the cache, so no two stay there.
template <class T, std::size_t kSide, std::size_t kLine>
inline void transpose_lines(const T* x, std::size_t x_step, T* y, std::size_t y_step) {
  alignas(64) T lines[kSide * kLine];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kLine; r += kSide) transpose_square(x + r * x_step, x_step, lines + r, kLine);
#pragma GCC unroll 16
  for (std::size_t n = 0; n < kSide; ++n) std::memcpy(y + n * y_step, lines + n * kLine, kLine * sizeof(T));
}

}  // namespace

template <class T>
void transpose(const T* x, std::size_t rows, std::size_t columns, std::size_t x_step, T* y, std::size_t y_step) {
  constexpr std::size_t kSide = 16 / sizeof(T), kLine = 64 / sizeof(T);
  const std::size_t whole_rows = rows / kSide * kSide, whole_columns = columns / kSide * kSide;
  std::size_t first = 0;
  for (; first + kLine <= whole_rows; first += kLine) {
    for (std::size_t c = 0; c < whole_columns; c += kSide) {
      transpose_lines<T, kSide, kLine>(x + first * x_step + c, x_step, y + c * y_step + first, y_step);
    }
  }
  for (; first < whole_rows; first += kSide) {
    for (std::size_t c = 0; c < whole_columns; c += kSide) {
      transpose_square(x + first * x_step + c, x_step, y + c * y_step + first, y_step);
    }
  }
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c) y[c * y_step + r] = x[r * x_step + c];
  }
}

template void transpose(const float*, std::size_t, std::size_t, std::size_t, float*, std::size_t);
template void transpose(const std::int16_t*, std::size_t, std::size_t, std::size_t, std::int16_t*, std::size_t);
template void transpose(const std::uint8_t*, std::size_t, std::size_t, std::size_t, std::uint8_t*, std::size_t);

}  // namespace lowbit
