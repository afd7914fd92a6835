// Arithmetic and clips of floats, one text for every level: sixteen lanes at a time, each as IEEE 754 rounds it.
// y may be a or b. The file that includes this defines LOWBIT_NAMESPACE, the level it is compiled for.

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

constexpr std::size_t kElementLanes = 16;
typedef float ElementLanes __attribute__((vector_size(4 * kElementLanes)));

// Calls apply(y, a, b) for all lanes. What lies behind the last element is computed of zeros and dropped.
template <class Apply>
void each_lanes(const float* a, const float* b, bool one, float* y, std::size_t count, const Apply& apply) {
  ElementLanes left, right = {}, result;
  for (std::size_t lane = 0; one && lane < kElementLanes; ++lane) right[lane] = *b;
  std::size_t n = 0;
  for (; n + kElementLanes <= count; n += kElementLanes) {
    __builtin_memcpy(&left, a + n, sizeof left);
    if (!one) __builtin_memcpy(&right, b + n, sizeof right);
    apply(result, left, right);
    __builtin_memcpy(y + n, &result, sizeof result);
  }
  if (n == count) return;
  left = ElementLanes{};
  __builtin_memcpy(&left, a + n, sizeof(float) * (count - n));
  if (!one) __builtin_memcpy(&right, b + n, sizeof(float) * (count - n));
  apply(result, left, right);
  __builtin_memcpy(y + n, &result, sizeof(float) * (count - n));
}

}  // namespace

void arithmetic(Arithmetic operation, const float* a, const float* b, bool one, float* y, std::size_t count) {
  using Lanes = ElementLanes;
  switch (operation) {
    case Arithmetic::add:
      return each_lanes(a, b, one, y, count, [](Lanes& r, const Lanes& p, const Lanes& q) { r = p + q; });
    case Arithmetic::subtract:
      return each_lanes(a, b, one, y, count, [](Lanes& r, const Lanes& p, const Lanes& q) { r = p - q; });
    case Arithmetic::multiply:
      return each_lanes(a, b, one, y, count, [](Lanes& r, const Lanes& p, const Lanes& q) { r = p * q; });
    case Arithmetic::divide:
      return each_lanes(a, b, one, y, count, [](Lanes& r, const Lanes& p, const Lanes& q) { r = p / q; });
    case Arithmetic::subtract_from:
      return each_lanes(a, b, one, y, count, [](Lanes& r, const Lanes& p, const Lanes& q) { r = q - p; });
    case Arithmetic::divide_into:
      return each_lanes(a, b, one, y, count, [](Lanes& r, const Lanes& p, const Lanes& q) { r = q / p; });
  }
}

void clip(float low, float high, const float* x, float* y, std::size_t count) {
  ElementLanes least, most;
  for (std::size_t lane = 0; lane < kElementLanes; ++lane) least[lane] = low, most[lane] = high;
  each_lanes(x, x, true, y, count, [&](ElementLanes& r, const ElementLanes& p, const ElementLanes&) {
    r = p < least ? least : p;
    r = r > most ? most : r;
  });
}

}  // namespace lowbit::LOWBIT_NAMESPACE
