// Functions of floats, one text for every level: computed in float64, a vector of the level at a time (compilers make poor code
// of wider ones), by polynomials alone, then rounded to float32, so that every machine gives the same bits: no mathematics
// library takes part, nothing is contracted. What is summed is summed in lanes whose number no level changes.
// Errors are far below half a unit in the last place of float32. What lies behind the last element is computed of zeros.
// The file that includes this defines LOWBIT_NAMESPACE, the level it is compiled for, and one of them LOWBIT_RARE_FUNCTIONS.

namespace lowbit::LOWBIT_NAMESPACE {
namespace {

typedef std::int64_t DoubleBits __attribute__((vector_size(8 * kDoubleLanes)));

constexpr double kInfinity = __builtin_inf(), kNoNumber = __builtin_nan("");
// Adding and subtracting it rounds to an integer, half to even; the sum's low bits are that integer.
constexpr double kRoundingShift = 6755399441055744.0;
constexpr std::int64_t kRoundingBits = 0x4338000000000000;

LOWBIT_INLINE Doubles spread(double number) { return Doubles{} + number; }

LOWBIT_INLINE Doubles magnitude(Doubles x) {
  return reinterpret_cast<Doubles>(reinterpret_cast<DoubleBits>(x) & 0x7fffffffffffffff);
}

LOWBIT_INLINE Doubles with_sign_of(Doubles x, Doubles sign) {
  const DoubleBits bit = reinterpret_cast<DoubleBits>(sign) & std::numeric_limits<std::int64_t>::min();
  return reinterpret_cast<Doubles>(reinterpret_cast<DoubleBits>(x) | bit);
}

// c[0] + c[1] x + … by Horner's rule.
template <std::size_t kCount>
LOWBIT_INLINE Doubles polynomial(Doubles x, const double (&c)[kCount]) {
  Doubles sum = spread(c[kCount - 1]);
#pragma GCC unroll 16
  for (std::size_t n = 1; n < kCount; ++n) sum = sum * x + c[kCount - 1 - n];
  return sum;
}

// e^x: x = n ln 2 + r, the series of e^r, times 2^n; beyond +-700, where float32 has long ended, as there. NaN stays NaN.
LOWBIT_INLINE Doubles exponential(Doubles x) {
  constexpr double kSeries[] = {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
                                1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800};
  x = x < -700.0 ? spread(-700.0) : x;
  x = x > 700.0 ? spread(700.0) : x;
  const Doubles shifted = x * 1.4426950408889634 + kRoundingShift, n = shifted - kRoundingShift;
  const Doubles r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  const DoubleBits power = (reinterpret_cast<DoubleBits>(shifted) << 52) + (std::int64_t{1023} << 52);
  return polynomial(r, kSeries) * reinterpret_cast<Doubles>(power);
}

// ln x: x = 2^e m with m from sqrt(1/2) to sqrt(2), ln m = 2 artanh((m - 1) / (m + 1)).
LOWBIT_INLINE Doubles logarithm(Doubles x) {
  constexpr double kSeries[] = {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19};
  const DoubleBits bits = reinterpret_cast<DoubleBits>(x);
  const DoubleBits e = (bits - 0x3fe6a09e667f3bcd) >> 52;
  const Doubles m = reinterpret_cast<Doubles>(bits - (e << 52)), s = (m - 1.0) / (m + 1.0);
  const Doubles exponent = reinterpret_cast<Doubles>(e + kRoundingBits) - kRoundingShift;
  const Doubles sum = exponent * 6.93147180369123816490e-01 +
                      (s * polynomial(s * s, kSeries) + exponent * 1.90821492927058770002e-10);
  const Doubles positive = x == kInfinity ? spread(kInfinity) : sum;
  const Doubles other = x == 0.0 ? spread(-kInfinity) : spread(kNoNumber);
  return x > 0.0 ? positive : other;
}

// e^x - 1; near zero by its series, as the difference would lose what is left.
LOWBIT_INLINE Doubles exponential_minus_one(Doubles x) {
  constexpr double kSeries[] = {1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120};
  const Doubles small = x * polynomial(x, kSeries);
  return magnitude(x) < 0x1p-9 ? small : exponential(x) - 1.0;
}

LOWBIT_INLINE Doubles hyperbolic_tangent(Doubles x) {
  constexpr double kSeries[] = {1.0, -1.0 / 3, 2.0 / 15};
  const Doubles size = magnitude(x), e = exponential(2.0 * size);
  const Doubles large = with_sign_of(1.0 - 2.0 / (e + 1.0), x);
  return size < 0x1p-9 ? x * polynomial(x * x, kSeries) : large;
}

// One of sixteen numbers for each lane; of an index its last four bits count.
constexpr std::size_t kEntries = 16;

LOWBIT_INLINE Doubles entry_of(const double (&table)[kEntries], DoubleBits index) {
#if defined(__AVX512F__)
  return _mm512_permutex2var_pd(_mm512_loadu_pd(table), reinterpret_cast<__m512i>(index), _mm512_loadu_pd(table + kDoubleLanes));
#else
  Doubles entry;
  for (std::size_t lane = 0; lane < kDoubleLanes; ++lane) entry[lane] = table[static_cast<std::size_t>(index[lane]) % kEntries];
  return entry;
#endif
}

// The quotient erf(x) / x from the middle of each quarter up to 4, from where on the result is one: least squares of Chebyshev nodes,
// relative error below 2e-12.
LOWBIT_INLINE Doubles error_function(Doubles x) {
  static constexpr double kQuarters[][kEntries] = {
      {1.1225296384085226, 1.0776450918257836, 0.9971854115028247, 0.8960857840700998, 0.7896784281800557,
       0.6895782347503403, 0.6021192204547328, 0.5290613640902859, 0.46933928030129773, 0.42072297338199893,
       0.38087414257679697, 0.3478094417949287, 0.31999683304494364, 0.2962957584351387, 0.275861987547533,
       0.25806450515769047},
      {-0.0931549505099439, -0.25944608607656955, -0.37389740118304154, -0.4243894157475028, -0.41902619527215745,
       -0.37761342622920285, -0.321013514727952, -0.2642749523548133, -0.21505809867573433, -0.17545957706097953,
       -0.14465762569558183, -0.12087624817816668, -0.10237826379578992, -0.08778755753908293, -0.07609924734545404,
       -0.06659720395749918},
      {-0.36564566110071456, -0.2884965791600295, -0.1652636966430951, -0.03972857361143936, 0.0541937690709712,
       0.10426817321495258, 0.1170745205862698, 0.10740081374268413, 0.08886299077762086, 0.06987123867562058,
       0.05395979162321735, 0.04175368401004834, 0.032696285682577444, 0.02599837640628123, 0.020990679899273067,
       0.01718603539512059},
      {0.05537837573322944, 0.14298769254005236, 0.17534696234735844, 0.15160248297887685, 0.09622983521759026,
       0.03903238978515778, -0.001374707430917154, -0.02131185137497305, -0.02627086415217722, -0.023638191860739947,
       -0.018693091589311327, -0.014000399280971116, -0.010334805060224913, -0.007675790638957178, -0.0057853810030462196,
       -0.004434257265366942},
      {0.10662834503079847, 0.06292157594827269, 0.001781512860584951, -0.04480565758929891, -0.060671978263689044,
       -0.05056963177662943, -0.029750670617481722, -0.011172574492801792, -4.241632585259464e-05, 0.004423187165187839,
       0.005058648077066011, 0.004215216269738567, 0.003128729583256337, 0.002232271484866467, 0.0015873689002940642,
       0.0011427926292707153},
      {-0.019584366945306537, -0.046523159152375995, -0.04670999441286995, -0.025610594408783535, -0.0005793145494872026,
       0.014518597917699575, 0.016994039067948538, 0.012072058642971856, 0.005900256584071207, 0.0016565605122295522,
       -0.0003202760130119913, -0.0008702466210039091, -0.00081657079861353, -0.0006128911317518285, -0.00042697399315469063,
       -0.0002927960413413758},
      {-0.02447967201648786, -0.009526358869988094, 0.008493719946405307, 0.017306584438894563, 0.01427403018645957,
       0.005576353609127653, -0.0015440813306907067, -0.004219074801515795, -0.0036255001765055236, -0.002012628109601561,
       -0.0007399177770314016, -9.768680370099482e-05, 0.00011496147935715362, 0.00013780351848880127,
       0.00010688579291918709, 7.332021506286332e-05},
      {0.0049908734839038795, 0.010849308527537247, 0.008480766898499937, 0.001358995989778231, -0.004154289656130143,
       -0.005049094200261093, -0.0028283553007584727, -0.0003734744783777461, 0.0008212249931620515, 0.0008945409488034517,
       0.0005394833603178484, 0.00021779019931162974, 4.883207892705097e-05, -1.0318610964543506e-05,
       -2.0694669982436194e-05, -1.6822481047023788e-05},
  };
  constexpr double kEnd = 3.9999;
  const Doubles all = magnitude(x), size = all > kEnd ? spread(kEnd) : all;
  const Doubles shifted = (size * 4.0 - 0.5) + kRoundingShift, left = size - ((shifted - kRoundingShift) * 0.25 + 0.125);
  const DoubleBits index = reinterpret_cast<DoubleBits>(shifted);
  constexpr std::size_t kLast = sizeof kQuarters / sizeof kQuarters[0] - 1;
  Doubles quotient = entry_of(kQuarters[kLast], index);
#pragma GCC unroll 16
  for (std::size_t n = kLast; n-- > 0;) quotient = quotient * left + entry_of(kQuarters[n], index);
  return with_sign_of(size, x) * quotient;
}

// x^y as IEEE 754 has it.
LOWBIT_INLINE Doubles raised(Doubles x, Doubles y) {
  const Doubles size = magnitude(x), steps = magnitude(y);
  const Doubles one = spread(1.0), even_above = spread(0x1p24);  // float32 numbers from there on are even
  const Doubles capped = steps > even_above ? even_above : steps, half = 0.5 * capped;
  const DoubleBits whole = (capped + kRoundingShift) - kRoundingShift == capped;
  const DoubleBits odd = whole & ((half + kRoundingShift) - kRoundingShift != half);
  Doubles power = exponential(y * logarithm(size));
  power = ((y == 0.0) | (size == 1.0)) ? one : power;
  const Doubles negative = reinterpret_cast<Doubles>(reinterpret_cast<DoubleBits>(power) ^ (odd & std::numeric_limits<std::int64_t>::min()));
  power = reinterpret_cast<DoubleBits>(x) < 0 ? negative : power;
  power = ((x < 0.0) & ~whole & (steps != kInfinity) & (size != kInfinity)) ? spread(kNoNumber) : power;
  power = ((x != x) & (y != 0.0)) ? x : power;
  return ((y != y) & (x != 1.0)) ? y : power;
}

// Quarters of a turn, and what is left of x, for |x| of 2^20 and more: x = m 2^e, times the bits of 2 / pi that matter.
inline double large_angle(float x, std::int64_t& quarters) {
  constexpr std::uint64_t kTwoOverPi[] = {0,
                                          0xa2f9836e4e441529,
                                          0xfc2757d1f534ddc0,
                                          0xdb6295993c439041,
                                          0xfe5163abdebbc561,
                                          0xb7246e3a424dd2e0};
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const std::uint64_t m = (bits & 0x7fffff) | 0x800000;
  const auto first = static_cast<std::size_t>((bits >> 23 & 0xff) - 150 + 62);  // bits before it are whole turns; e >= -3
  const std::size_t word = first / 64, shift = first % 64;
  const auto piece = [&](std::size_t n) {
    return shift == 0 ? kTwoOverPi[n] : kTwoOverPi[n] << shift | kTwoOverPi[n + 1] >> (64 - shift);
  };
  const auto turns = (static_cast<unsigned __int128>(piece(word)) << 64 | piece(word + 1)) * m;
  const auto nearest = turns + (static_cast<unsigned __int128>(1) << 125);
  quarters = static_cast<std::int64_t>(nearest >> 126);
  const auto left = static_cast<__int128>(turns - (static_cast<unsigned __int128>(quarters) << 126));
  const double angle = static_cast<double>(left) * 0x1p-126 * 1.5707963267948966;
  if (bits >> 31 == 0) return angle;
  quarters = -quarters;
  return -angle;
}

// The sine, a quarter of a turn further with `ahead` = 1: the cosine.
LOWBIT_INLINE Doubles sine(Doubles x, std::int64_t ahead) {
  constexpr double kSine[] = {1.0, -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04,
                              2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10};
  constexpr double kCosine[] = {1.0, -0.5, 4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
                                -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11};
  const Doubles size = magnitude(x);
  const DoubleBits large = size >= 0x1p20;
  const Doubles moderate = large ? Doubles{} : x, shifted = moderate * 0.63661977236758134 + kRoundingShift;
  const Doubles n = shifted - kRoundingShift;
  // Three parts of pi / 2 with 33 bits each.
  Doubles r = ((moderate - n * 1.57079632673412561417) - n * 6.07710050630396597660e-11) - n * 2.02226624871116645580e-21;
  DoubleBits quarters = reinterpret_cast<DoubleBits>(shifted);
  for (std::size_t lane = 0; lane < kDoubleLanes; ++lane) {
    if (!large[lane]) continue;
    std::int64_t turned = 0;
    r[lane] = size[lane] < kInfinity ? large_angle(static_cast<float>(x[lane]), turned) : kNoNumber;
    quarters[lane] = turned;
  }
  quarters += ahead;
  const Doubles square = r * r, s = r * polynomial(square, kSine), c = polynomial(square, kCosine);
  const Doubles chosen = (quarters & 1) != 0 ? c : s;
  return reinterpret_cast<Doubles>(reinterpret_cast<DoubleBits>(chosen) ^ ((quarters & 2) << 62));
}

LOWBIT_INLINE Doubles square_root(Doubles x) {
  for (std::size_t lane = 0; lane < kDoubleLanes; ++lane) x[lane] = __builtin_sqrt(x[lane]);
  return x;
}

#if defined(LOWBIT_RARE_FUNCTIONS)
// Around 0 its series (coefficients of fdlibm, Sun 1993), from tan(pi / 8) on that of what is left of pi / 4 or pi / 2.
LOWBIT_INLINE Doubles arc_tangent(Doubles x) {
  constexpr double kSeries[] = {3.33333333333329318027e-01,  -1.99999999998764832476e-01, 1.42857142725034663711e-01,
                                -1.11111104054623557880e-01, 9.09088713343650656196e-02,  -7.69187620504482999495e-02,
                                6.66107313738753120669e-02,  -5.83357013379057348645e-02, 4.97687799461593236017e-02,
                                -3.65315727442169155270e-02, 1.62858201153657823623e-02};
  const Doubles size = magnitude(x);
  const DoubleBits middle = size > 0.4142135623730950, large = size > 2.4142135623730950;
  const Doubles turned = (size - 1.0) / (size + 1.0), inverse = -1.0 / size;
  const Doubles t = large ? inverse : middle ? turned : size, square = t * t;
  const Doubles turn = large ? spread(1.5707963267948966) : middle ? spread(0.78539816339744831) : Doubles{};
  return with_sign_of(turn + (t - t * square * polynomial(square, kSeries)), x);
}

LOWBIT_INLINE Doubles tangent(Doubles x) { return sine(x, 0) / sine(x, 1); }

// With 1 - |x| and 1 + |x|, which are exact; beyond 1 there is no root.
LOWBIT_INLINE Doubles arc_sine(Doubles x) { return arc_tangent(x / square_root((1.0 - x) * (1.0 + x))); }

LOWBIT_INLINE Doubles arc_cosine(Doubles x) { return 2.0 * arc_tangent(square_root((1.0 - x) / (1.0 + x))); }

// ln(1 + x): near zero as the logarithm's own series has it, as the sum would lose what is left.
LOWBIT_INLINE Doubles logarithm_of_one_more(Doubles x) {
  constexpr double kSeries[] = {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19};
  const Doubles s = x / (2.0 + x), small = s * polynomial(s * s, kSeries);
  return magnitude(x) < 0.25 ? small : logarithm(1.0 + x);
}

LOWBIT_INLINE Doubles hyperbolic_sine(Doubles x) {
  const Doubles less = exponential_minus_one(magnitude(x));
  return with_sign_of(0.5 * (less + less / (less + 1.0)), x);
}

LOWBIT_INLINE Doubles hyperbolic_cosine(Doubles x) {
  const Doubles e = exponential(magnitude(x));
  return 0.5 * (e + 1.0 / e);
}

LOWBIT_INLINE Doubles inverse_hyperbolic_sine(Doubles x) {
  const Doubles size = magnitude(x), square = size * size;
  const Doubles made = logarithm_of_one_more(size + square / (1.0 + square_root(1.0 + square)));
  return with_sign_of(size == kInfinity ? size : made, x);
}

LOWBIT_INLINE Doubles inverse_hyperbolic_cosine(Doubles x) {
  const Doubles more = x - 1.0, made = logarithm_of_one_more(more + square_root(more * (more + 2.0)));
  return x < 1.0 ? spread(kNoNumber) : made;
}

LOWBIT_INLINE Doubles inverse_hyperbolic_tangent(Doubles x) {
  const Doubles size = magnitude(x);
  return with_sign_of(0.5 * logarithm_of_one_more(2.0 * size / (1.0 - size)), x);
}
#endif

// A loop over whole vectors of a and b, of which there may be one for all (step 0), to y, until `count` floats are done.
using VectorLoop = void (*)(const void* apply, const float* a, const float* b, std::size_t step, float* y, std::size_t count);

// Fewer floats than a vector has, in rooms that zeros fill up.
[[gnu::noinline]] void rest_of_vectors(VectorLoop loop, const void* apply, const float* a, const float* b, std::size_t step, float* y,
                                       std::size_t count) {
  Floats rest_a{}, rest_b{}, rest_y;
  __builtin_memcpy(&rest_a, a, sizeof(float) * count);
  if (step != 0) __builtin_memcpy(&rest_b, b, sizeof(float) * count);
  loop(apply, reinterpret_cast<float*>(&rest_a), step == 0 ? b : reinterpret_cast<float*>(&rest_b), step, reinterpret_cast<float*>(&rest_y), 1);
  __builtin_memcpy(y, &rest_y, sizeof(float) * count);
}

// Runs a loop over vectors of kLanes floats where they lie, and over what is left: so each loop is there once. y may be a or b.
template <std::size_t kLanes>
[[gnu::noinline]] void each_vector(VectorLoop loop, const void* apply, const float* a, const float* b, bool one, float* y, std::size_t count) {
  if (count == 0) return;
  const Floats same = Floats{} + *b;
  const std::size_t left = count % kLanes, whole = count - left, step = one ? 0 : 1;
  if (one) b = reinterpret_cast<const float*>(&same);
  if (whole != 0) loop(apply, a, b, step, y, whole);
  if (left != 0) rest_of_vectors(loop, apply, a + whole, b + step * whole, step, y + whole, left);
}

template <class Apply>
void loop_of_doubles(const void* apply, const float* x, const float*, std::size_t, float* y, std::size_t count) {
  for (std::size_t n = 0; n < count; n += kDoubleLanes) {
    const Doubles made = (*static_cast<const Apply*>(apply))(__builtin_convertvector(read_as<HalfFloats>(x + n), Doubles));
    write_as(y + n, __builtin_convertvector(made, HalfFloats));
  }
}

template <class Apply>
LOWBIT_INLINE void each_double(const float* x, float* y, std::size_t count, const Apply& apply) {
  each_vector<kDoubleLanes>(loop_of_doubles<Apply>, &apply, x, x, false, y, count);
}

// What single instructions do.
template <class Apply>
void loop_of_floats(const void* apply, const float* x, const float*, std::size_t, float* y, std::size_t count) {
  constexpr std::size_t kFloats = kVectorBytes / 4;
  for (std::size_t n = 0; n < count; n += kFloats) {
    float from[kFloats], to[kFloats];
    __builtin_memcpy(from, x + n, sizeof from);
    for (std::size_t lane = 0; lane < kFloats; ++lane) to[lane] = (*static_cast<const Apply*>(apply))(from[lane]);
    __builtin_memcpy(y + n, to, sizeof to);
  }
}

template <class Apply>
LOWBIT_INLINE void each_float(const float* x, float* y, std::size_t count, const Apply& apply) {
  each_vector<kVectorBytes / 4>(loop_of_floats<Apply>, &apply, x, x, false, y, count);
}

}  // namespace

void apply_function(Function function, const float* x, float* y, std::size_t count) {
  using D = Doubles;
  switch (function) {
    case Function::identity: return each_float(x, y, count, [](float a) { return a; });
    case Function::tanh: return each_double(x, y, count, [](D a) { return hyperbolic_tangent(a); });
    case Function::sigmoid: return each_double(x, y, count, [](D a) { return 1.0 / (1.0 + exponential(-a)); });
    case Function::elu: return each_double(x, y, count, [](D a) { return a < 0.0 ? exponential_minus_one(a) : a; });
    case Function::exponential: return each_double(x, y, count, [](D a) { return exponential(a); });
    case Function::logarithm: return each_double(x, y, count, [](D a) { return logarithm(a); });
    case Function::absolute: return each_float(x, y, count, [](float a) { return __builtin_fabsf(a); });
    case Function::square_root: return each_float(x, y, count, [](float a) { return __builtin_sqrtf(a); });
    case Function::reciprocal: return each_float(x, y, count, [](float a) { return 1.0f / a; });
    case Function::error: return each_double(x, y, count, [](D a) { return error_function(a); });
    case Function::floor: return each_float(x, y, count, [](float a) { return __builtin_floorf(a); });
    case Function::ceiling: return each_float(x, y, count, [](float a) { return __builtin_ceilf(a); });
    case Function::truncate: return each_float(x, y, count, [](float a) { return __builtin_truncf(a); });
    case Function::round: return each_float(x, y, count, [](float a) { return __builtin_nearbyintf(a); });
    case Function::negative: return each_float(x, y, count, [](float a) { return -a; });
    case Function::sign: return each_float(x, y, count, [](float a) { return a > 0 ? 1.0f : a < 0 ? -1.0f : a; });
    case Function::is_true: return each_float(x, y, count, [](float a) { return a != 0 ? 1.0f : 0.0f; });
    case Function::is_false: return each_float(x, y, count, [](float a) { return a == 0 ? 1.0f : 0.0f; });
    case Function::relu: return each_float(x, y, count, [](float a) { return a < 0 ? 0.0f : a; });
    case Function::is_nan: return each_float(x, y, count, [](float a) { return a != a ? 1.0f : 0.0f; });
    default: return portable::apply_rare_function(function, x, y, count);
  }
}

#if defined(LOWBIT_RARE_FUNCTIONS)
// Functions that hardly a network has, which plain code computes for all levels.
void apply_rare_function(Function function, const float* x, float* y, std::size_t count) {
  using D = Doubles;
  switch (function) {
    case Function::sine: return each_double(x, y, count, [](D a) { return sine(a, 0); });
    case Function::cosine: return each_double(x, y, count, [](D a) { return sine(a, 1); });
    case Function::tangent: return each_double(x, y, count, [](D a) { return tangent(a); });
    case Function::arc_sine: return each_double(x, y, count, [](D a) { return arc_sine(a); });
    case Function::arc_cosine: return each_double(x, y, count, [](D a) { return arc_cosine(a); });
    case Function::arc_tangent: return each_double(x, y, count, [](D a) { return arc_tangent(a); });
    case Function::hyperbolic_sine: return each_double(x, y, count, [](D a) { return hyperbolic_sine(a); });
    case Function::hyperbolic_cosine: return each_double(x, y, count, [](D a) { return hyperbolic_cosine(a); });
    case Function::inverse_hyperbolic_sine: return each_double(x, y, count, [](D a) { return inverse_hyperbolic_sine(a); });
    case Function::inverse_hyperbolic_cosine: return each_double(x, y, count, [](D a) { return inverse_hyperbolic_cosine(a); });
    case Function::inverse_hyperbolic_tangent: return each_double(x, y, count, [](D a) { return inverse_hyperbolic_tangent(a); });
    default: return;
  }
}
#endif

namespace {

// Sums and products in float64, so that long rows lose nothing; maxima and minima keep NaN. Of vectors, or of single numbers.
struct Sum {
  using Join = Sum;
  static constexpr double kStart = 0;
  template <class T>
  static LOWBIT_INLINE void add(T& all, T x) { all += x; }
};
struct SumOfSquares {
  using Join = Sum;
  static constexpr double kStart = 0;
  static LOWBIT_INLINE void add(Doubles& all, Doubles x) { all += x * x; }
};
#if defined(LOWBIT_RARE_FUNCTIONS)
struct AbsoluteSum {
  using Join = Sum;
  static constexpr double kStart = 0;
  static LOWBIT_INLINE void add(Doubles& all, Doubles x) { all += magnitude(x); }
};
struct Product {
  using Join = Product;
  static constexpr double kStart = 1;
  template <class T>
  static LOWBIT_INLINE void add(T& all, T x) { all *= x; }
};
#endif
struct Maximum {
  using Join = Maximum;
  static constexpr double kStart = -kInfinity;
  template <class T>
  static LOWBIT_INLINE void add(T& all, T x) { all = ((x > all) | (x != x)) ? x : all; }
};
struct Minimum {
  using Join = Minimum;
  static constexpr double kStart = kInfinity;
  template <class T>
  static LOWBIT_INLINE void add(T& all, T x) { all = ((x < all) | (x != x)) ? x : all; }
};

LOWBIT_INLINE Doubles wide(const float* x) {
  HalfFloats lanes;
  __builtin_memcpy(&lanes, x, sizeof lanes);
  return __builtin_convertvector(lanes, Doubles);
}

// A row is reduced in so many lanes, which are joined by halves.
constexpr std::size_t kRowLanes = 16, kRowVectors = kRowLanes / kDoubleLanes;

// What is joined are results, so that squares and magnitudes are summed: lane by lane with that half of all further on.
template <class Rule>
LOWBIT_INLINE double joined(Doubles* lanes) {
  using Join = typename Rule::Join;
#pragma GCC unroll 4
  for (std::size_t width = kRowVectors / 2; width > 0; width /= 2) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < width; ++v) Join::add(lanes[v], lanes[v + width]);
  }
  double all[kDoubleLanes];
  __builtin_memcpy(all, lanes, sizeof all);
#pragma GCC unroll 4
  for (std::size_t width = kDoubleLanes / 2; width > 0; width /= 2) {
#pragma GCC unroll 8
    for (std::size_t lane = 0; lane < width; ++lane) Join::add(all[lane], all[lane + width]);
  }
  return all[0];
}

