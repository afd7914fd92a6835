// Arrays that somebody else keeps, and arrays by channel padded to whole groups.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "kernel.h"
#include "memory.h"

namespace lowbit {

template <class T>
struct Matrix {
  const T* data;
  std::size_t rows, columns;

  const T* row(std::size_t n) const { return data + n * columns; }
};

inline std::size_t groups_of(std::size_t channels) { return round_up(channels, kGroup) / kGroup; }

// Values for whole groups, zero where there is no channel.
template <class T>
Aligned<T> padded(std::span<const T> values) {
  Aligned<T> out(round_up(values.size(), kGroup));
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

}  // namespace lowbit
