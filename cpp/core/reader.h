// How structs with named fields are read, whatever they come from. A source is something of Python (bind/steps.cc) or of a
// file (core/program_file.cc), and has
//
//   number<T>()   a bool, an integer or a float; refused where T does not hold it
//   text()        a text
//   array<T>()    a dense array of exactly this type
//   count()       how many elements a list has; its elements follow from field()
//   kind()        what the struct is called that comes next
//   enter(struct) called before the fields of a struct are read
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

#include "steps.h"

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

inline std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " | ") + name;
  return text;
}

// What a struct declares, without a word of code for each.
struct Declared {
  std::string_view name;
  const std::string_view* fields;
  const std::string_view* words;
  std::size_t count;
};

// The names between commas.
template <std::size_t kCount>
constexpr std::array<std::string_view, kCount> names_of(std::string_view fields) {
  std::array<std::string_view, kCount> names{};
  for (std::string_view& name : names) {
    while (!fields.empty() && fields.front() == ' ') fields.remove_prefix(1);
    name = fields.substr(0, fields.find(','));
    fields.remove_prefix(std::min(name.size() + 1, fields.size()));
  }
  return names;
}

template <class Struct>
using FieldsOf = decltype(std::declval<Struct&>().fields());

template <class Struct>
inline constexpr auto kFieldNames = names_of<std::tuple_size_v<FieldsOf<Struct>>>(Struct::kFields);

// Calls visit(name, field) for each field of a struct.
template <class Struct, class Visit>
void each_field(Struct& to, const Visit& visit) {
  std::size_t n = 0;
  std::apply([&](auto&... fields) { (visit(kFieldNames<Struct>[n++], fields), ...); }, to.fields());
}

// read(source); text(): what Python calls the type; kWord: what files call it.
template <class T>
struct Reader;

template <class T>
struct NumberReader {
  template <class Source>
  static T read(const Source& from) {
    return from.template number<T>();
  }
};

template <>
struct Reader<bool> : NumberReader<bool> {
  static constexpr std::string_view kWord = "bool";
  static std::string text() { return "bool"; }
};
template <>
struct Reader<std::size_t> : NumberReader<std::size_t> {
  static constexpr std::string_view kWord = "int";
  static std::string text() { return "int"; }
};
template <>
struct Reader<std::int32_t> : NumberReader<std::int32_t> {
  static constexpr std::string_view kWord = "int";
  static std::string text() { return "int"; }
};
template <>
struct Reader<float> : NumberReader<float> {
  static constexpr std::string_view kWord = "float";
  static std::string text() { return "float"; }
};
template <>
struct Reader<double> : NumberReader<double> {
  static constexpr std::string_view kWord = "float";
  static std::string text() { return "float"; }
};

template <>
struct Reader<std::string> {
  template <class Source>
  static std::string read(const Source& from) {
    return from.text();
  }
  static constexpr std::string_view kWord = "text";
  static std::string text() { return "str"; }
};

// An enumerator by its name.
template <class Enum, const auto& kNames>
struct NameReader {
  template <class Source>
  static Enum read(const Source& from) {
    const std::string name = from.text();
    const auto found = std::find(std::begin(kNames), std::end(kNames), name);
    if (found == std::end(kNames)) from.unknown(text(), name);
    return static_cast<Enum>(found - std::begin(kNames));
  }
  static std::string text() { return joined({std::begin(kNames), std::end(kNames)}); }
  static constexpr std::string_view kWord = "name";
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
  static std::span<const T> read(const Source& from) {
    const Dense<T> array = from.template array<T>();
    if (array.axes != 1) from.refuse("one axis");
    return {array.data, array.rows};
  }
  static constexpr std::string_view kWord = number_name<T>();
  static std::string text() { return number_name<T>(); }
};

// The first axis has the rows; what lies behind it is one.
template <class T>
struct Reader<Matrix<T>> {
  template <class Source>
  static Matrix<T> read(const Source& from) {
    const Dense<T> array = from.template array<T>();
    if (array.axes < 2) from.refuse("two axes or more");
    return {array.data, array.rows, array.columns};
  }
  static constexpr std::string_view kWord = number_name<T>();
  static std::string text() { return number_name<T>(); }
};

template <class T>
struct Reader<std::vector<T>> {
  template <class Source>
  static std::vector<T> read(const Source& from) {
    std::vector<T> all;
    const std::size_t count = from.template count<T>();
    for (std::size_t n = 0; n < count; ++n) all.push_back(Reader<T>::read(from.field("[]")));
    return all;
  }
  static constexpr auto kStarred = [] {
    std::array<char, Reader<T>::kWord.size() + 1> word{};
    std::copy(Reader<T>::kWord.begin(), Reader<T>::kWord.end(), word.begin());
    word.back() = '*';
    return word;
  }();
  static constexpr std::string_view kWord{kStarred.data(), kStarred.size()};
  static std::string text() { return "tuple"; }
};

template <class Struct>
  requires requires { Struct::kFields; }
struct Reader<Struct> {
  template <class Source>
  static Struct read(const Source& from) {
    Struct to{};
    from.enter(declared());
    each_field(to, [&]<class T>(std::string_view name, T& field) { field = Reader<T>::read(from.field(name)); });
    return to;
  }

  static constexpr std::string_view kWord = Struct::kName;
  static std::string text() { return Struct::kName; }

  static const Declared& declared() {
    static constexpr auto kWords = []<class... T>(std::tuple<T&...>*) {
      return std::array<std::string_view, sizeof...(T)>{Reader<T>::kWord...};
    }(static_cast<FieldsOf<Struct>*>(nullptr));
    static constexpr Declared kDeclared{Struct::kName, kFieldNames<Struct>.data(), kWords.data(), kWords.size()};
    return kDeclared;
  }
};

// The alternative that is called like what comes.
template <class... Structs>
struct Reader<std::variant<Structs...>> {
  using Variant = std::variant<Structs...>;

  template <class Source>
  static Variant read(const Source& from) {
    struct Alternative {
      std::string_view name;
      Variant (*read)(const Source&);
    };
    static constexpr Alternative kAll[] = {
        {Structs::kName, [](const Source& one) { return Variant(std::in_place_type<Structs>, Reader<Structs>::read(one)); }}...};
    const std::string name = from.kind();
    for (const Alternative& one : kAll) {
      if (one.name == name) return one.read(from);
    }
    from.unknown(text(), name);
  }
  static constexpr std::string_view kWord = "any";
  static std::string text() { return joined({Structs::kName...}); }
};

}  // namespace lowbit
