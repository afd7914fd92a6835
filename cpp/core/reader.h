// How structs with named fields are read, whatever they come from. A source is something of Python (bind/steps.cc) or of a
// file (core/program_file.cc), and has
//
//   number<T>()   a bool, an integer or a float; refused where T does not hold it
//   text()        a text
//   array<T>()    a dense array of exactly this type
//   count()       how many elements a list has; its elements follow from field()
//   kind()        what the struct is called that comes next
//   enter(line)   called before the fields of a struct are read, with the line that declares it
//   field(name)   the source of a field, in the order in which they are declared
//   refuse(text)  throws: something else was expected
//   unknown(text, found)  throws: what is found is none of those that are expected
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "names.h"
#include "steps.h"
#include "visit.h"

namespace lowbit {

// An array as a source has it: the first axis has the rows, and all behind it are columns.
template <class T>
struct Dense {
  const T* data;
  std::size_t axes, rows, columns;
};

template <class T>
constexpr const char* number_name() {
  if constexpr (std::is_same_v<T, float>) return "float32";
  if constexpr (std::is_same_v<T, double>) return "float64";
  if constexpr (std::is_same_v<T, std::int8_t>) return "int8";
  if constexpr (std::is_same_v<T, std::int32_t>) return "int32";
  if constexpr (std::is_same_v<T, std::int16_t>) return "int16";
  if constexpr (std::is_same_v<T, std::int64_t>) return "int64";
  if constexpr (std::is_same_v<T, std::uint8_t>) return "uint8";
  if constexpr (std::is_same_v<T, std::uint16_t>) return "uint16";
  if constexpr (std::is_same_v<T, std::uint32_t>) return "uint32";
}

// Text that is put together by the compiler.
template <std::size_t kSize>
struct Text {
  std::array<char, kSize> letters{};
  std::size_t size = 0;

  constexpr explicit Text(auto... pieces) { add(pieces...); }
  constexpr void add(auto... pieces) { (append(pieces), ...); }
  constexpr void append(std::string_view piece) {
    for (const char letter : piece) letters[size++] = letter;
  }
  constexpr operator std::string_view() const { return {letters.data(), size}; }
};

template <class Struct>
using FieldsOf = decltype(std::declval<Struct&>().fields());

template <class Struct>
inline constexpr std::size_t kFieldCount = std::tuple_size_v<FieldsOf<Struct>>;

template <class Struct, std::size_t n>
consteval std::string_view field_name() {
  return name_at(Struct::kFields, n, ", ");
}

template <class Struct, std::size_t n>
using FieldType = std::decay_t<std::tuple_element_t<n, FieldsOf<Struct>>>;

// Calls visit(name, field) for each field of a struct.
template <class Struct, class Visit>
void each_field(Struct& to, const Visit& visit) {
  [&]<std::size_t... n>(std::index_sequence<n...>) {
    [[maybe_unused]] const auto fields = to.fields();
    (visit(field_name<Struct, n>(), std::get<n>(fields)), ...);
  }(std::make_index_sequence<kFieldCount<Struct>>{});
}

// read(source, to); kText: what Python calls the type; kWord: what files call it.
template <class T>
struct Reader;

// One function for each type of field, whatever struct it is of.
template <class Source, class T>
[[gnu::noinline]] void read_field(const Source& from, std::string_view name, T& to) {
  Reader<T>::read(from.field(name), to);
}

// Which of these names it is.
template <class Source>
std::size_t number_of(const Source& from, std::string_view name, std::string_view names) {
  const std::size_t number = find_name(names, name);
  if (number == count_names(names)) from.unknown(names, name);
  return number;
}

template <class T>
struct NumberReader {
  template <class Source>
  static void read(const Source& from, T& to) {
    to = from.template number<T>();
  }
};

template <>
struct Reader<bool> : NumberReader<bool> {
  static constexpr std::string_view kWord = "bool", kText = "bool";
};
template <>
struct Reader<std::size_t> : NumberReader<std::size_t> {
  static constexpr std::string_view kWord = "int", kText = "int";
};
template <>
struct Reader<std::int32_t> : NumberReader<std::int32_t> {
  static constexpr std::string_view kWord = "int", kText = "int";
};
template <>
struct Reader<float> : NumberReader<float> {
  static constexpr std::string_view kWord = "float", kText = "float";
};
template <>
struct Reader<double> : NumberReader<double> {
  static constexpr std::string_view kWord = "float", kText = "float";
};

template <>
struct Reader<std::string> {
  static constexpr std::string_view kWord = "text", kText = "str";

