// Matrices on their side.
#pragma once

#include <cstddef>

namespace lowbit {

// y[c y_step + r] = x[r x_step + c] for all rows and columns. T: float, int16, uint8.
template <class T>
void transpose(const T* x, std::size_t rows, std::size_t columns, std::size_t x_step, T* y, std::size_t y_step);

}  // namespace lowbit
