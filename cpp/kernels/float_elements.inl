// Arithmetic and clips of floats (comparisons, logic and divisions with a rest are plain code's, for all levels), one text for every level: a vector of the level at a time, each lane as IEEE 754 rounds it.
// y may be a or b. It comes behind functions.inl. The file that includes this defines LOWBIT_NAMESPACE, the level it is compiled for.

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

constexpr std::size_t kElementLanes = kVectorBytes / 4;
typedef float ElementLanes __attribute__((vector_size(4 * kElementLanes)));

template <class Apply>
void loop_of_lanes(const void* apply, const float* a, const float* b, std::size_t step, float* y, std::size_t count) {
  for (std::size_t n = 0; n < count; n += kElementLanes) {
    ElementLanes result;
    (*static_cast<const Apply*>(apply))(result, read_as<ElementLanes>(a + n), read_as<ElementLanes>(b + n * step));
    write_as(y + n, result);
  }
}

// Calls apply(y, a, b) for all lanes. What lies behind the last element is computed of zeros and dropped.
template <class Apply>
LOWBIT_INLINE void each_lanes(const float* a, const float* b, bool one, float* y, std::size_t count, const Apply& apply) {
  each_vector<kElementLanes>(loop_of_lanes<Apply>, &apply, a, b, one, y, count);
}

#if defined(LOWBIT_RARE_FUNCTIONS)
// 1 where the condition holds.
template <class Holds>
void each_answer(const float* a, const float* b, bool one, float* y, std::size_t count, const Holds& holds) {
  each_lanes(a, b, one, y, count, [&](ElementLanes& r, const ElementLanes& p, const ElementLanes& q) {
    r = holds(p, q) ? ElementLanes{} + 1.0f : ElementLanes{};
  });
}

template <class Apply>
void each_number(const float* a, const float* b, bool one, float* y, std::size_t count, const Apply& apply) {
  const std::size_t step = one ? 0 : 1;
  for (std::size_t n = 0; n < count; ++n) y[n] = apply(a[n], b[n * step]);
}

// Of IEEE 754, which is exact; here with the divisor's sign.
inline float modulo_of(float a, float b) {
  const float left = __builtin_fmodf(a, b);
  return left != 0 && (left < 0) != (b < 0) ? left + b : left;
}
#endif

void each_power(const float* a, const float* b, bool one, float* y, std::size_t count) {
  each_lanes(a, b, one, y, count, [](ElementLanes& r, const ElementLanes& p, const ElementLanes& q) {
    for (std::size_t half = 0; half < kElementLanes; half += kDoubleLanes) {
      HalfFloats x, exponent;
      __builtin_memcpy(&x, reinterpret_cast<const float*>(&p) + half, sizeof x);
      __builtin_memcpy(&exponent, reinterpret_cast<const float*>(&q) + half, sizeof exponent);
      const Doubles power = raised(__builtin_convertvector(x, Doubles), __builtin_convertvector(exponent, Doubles));
      x = __builtin_convertvector(power, HalfFloats);
      __builtin_memcpy(reinterpret_cast<float*>(&r) + half, &x, sizeof x);
    }
  });
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
    case Arithmetic::minimum:
      return each_lanes(a, b, one, y, count, [](Lanes& r, const Lanes& p, const Lanes& q) { r = ((p < q) | (p != p)) ? p : q; });
    case Arithmetic::maximum:
      return each_lanes(a, b, one, y, count, [](Lanes& r, const Lanes& p, const Lanes& q) { r = ((p > q) | (p != p)) ? p : q; });
    case Arithmetic::power: return each_power(a, b, one, y, count);
#if defined(LOWBIT_RARE_FUNCTIONS)
    case Arithmetic::modulo: return each_number(a, b, one, y, count, modulo_of);
    case Arithmetic::remainder:
      return each_number(a, b, one, y, count, [](float p, float q) { return __builtin_fmodf(p, q); });
    case Arithmetic::quotient:
      return each_number(a, b, one, y, count,
                         [](float p, float q) { return static_cast<float>(__builtin_trunc(double{p} / double{q})); });
    case Arithmetic::less: return each_answer(a, b, one, y, count, [](const Lanes& p, const Lanes& q) { return p < q; });
    case Arithmetic::less_or_equal: return each_answer(a, b, one, y, count, [](const Lanes& p, const Lanes& q) { return p <= q; });
    case Arithmetic::greater: return each_answer(a, b, one, y, count, [](const Lanes& p, const Lanes& q) { return p > q; });
    case Arithmetic::greater_or_equal:
      return each_answer(a, b, one, y, count, [](const Lanes& p, const Lanes& q) { return p >= q; });
    case Arithmetic::equal: return each_answer(a, b, one, y, count, [](const Lanes& p, const Lanes& q) { return p == q; });
    case Arithmetic::both:
      return each_answer(a, b, one, y, count, [](const Lanes& p, const Lanes& q) { return (p != 0.0f) & (q != 0.0f); });
    case Arithmetic::either:
      return each_answer(a, b, one, y, count, [](const Lanes& p, const Lanes& q) { return (p != 0.0f) | (q != 0.0f); });
    case Arithmetic::one_alone:
      return each_answer(a, b, one, y, count, [](const Lanes& p, const Lanes& q) { return (p != 0.0f) ^ (q != 0.0f); });
#else
    default: return portable::arithmetic(operation, a, b, one, y, count);
#endif
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