  template <class Source>
  static void read(const Source& from, std::string& to) {
    to = from.text();
  }
};

// An enumerator by its name.
template <class Enum, const auto& kNames>
struct NameReader {
  static constexpr std::string_view kText = kNames, kWord = "name";

  template <class Source>
  static void read(const Source& from, Enum& to) {
    to = static_cast<Enum>(number_of(from, from.text(), kNames));
  }
};

template <>
struct Reader<Function> : NameReader<Function, kFunctions> {};
template <>
struct Reader<Arithmetic> : NameReader<Arithmetic, kArithmetic> {};
template <>
struct Reader<Reduction> : NameReader<Reduction, kReductions> {};
template <>
struct Reader<Writing> : NameReader<Writing, kWritings> {};
template <>
struct Reader<Cell> : NameReader<Cell, kCells> {};
template <>
struct Reader<Direction> : NameReader<Direction, kDirections> {};
template <>
struct Reader<Form> : NameReader<Form, kForms> {};
template <>
struct Reader<Rule> : NameReader<Rule, kRules> {};

template <class T>
struct Reader<std::span<const T>> {
  template <class Source>
  static void read(const Source& from, std::span<const T>& to) {
    const Dense<T> array = from.template array<T>();
    if (array.axes != 1) from.refuse("one axis");
    to = {array.data, array.rows};
  }
  static constexpr std::string_view kWord = number_name<T>(), kText = kWord;
};

// The first axis has the rows; what lies behind it is one.
template <class T>
struct Reader<Matrix<T>> {
  template <class Source>
  static void read(const Source& from, Matrix<T>& to) {
    const Dense<T> array = from.template array<T>();
    if (array.axes < 2) from.refuse("two axes or more");
    to = {array.data, array.rows, array.columns};
  }
  static constexpr std::string_view kWord = number_name<T>(), kText = kWord;
};

template <class T>
struct Reader<std::vector<T>> {
  template <class Source>
  static void read(const Source& from, std::vector<T>& to) {
    const std::size_t count = from.template count<T>();
    for (std::size_t n = 0; n < count; ++n) read_field(from, "[]", to.emplace_back());
  }
  static constexpr Text<Reader<T>::kWord.size() + 1> kStarred{Reader<T>::kWord, "*"};
  static constexpr std::string_view kWord = kStarred, kText = "tuple";
};

template <class Struct>
  requires requires { Struct::kFields; }
struct Reader<Struct> {
  template <class Source>
  static void read(const Source& from, Struct& to) {
    from.enter(line());
    each_field(to, [&](std::string_view name, auto& field) { read_field(from, name, field); });
  }

  static constexpr std::string_view kWord = Struct::kName, kText = kWord;
  // As files declare it: its name, and name:word of every field.
  static constexpr auto kDeclared = []<std::size_t... n>(std::index_sequence<n...>) {
    constexpr std::size_t size = (kWord.size() + ... + (field_name<Struct, n>().size() + Reader<FieldType<Struct, n>>::kWord.size() + 2));
    Text<size> line{kWord};
    (line.add(" ", field_name<Struct, n>(), ":", Reader<FieldType<Struct, n>>::kWord), ...);
    return line;
  }(std::make_index_sequence<kFieldCount<Struct>>{});
  static constexpr std::string_view line() { return kDeclared; }
};

// The alternative that is called like what comes.
template <class... Structs>
struct Reader<std::variant<Structs...>> {
  static constexpr auto kNames = [] {
    Text<(sizeof...(Structs) - 1) * kBetweenNames.size() + (std::string_view(Structs::kName).size() + ...)> names;
    ((names.add(names.size == 0 ? "" : kBetweenNames, Structs::kName)), ...);
    return names;
  }();
  static constexpr std::string_view kWord = "any", kText = kNames;

  template <class Source>
  static void read(const Source& from, std::variant<Structs...>& to) {
    visit_emplaced([&](auto& one) { read_alone(from, one); }, to, number_of(from, from.kind(), kNames));
  }

 private:
  template <class Source, class Struct>
  [[gnu::noinline]] static void read_alone(const Source& from, Struct& to) {
    Reader<Struct>::read(from, to);
  }
};

}  // namespace lowbit
