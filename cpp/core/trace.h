// A run step by step, with every step's result as others understand it.
#pragma once

#include "program.h"

namespace lowbit {

// Bytes of an element of a traced value: codes in planes or bytes have one, words two, floats four.
std::size_t traced_bytes(const Value& value);

// Runs all rows; `at` has a place for each step's result: [rows, features], maps in the order [channel][height][width]. Takes
// the program's lock.
void trace(Program& program, std::span<std::byte* const> ports, std::size_t rows, std::vector<std::byte*> at);

}  // namespace lowbit
