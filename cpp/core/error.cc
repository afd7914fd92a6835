#include "error.h"

#include <utility>

namespace lowbit {

Error::Error(Kind kind_, const std::string& message, std::string where_, std::string expected_, std::string found_, std::string remedy_)
    : std::runtime_error(message), kind(kind_), where(std::move(where_)), expected(std::move(expected_)), found(std::move(found_)),
      remedy(std::move(remedy_)) {}

TooLarge::TooLarge(const std::string& what, std::size_t needed_, std::size_t allowed_)
    : Error(Kind::memory, what + " would take too much memory", "engine", "at most " + std::to_string(allowed_) + " bytes",
            std::to_string(needed_) + " bytes", "Allow more, or run fewer threads."),
      needed(needed_), allowed(allowed_) {}

std::string Phrase::text() const {
  std::string all;
  for (std::size_t n = 0; n < count_; ++n) {
    const Piece& one = pieces_[n];
    switch (one.kind) {
      case Piece::Kind::text: all += one.text; break;
      case Piece::Kind::integer: all += std::to_string(one.integer); break;
      case Piece::Kind::natural: all += std::to_string(one.natural); break;
      case Piece::Kind::real: all += std::to_string(one.real); break;
    }
  }
  return all;
}

void refuse_program(const char* where, const char* expected, const char* found) { refuse_program(where, Phrase(expected), Phrase(found)); }

void refuse_program(const char* where, const Phrase& expected, const Phrase& found) {
  throw Error(Error::Kind::engine, "the program does not fit together", where, expected.text(), found.text(),
              "Plan it again with lowbit.program.");
}

}  // namespace lowbit
