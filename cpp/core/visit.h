// std::visit and its like, without a table of functions: those, their unwinding and their relocations are larger than what they do.
#pragma once

#include <utility>
#include <variant>

namespace lowbit {

// Calls visit with what a variant holds.
template <std::size_t kFirst = 0, class Visit, class Variant>
[[gnu::always_inline]] inline decltype(auto) visit_held(const Visit& visit, Variant& of) {
  if constexpr (kFirst + 1 < std::variant_size_v<Variant>) {
    if (of.index() != kFirst) return visit_held<kFirst + 1>(visit, of);
  }
  return visit(*std::get_if<kFirst>(&of));
}

// Makes a variant hold its alternative of that number, and calls visit with it.
template <std::size_t kFirst = 0, class Visit, class... Kinds>
[[gnu::always_inline]] inline void visit_emplaced(const Visit& visit, std::variant<Kinds...>& of, std::size_t number) {
  if constexpr (kFirst + 1 < sizeof...(Kinds)) {
    if (number != kFirst) return visit_emplaced<kFirst + 1>(visit, of, number);
  }
  visit(of.template emplace<kFirst>());
}

}  // namespace lowbit
