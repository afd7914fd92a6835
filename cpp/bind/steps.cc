#include "steps.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "../core/error.h"

namespace nb = nanobind;

namespace lowbit {
namespace {

// A field, and where it is, for errors.
struct Field {
  nb::object value;
  std::string where;

  [[noreturn]] void refuse(const std::string& expected) const {
    require(false, where.c_str(), expected, nb::type_name(value.type()).c_str());
    std::abort();
  }
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

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " | ") + name;
  return text;
}

// How a type is read, and what Python calls it.
template <class T>
struct Reader;

template <class T>
struct NumberReader {
  static T read(const Field& field) {
    T value{};
    if (!nb::try_cast(field.value, value)) field.refuse(Reader<T>::text());
    return value;
  }
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

// An enumerator by its name.
template <class Enum, const auto& kNames>
struct NameReader {
  static Enum read(const Field& field) {
    std::string name;
    const bool is_text = nb::try_cast(field.value, name);
    const auto found = std::find(std::begin(kNames), std::end(kNames), name);
    if (!is_text || found == std::end(kNames)) field.refuse(text());
    return static_cast<Enum>(found - std::begin(kNames));
  }
  static std::string text() { return joined({std::begin(kNames), std::end(kNames)}); }
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

// Dense arrays of exactly this type: what was meant otherwise is never converted.
template <class T>
auto array_of(const Field& field) {
  nb::ndarray<const T, nb::c_contig, nb::device::cpu> array;
  if (!nb::try_cast(field.value, array, false)) field.refuse(std::string("a dense array of ") + number_name<T>());
  return array;
}

template <class T>
struct Reader<std::span<const T>> {
  static std::span<const T> read(const Field& field) {
    const auto array = array_of<T>(field);
    if (array.ndim() != 1) field.refuse("one axis");
    return {array.data(), array.shape(0)};
  }
  static std::string text() { return number_name<T>(); }
};

// The first axis has the rows; what lies behind it is one.
template <class T>
struct Reader<Matrix<T>> {
  static Matrix<T> read(const Field& field) {
    const auto array = array_of<T>(field);
    if (array.ndim() < 2) field.refuse("two axes or more");
    std::size_t columns = 1;
    for (std::size_t n = 1; n < array.ndim(); ++n) columns *= array.shape(n);
    return {array.data(), array.shape(0), columns};
  }
  static std::string text() { return number_name<T>(); }
};

std::vector<std::string> names_of(const char* fields) {
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
  const std::vector<std::string> names = names_of(Struct::kFields);
  std::size_t n = 0;
  std::apply([&](auto&... fields) { (visit(names[n++], fields), ...); }, to.fields());
}

template <class Struct>
  requires requires { Struct::kFields; }
struct Reader<Struct> {
  static Struct read(const Field& from) {
    Struct to{};
    each_field(to, [&]<class T>(const std::string& name, T& field) {
      const std::string where = from.where + "." + name;
      if (!nb::hasattr(from.value, name.c_str())) from.refuse("the field " + name);
      field = Reader<T>::read({from.value.attr(name.c_str()), where});
    });
    return to;
  }
  static std::string text() { return Struct::kName; }
};

// The alternative that is called like the object's class.
template <class... Structs>
struct Reader<std::variant<Structs...>> {
  using Variant = std::variant<Structs...>;

  static Variant read(const Field& field) {
    const std::string name = nb::cast<std::string>(field.value.type().attr("__name__"));
    Variant result;
    const bool known = ((name == Structs::kName && (result = Reader<Structs>::read(field), true)) || ...);
    if (!known) field.refuse(text());
    return result;
  }
  static std::string text() { return joined({Structs::kName...}); }
};

template <class Struct>
void describe(nb::dict& to) {
  Struct one{};
  nb::dict types;
  each_field(one, [&]<class T>(const std::string& name, T&) { types[name.c_str()] = Reader<T>::text(); });
  to[Struct::kName] = types;
}

template <class... Structs>
void describe(nb::dict& to, const std::variant<Structs...>*) {
  (describe<Structs>(to), ...);
}

}  // namespace

void add_step(Loader& loader, nb::handle step, std::string value, std::string why) {
  const std::string name = nb::cast<std::string>(step.type().attr("__name__"));
  const Field sources{step.attr("sources"), name + ".sources"};
  std::vector<std::size_t> x;
  if (!nb::try_cast(sources.value, x)) sources.refuse("numbers of values");
  loader.add(x, Reader<steps::Any>::read({nb::borrow(step), name}), std::move(value), std::move(why));
}

nb::dict step_fields() {
  nb::dict all;
  describe(all, static_cast<const steps::Any*>(nullptr));
  describe(all, static_cast<const steps::Ending*>(nullptr));
  describe<PlaneWeights>(all), describe<ByteWeights>(all), describe<WordWeights>(all), describe<AxisSpec>(all);
  return all;
}

}  // namespace lowbit
