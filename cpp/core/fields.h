// Structs that say the names of their fields, so that others can read and compare them.
#pragma once

#include <tuple>

// A struct's name and those of its fields, in order.
#define LOWBIT_FIELDS(name, ...)                       \
  static constexpr const char* kName = #name;          \
  static constexpr const char* kFields = #__VA_ARGS__; \
  auto fields() { return std::tie(__VA_ARGS__); }
