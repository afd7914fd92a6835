// Names as one text, with " | " between them: what errors show, without a pointer for each, which a loader has to relocate.
#pragma once

#include <cstddef>
#include <string_view>

namespace lowbit {

inline constexpr std::string_view kBetweenNames = " | ";

// The first name, and what is left behind it.
constexpr std::string_view take_name(std::string_view& names, std::string_view between = kBetweenNames) {
  const std::string_view name = names.substr(0, names.find(between));
  names.remove_prefix(name.size() + between.size() < names.size() ? name.size() + between.size() : names.size());
  return name;
}

// Name n, or nothing behind the last.
constexpr std::string_view name_at(std::string_view names, std::size_t n, std::string_view between = kBetweenNames) {
  while (n-- > 0) take_name(names, between);
  return take_name(names, between);
}

constexpr std::size_t count_names(std::string_view names) {
  std::size_t count = 0;
  for (; !names.empty(); ++count) take_name(names);
  return count;
}

// Which name it is, or how many there are.
constexpr std::size_t find_name(std::string_view names, std::string_view name) {
  std::size_t n = 0;
  while (!names.empty() && take_name(names) != name) ++n;
  return n;
}

}  // namespace lowbit