// One row of floats that follow each other.
template <class Rule>
double reduced_row(const float* x, std::size_t count) {
  Doubles all[kRowVectors];
#pragma GCC unroll 8
  for (Doubles& lanes : all) lanes = spread(Rule::kStart);
  float left[kRowLanes];
  for (std::size_t n = 0; n < count; n += kRowLanes) {
    const float* from = x + n;
    if (count - n < kRowLanes) {
      for (float& lane : left) lane = static_cast<float>(Rule::kStart);
      __builtin_memcpy(left, from, sizeof(float) * (count - n));
      from = left;
    }
#pragma GCC unroll 8
    for (std::size_t v = 0; v < kRowVectors; ++v) Rule::add(all[v], wide(from + v * kDoubleLanes));
  }
  return joined<Rule>(all);
}

// Rows that lie side by side, `inner` floats from one of their elements to the next.
template <class Rule>
LOWBIT_INLINE Doubles reduced_lanes(const float* x, std::size_t axis, std::size_t inner) {
  Doubles all = spread(Rule::kStart);
  for (std::size_t n = 0; n < axis; ++n) Rule::add(all, wide(x + n * inner));
  return all;
}

template <class Rule>
void reduce_by(const float* x, std::size_t axis, std::size_t inner, double divisor, float* y) {
  if (inner == 1) return void(*y = static_cast<float>(reduced_row<Rule>(x, axis) / divisor));
  std::size_t n = 0;
  for (; n + kDoubleLanes <= inner; n += kDoubleLanes) {
    const HalfFloats lanes = __builtin_convertvector(reduced_lanes<Rule>(x + n, axis, inner) / divisor, HalfFloats);
    __builtin_memcpy(y + n, &lanes, sizeof lanes);
  }
  if (n == inner) return;
  Doubles all = spread(Rule::kStart);
  for (std::size_t at = 0; at < axis; ++at) {
    HalfFloats lanes{};
    __builtin_memcpy(&lanes, x + at * inner + n, sizeof(float) * (inner - n));
    Rule::add(all, __builtin_convertvector(lanes, Doubles));
  }
  const HalfFloats lanes = __builtin_convertvector(all / divisor, HalfFloats);
  __builtin_memcpy(y + n, &lanes, sizeof(float) * (inner - n));
}

}  // namespace

