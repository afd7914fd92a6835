#include "steps.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "../core/error.h"
#include "../core/reader.h"

namespace nb = nanobind;

namespace lowbit {
namespace {

// A field, and where it is, for errors.
class Field {
 public:
  Field(nb::object value, std::string where) : value_(std::move(value)), where_(std::move(where)) {}

  [[noreturn]] void refuse(std::string_view expected) const {
    require(false, where_.c_str(), expected, nb::type_name(value_.type()).c_str());
    std::abort();
  }

  [[noreturn]] void unknown(std::string_view expected, std::string_view) const { refuse(expected); }

  Field field(std::string_view name) const {
    const std::string text(name);
    if (!nb::hasattr(value_, text.c_str())) refuse("the field " + text);
    return {value_.attr(text.c_str()), where_ + "." + text};
  }

  template <class T>
  T number() const {
    T value{};
    if (!nb::try_cast(value_, value)) refuse(Reader<T>::kText);
    return value;
  }

  // Nothing, where it is none: no name is empty.
  std::string text() const {
    std::string name;
    return nb::try_cast(value_, name) ? name : std::string();
  }

  // What was meant otherwise is never converted.
  template <class T>
  Dense<T> array() const {
    nb::ndarray<const T, nb::c_contig, nb::device::cpu> array;
    if (!nb::try_cast(value_, array, false)) refuse(std::string("a dense array of ") + number_name<T>());
    std::size_t columns = 1;
    for (std::size_t n = 1; n < array.ndim(); ++n) columns *= array.shape(n);
    return {array.data(), array.ndim(), array.ndim() == 0 ? 0 : array.shape(0), columns};
  }

  std::string kind() const { return nb::cast<std::string>(value_.type().attr("__name__")); }

  void enter(std::string_view) const {}

 private:
  nb::object value_;
  std::string where_;
};

template <class Struct>
void describe(nb::dict& to) {
  Struct one{};
  nb::dict types;
  each_field(one, [&]<class T>(std::string_view name, T&) { types[std::string(name).c_str()] = std::string(Reader<T>::kText); });
  to[Struct::kName] = types;
}

template <class... Structs>
void describe(nb::dict& to, const std::variant<Structs...>*) {
  (describe<Structs>(to), ...);
}

}  // namespace

void add_step(Loader& loader, nb::handle step, std::string value, std::string why) {
  const std::string name = nb::cast<std::string>(step.type().attr("__name__"));
  std::vector<std::size_t> x;
  if (!nb::try_cast(step.attr("sources"), x)) Field(step.attr("sources"), name + ".sources").refuse("numbers of values");
  steps::Any any;
  Reader<steps::Any>::read(Field(nb::borrow(step), name), any);
  loader.add(x, any, std::move(value), std::move(why));
}

nb::dict step_fields() {
  nb::dict all;
  describe(all, static_cast<const steps::Any*>(nullptr));
  describe(all, static_cast<const steps::Ending*>(nullptr));
  describe<PlaneWeights>(all), describe<ByteWeights>(all), describe<WordWeights>(all), describe<WeightGroups>(all);
  describe<AxisSpec>(all);
  return all;
}

}  // namespace lowbit
