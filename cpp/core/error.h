// The one exception of the core; the binding turns it into lowbit.errors.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lowbit {

struct Error : std::runtime_error {
  // file: bytes that break a rule; unsupported: of another version; memory: more than it may take; usage: an argument of a C caller.
  enum class Kind { engine, data, file, unsupported, memory, usage };

  Error(Kind kind_, const std::string& message, std::string where_, std::string expected_, std::string found_, std::string remedy_);

  Kind kind;
  std::string where, expected, found, remedy;
};

// What was asked would take more memory than it may.
struct TooLarge : Error {
  TooLarge(const std::string& what, std::size_t needed_, std::size_t allowed_);

  std::size_t needed, allowed;
};

// Words and numbers of a message, put together only where it is said: a literal or a number, or several in braces. It keeps
// no text of its own, so that it is for the length of a call.
class Phrase final {
 public:
  template <class... Pieces>
  Phrase(const Pieces&... pieces) : pieces_{Piece(pieces)...}, count_(sizeof...(pieces)) {  // NOLINT: from a literal too
    static_assert(sizeof...(pieces) <= kMost);
  }

  std::string text() const;

 private:
  struct Piece {
    Piece() = default;
    Piece(std::string_view text_) : kind(Kind::text), text(text_) {}
    Piece(const char* text_) : Piece(std::string_view(text_)) {}
    Piece(const std::string& text_) : Piece(std::string_view(text_)) {}
    template <std::signed_integral T>
    Piece(T value) : kind(Kind::integer), integer(value) {}
    template <std::unsigned_integral T>
    Piece(T value) : kind(Kind::natural), natural(value) {}
    template <std::floating_point T>
    Piece(T value) : kind(Kind::real), real(value) {}

    enum class Kind { text, integer, natural, real } kind = Kind::text;
    union {
      std::string_view text = {};
      std::int64_t integer;
      std::uint64_t natural;
      double real;
    };
  };
  static constexpr std::size_t kMost = 7;

  Piece pieces_[kMost];
  std::size_t count_;
};

// Says that the parts of a program do not fit together: a defect of whoever planned it.
[[noreturn]] void refuse_program(const char* where, const Phrase& expected, const Phrase& found);

// The same of literals alone, which most are: less to make ready.
[[noreturn]] void refuse_program(const char* where, const char* expected, const char* found);

inline void require(bool holds, const char* where, const char* expected, const char* found) {
  if (!holds) [[unlikely]] refuse_program(where, expected, found);
}

// Phrases are made ready whether it holds or not: loops over channels ask first, and refuse.
inline void require(bool holds, const char* where, const Phrase& expected, const Phrase& found) {
  if (!holds) [[unlikely]] refuse_program(where, expected, found);
}

}  // namespace lowbit