void reduce(Reduction reduction, const float* x, std::size_t axis, std::size_t inner, float* y) {
  switch (reduction) {
    case Reduction::sum: return reduce_by<Sum>(x, axis, inner, 1, y);
    case Reduction::mean: return reduce_by<Sum>(x, axis, inner, static_cast<double>(axis), y);
    case Reduction::maximum: return reduce_by<Maximum>(x, axis, inner, 1, y);
    case Reduction::minimum: return reduce_by<Minimum>(x, axis, inner, 1, y);
    case Reduction::sum_of_squares: return reduce_by<SumOfSquares>(x, axis, inner, 1, y);
#if defined(LOWBIT_RARE_FUNCTIONS)
    case Reduction::product: return reduce_by<Product>(x, axis, inner, 1, y);
    case Reduction::absolute_sum: return reduce_by<AbsoluteSum>(x, axis, inner, 1, y);
#else
    default: return portable::reduce(reduction, x, axis, inner, y);
#endif
  }
}

namespace {

// e^(x - shift) of float32 numbers with x <= shift (NaN stays NaN), relative error below 2e-7: as above, in float32. Below
// e^-80 it is zero, which keeps slow subnormal numbers out.
constexpr std::size_t kSoftLanes = kVectorBytes / 4;
typedef float SoftLanes __attribute__((vector_size(4 * kSoftLanes)));
typedef std::int32_t SoftBits __attribute__((vector_size(4 * kSoftLanes)));

LOWBIT_INLINE SoftLanes soft_exponential(SoftLanes x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  const SoftLanes least = SoftLanes{} - 80.0f, clamped = x < least ? least : x, shifted = clamped * 1.44269504f + kRound;
  const SoftLanes n = shifted - kRound, r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  SoftLanes p = SoftLanes{} + 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const SoftBits power = (reinterpret_cast<SoftBits>(shifted) << 23) + (127 << 23);
  return x < least ? SoftLanes{} : p * reinterpret_cast<SoftLanes>(power);
}

LOWBIT_INLINE SoftLanes larger(SoftLanes a, SoftLanes b) { return ((b > a) | (b != b)) ? b : a; }

// Calls apply(lanes, at) for the vectors of a row, its last one filled up; the result replaces those of `at` that there are.
template <class Apply>
LOWBIT_INLINE void each_soft(const float* x, float* y, std::size_t count, const Apply& apply) {
  std::size_t n = 0;
  for (; n + kSoftLanes <= count; n += kSoftLanes) write_as(y + n, apply(read_as<SoftLanes>(x + n)));
  if (n == count) return;
  SoftLanes lanes{};
  __builtin_memcpy(&lanes, x + n, sizeof(float) * (count - n));
  lanes = apply(lanes);
  __builtin_memcpy(y + n, &lanes, sizeof(float) * (count - n));
}

// The largest of a row; NaN before all else.
LOWBIT_INLINE float top_of(const float* x, std::size_t count) {
  SoftLanes top = SoftLanes{} - static_cast<float>(kInfinity);
  std::size_t n = 0;
  for (; n + kSoftLanes <= count; n += kSoftLanes) top = larger(top, read_as<SoftLanes>(x + n));
  if (n < count) {
    SoftLanes rest = top;
    __builtin_memcpy(&rest, x + n, sizeof(float) * (count - n));
    top = larger(top, rest);
  }
  float most = top[0];
  for (std::size_t lane = 1; lane < kSoftLanes; ++lane) Maximum::add(most, top[lane]);
  return most;
}

// The softmax of one row, whose sum is one of float64; or of up to a vector of them that lie side by side.
void soft_row(const float* x, float* y, std::size_t count) {
  const float top = top_of(x, count);
  each_soft(x, y, count, [&](SoftLanes lanes) { return soft_exponential(lanes - top); });
  const float scale = static_cast<float>(1 / reduced_row<Sum>(y, count));
  each_soft(y, y, count, [&](SoftLanes lanes) { return lanes * scale; });
}

LOWBIT_INLINE SoftLanes some(const float* x, std::size_t bytes) {
  SoftLanes lanes{};
  __builtin_memcpy(&lanes, x, bytes);
  return lanes;
}

void soft_rows(const float* x, float* y, std::size_t axis, std::size_t inner, std::size_t count) {
  const std::size_t bytes = sizeof(float) * count;
  SoftLanes top = some(x, bytes), sum = {};
  for (std::size_t n = 1; n < axis; ++n) {
    const SoftLanes lanes = some(x + n * inner, bytes);
    top = ((lanes > top) | (lanes != lanes)) ? lanes : top;
  }
  for (std::size_t n = 0; n < axis; ++n) {
    const SoftLanes lanes = soft_exponential(some(x + n * inner, bytes) - top);
    sum += lanes;
    __builtin_memcpy(y + n * inner, &lanes, bytes);
  }
  for (std::size_t n = 0; n < axis; ++n) {
    const SoftLanes lanes = some(y + n * inner, bytes) / sum;
    __builtin_memcpy(y + n * inner, &lanes, bytes);
  }
}

// The sum may be large and the differences small, so the logarithm is done in float64.
#if defined(LOWBIT_RARE_FUNCTIONS)
void log_soft_rows(const float* x, float* y, std::size_t axis, std::size_t inner, std::size_t count) {
  const auto lanes_of = [&](const float* at) {
    HalfFloats lanes{};
    __builtin_memcpy(&lanes, at, sizeof(float) * count);
    return __builtin_convertvector(lanes, Doubles);
  };
  Doubles top = spread(-kInfinity), sum = {};
  for (std::size_t n = 0; n < axis; ++n) Maximum::add(top, lanes_of(x + n * inner));
  for (std::size_t n = 0; n < axis; ++n) sum += exponential(lanes_of(x + n * inner) - top);
  const Doubles shift = top + logarithm(sum);
  for (std::size_t n = 0; n < axis; ++n) {
    const HalfFloats lanes = __builtin_convertvector(lanes_of(x + n * inner) - shift, HalfFloats);
    __builtin_memcpy(y + n * inner, &lanes, sizeof(float) * count);
  }
}

void log_soft_row(const float* x, float* y, std::size_t count) {
  const double top = reduced_row<Maximum>(x, count);
  Doubles sums[kRowVectors] = {};
  for (std::size_t n = 0; n < count; n += kRowLanes) {
    for (std::size_t v = 0; v < kRowVectors; ++v) {
      Doubles lanes = spread(-kInfinity);
      for (std::size_t lane = 0, at = n + v * kDoubleLanes; lane < kDoubleLanes && at < count; ++lane, ++at) lanes[lane] = x[at] - top;
      sums[v] += exponential(lanes);
    }
  }
  const double shift = top + logarithm(spread(joined<Sum>(sums)))[0];
  for (std::size_t n = 0; n < count; ++n) y[n] = static_cast<float>(x[n] - shift);
}
#endif

}  // namespace

void softmax(bool logarithm, const float* x, std::size_t axis, std::size_t inner, float* y) {
  const auto each = [&](std::size_t lanes, auto rows) {
    for (std::size_t n = 0; n < inner; n += lanes) rows(x + n, y + n, axis, inner, inner - n < lanes ? inner - n : lanes);
  };
  if (logarithm) {
#if defined(LOWBIT_RARE_FUNCTIONS)
    inner == 1 ? log_soft_row(x, y, axis) : each(kDoubleLanes, log_soft_rows);
#else
    portable::softmax(logarithm, x, axis, inner, y);
#endif
  } else {
    inner == 1 ? soft_row(x, y, axis) : each(kSoftLanes, soft_rows);
  }
}

}  // namespace lowbit::LOWBIT_NAMESPACE
