// The one exception of the core; the binding turns it into lowbit.errors.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace lowbit {

struct Error : std::runtime_error {
  // file: bytes that break a rule; unsupported: of another version.
  enum class Kind { engine, data, file, unsupported };

  Error(Kind kind_, const std::string& message, std::string where_, std::string expected_,
        std::string found_, std::string remedy_)
      : std::runtime_error(message), kind(kind_), where(std::move(where_)),
        expected(std::move(expected_)), found(std::move(found_)), remedy(std::move(remedy_)) {}

  Kind kind;
  std::string where, expected, found, remedy;
};

// What was asked would take more memory than it may.
struct TooLarge : Error {
  TooLarge(const std::string& what, std::size_t needed_, std::size_t allowed_)
      : Error(Kind::engine, what + " would take too much memory", "engine", "at most " + std::to_string(allowed_) + " bytes",
              std::to_string(needed_) + " bytes", "Allow more, or run fewer threads."),
        needed(needed_), allowed(allowed_) {}

  std::size_t needed, allowed;
};

// A program whose parts do not fit together: a defect of whoever planned it.
inline void require(bool holds, const char* where, const std::string& expected, const std::string& found) {
  if (!holds) {
    throw Error(Error::Kind::engine, "the program does not fit together", where, expected, found,
                "Plan it again with lowbit.program.");
  }
}

}  // namespace lowbit
