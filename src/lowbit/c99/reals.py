"""Steps on reals at a network's ends in C: bounds, copies, and functions of an exponential of ours."""

from collections.abc import Mapping

import numpy as np

from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit, number
from lowbit.program.steps import Activate, Clip, Softmax

_FLOAT = np.finfo(np.float32).max

_EXPONENTIAL = """
/* e^x of x <= 0: 2^k e^r with |r| below 0.35, whose series ends where float64 does. */
static double exponential(double x)
{
  int32_t k, n;
  double r, sum = 1.0;
  if (!(x > -104.0)) return 0.0;
  k = (int32_t)(x * 1.4426950408889634 - 0.5);
  r = x - (double)k * 0.6931471805599453;
  for (n = 14; n > 0; --n) sum = 1.0 + sum * r / (double)n;
  for (; k < 0; ++k) sum *= 0.5;
  return sum;
}
"""

_SOFTMAX = """
static void softmax(const real_t *x, real_t *y, int32_t outer, int32_t axis, int32_t inner)
{
  int32_t i, j, n;
  for (i = 0; i < outer; ++i, x += axis * inner, y += axis * inner)
    for (j = 0; j < inner; ++j) {
      float most = x[j];
      double sum = 0.0;
      for (n = 1; n < axis; ++n)
        if (x[n * inner + j] > most) most = x[n * inner + j];
      for (n = 0; n < axis; ++n) sum += exponential((double)x[n * inner + j] - (double)most);
      for (n = 0; n < axis; ++n)
        y[n * inner + j] = (real_t)(exponential((double)x[n * inner + j] - (double)most) / sum);
    }
}
"""

_EACH = """
static void {name}_reals(const real_t *x, real_t *y, int32_t count)
{{
  do {{
    const float value = *x++;
    *y++ = {body};
  }} while (--count > 0);
}}
"""

_OF_EXPONENTIAL = {
    "sigmoid": """
static float sigmoid_of(float x)
{
  const double e = exponential(x > 0 ? -(double)x : (double)x);
  return (float)((x > 0 ? 1.0 : e) / (1.0 + e));
}
""",
    "tanh": """
static float tanh_of(float x)
{
  const double e = exponential(x > 0 ? -2.0 * (double)x : 2.0 * (double)x);
  const double y = (1.0 - e) / (1.0 + e);
  return (float)(x > 0 ? y : -y);
}
""",
}

FUNCTIONS: Mapping[str, str] = {
    "identity": "value",
    "sigmoid": "sigmoid_of(value)",
    "tanh": "tanh_of(value)",
    "absolute": "value < 0 ? -value : value",
    "negative": "-value",
    "relu": "value < 0 ? 0.0f : value",
}
"""By the name of an `Activate`: C of `value`."""

ROUNDED = frozenset(_OF_EXPONENTIAL)
"""Those whose last bit may be another one than the engine's."""


def activate(unit: Unit, step: Activate, x: list[Stored], number_: int) -> Stored:
    """Add a function of reals."""
    if step.function in _OF_EXPONENTIAL:
        unit.function("exponential", _EXPONENTIAL)
        unit.function(f"{step.function}_of", _OF_EXPONENTIAL[step.function])
    name = step.function
    unit.function(f"{name}_reals", _EACH.format(name=name, body=FUNCTIONS[name]))
    y = x[0].made(number_, x[0].count, x[0].lengths)
    return unit.put(f"{name}_reals({x[0].name}, {y.name}, {y.count});", y, x, in_place=True)


def clip(unit: Unit, step: Clip, x: list[Stored], number_: int) -> Stored:
    """Add the bounds of reals; NaN stays NaN."""
    y = x[0].made(number_, x[0].count, x[0].lengths)
    unit.function(
        "clip",
        """
static void clip(const real_t *x, real_t *y, int32_t count, float low, float high)
{
  do {
    const float value = *x++;
    *y++ = value < low ? low : value > high ? high : value;
  } while (--count > 0);
}
""",
    )
    low, high = (float(np.clip(each, -_FLOAT, _FLOAT)) for each in (step.low, step.high))
    return unit.put(
        f"clip({x[0].name}, {y.name}, {y.count}, {number(low)}f, {number(high)}f);", y, x, in_place=True
    )


def softmax(unit: Unit, step: Softmax, x: list[Stored], number_: int) -> Stored:
    """Add the softmax along an axis."""
    unit.function("exponential", _EXPONENTIAL)
    unit.function("softmax", _SOFTMAX)
    y = x[0].made(number_, x[0].count, x[0].lengths)
    return unit.put(f"softmax({x[0].name}, {y.name}, {step.outer}, {step.axis}, {step.inner});", y, x)
