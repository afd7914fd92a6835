// How structs with named fields are read, whatever they come from. A source is something of Python (bind/steps.cc) or of a
// file (core/program_file.cc), and has
//
//   number<T>()   a bool, an integer or a float; refused where T does not hold it
//   text()        a text
//   array<T>()    a dense array of exactly this type
//   count()       how many elements a list has; its elements follow from field()
//   kind()        what the struct is called that comes next
//   enter<S>()    called before the fields of a struct S are read
//   field(name)   the source of a field, in the order in which they are declared
//   refuse(text)  throws: something else was expected
//   unknown(text, found)  throws: what is found is none of those that are expected
#pragma once

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
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

// The names between commas.
inline std::vector<std::string> names_of(const char* fields) {
  std::vector<std::string> names;
  std::string name;
  for (; *fields != 0; ++fields) {
    if (*fields == ',') {
      names.push_back(std::move(name)), name.clear();
    } else if (*fields != ' ') {
      name += *fields;
    }
  }
  if (!name.empty()) names.push_back(std::move(name));
  return names;
}

// Calls visit(name, field) for each field of a struct.
template <class Struct, class Visit>
void each_field(Struct& to, const Visit& visit) {
  static const std::vector<std::string> names = names_of(Struct::kFields);
  std::size_t n = 0;
  std::apply([&](auto&... fields) { (visit(names[n++], fields), ...); }, to.fields());
}

// read(source); text(): what Python calls the type; word(): what files call it.
template <class T>
struct Reader;

template <class T>
struct NumberReader {
  template <class Source>
  static T read(const Source& from) {
    return from.template number<T>();
  }
  static std::string word() { return Reader<T>::text(); }
};

template <>
struct Reader<bool> : NumberReader<bool> {
  static std::string text() { return "bool"; }
};
template <>
struct Reader<std::size_t> : NumberReader<std::size_t> {
  static std::string text() { return "int"; }
};
template <>
struct Reader<std::int32_t> : NumberReader<std::int32_t> {
  static std::string text() { return "int"; }
};
template <>
struct Reader<float> : NumberReader<float> {
  static std::string text() { return "float"; }
};
template <>
struct Reader<double> : NumberReader<double> {
  static std::string text() { return "float"; }
};

template <>
struct Reader<std::string> {
  template <class Source>
  static std::string read(const Source& from) {
    return from.text();
  }
  static std::string text() { return "str"; }
  static std::string word() { return "text"; }
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
  static std::string word() { return "name"; }
};

template <>
struct Reader<Function> : NameReader<Function, kFunctions> {};
template <>
struct Reader<Arithmetic> : NameReader<Arithmetic, kArithmetic> {};
template <>
struct Reader<Reduction> : NameReader<Reduction, kReductions> {};
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
  static std::string text() { return number_name<T>(); }
  static std::string word() { return text(); }
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
  static std::string text() { return number_name<T>(); }
  static std::string word() { return text(); }
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
  static std::string text() { return "tuple"; }
  static std::string word() { return Reader<T>::word() + "*"; }
};

template <class Struct>
  requires requires { Struct::kFields; }
struct Reader<Struct> {
  template <class Source>
  static Struct read(const Source& from) {
    Struct to{};
    from.template enter<Struct>();
    each_field(to, [&]<class T>(const std::string& name, T& field) { field = Reader<T>::read(from.field(name)); });
    return to;
  }
  static std::string text() { return Struct::kName; }
  static std::string word() { return Struct::kName; }

  // A struct as files declare it: its name, and name:word of every field.
  static const std::string& line() {
    static const std::string text = [] {
      std::string all = Struct::kName;
      Struct one{};
      each_field(one, [&]<class T>(const std::string& name, T&) { all += " " + name + ":" + Reader<T>::word(); });
      return all;
    }();
    return text;
  }
};

// The alternative that is called like what comes.
template <class... Structs>
struct Reader<std::variant<Structs...>> {
  using Variant = std::variant<Structs...>;

  template <class Source>
  static Variant read(const Source& from) {
    const std::string name = from.kind();
    Variant result;
    const bool known = ((name == Structs::kName && (result = Reader<Structs>::read(from), true)) || ...);
    if (!known) from.unknown(text(), name);
    return result;
  }
  static std::string text() { return joined({Structs::kName...}); }
  static std::string word() { return "any"; }
};

}  // namespace lowbit
