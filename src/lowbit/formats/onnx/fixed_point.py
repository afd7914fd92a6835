"""Functions for fixed point: the bodies that repeat `lowbit.ir.operators.fixed_point` in float64.

Integers below 2^53 are exact in float64, and so are products with powers of two, so a division, a floor and a
clip are the shift, the rounding and the saturation. A format is the attribute ``x_format``: bits before and
behind the point, and 1 for rounding half up or 0 for truncation.
"""

from lowbit.errors import UnsupportedError
from lowbit.ir.graph import Value
from lowbit.schemes import Encoding

EXACT_BITS = 53
"""Of an integer in float64."""

UINT8, UINT16 = 2, 4  # TensorProto.DataType, for the attribute code_type

FORMAT = """
FixedFormat <format> (input) => (exact, least, most, unit, half) {
  exact = Cast<to = 11>(input)
  fields_integer = Constant<value_ints: ints = @format>()
  fields = Cast<to = 11>(fields_integer)
  first = Constant<value = int64 {0}>()
  second = Constant<value = int64 {1}>()
  third = Constant<value = int64 {2}>()
  before = Gather(fields, first)
  behind = Gather(fields, second)
  nearest = Gather(fields, third)
  one = Constant<value = double {1.0}>()
  two = Constant<value = double {2.0}>()
  unit = Pow(two, behind)
  bits = Add(before, behind)
  bits_below_sign = Sub(bits, one)
  top = Pow(two, bits_below_sign)
  least = Neg(top)
  most = Sub(top, one)
  half = Div(nearest, two)
}
"""

ROUND = """
FixedRound <format, code_type> (units) => (output) {
  exact, least, most, unit, half = lowbit.FixedFormat<format: ints = @format>(units)
  raised = Add(exact, half)
  floor = Floor(raised)
  unordered = IsNaN(exact)
  ordered = Where(unordered, least, floor)
  saturated = Clip(ordered, least, most)
  code = Sub(saturated, least)
  output = Cast<to: int = @code_type>(code)
}
"""

ENCODE = """
  exact, least, most, unit, half = lowbit.FixedFormat<format: ints = @output_format>(input)
  units = Mul(exact, unit)
  output = lowbit.FixedRound<format: ints = @output_format, code_type: int = @code_type>(units)
"""

DECODE = """
  exact, least, most, unit, half = lowbit.FixedFormat<format: ints = @input_format>(input)
  integers = Add(exact, least)
  level = Div(integers, unit)
  output = Cast<to = 1>(level)
"""

_SUMS = """
  x, x_least, x_most, x_unit, x_half = lowbit.FixedFormat<format: ints = @input_format>(input)
  w, w_least, w_most, w_unit, w_half = lowbit.FixedFormat<format: ints = @weights_format>(weights)
  b, b_least, b_most, b_unit, b_half = lowbit.FixedFormat<format: ints = @weights_format>(bias)
  x_integers = Add(x, x_least)
  w_integers = Add(w, w_least)
  b_integers = Add(b, b_least)
  columns = Transpose<perm = [1, 0]>(w_integers)
  products = MatMul(x_integers, columns)
  lifted = Mul(b_integers, x_unit)
  sums = Add(products, lifted)
  units_of_sums = Mul(x_unit, w_unit)
  real = Div(sums, units_of_sums)
"""

_ADD = """
  x, x_least, x_most, x_unit, x_half = lowbit.FixedFormat<format: ints = @input_format>(input)
  y, y_least, y_most, y_unit, y_half = lowbit.FixedFormat<format: ints = @input_format>(other)
  x_integers = Add(x, x_least)
  y_integers = Add(y, y_least)
  sums = Add(x_integers, y_integers)
  real = Div(sums, x_unit)
"""

_TO_CODES = """
  as_is, y_least_, y_most_, y_unit_, y_half_ = lowbit.FixedFormat<format: ints = @output_format>(real)
  units = Mul(as_is, y_unit_)
  output = lowbit.FixedRound<format: ints = @output_format, code_type: int = @code_type>(units)
"""

# Between the ends that an activation leaves, in units of the output.
_TO_CLIPPED_CODES = """
  as_is, y_least_, y_most_, y_unit_, y_half_ = lowbit.FixedFormat<format: ints = @output_format>(real)
  units = Mul(as_is, y_unit_)
  raised = Add(units, y_half_)
  floor = Floor(raised)
  ends_integer = Constant<value_ints: ints = @output_ends>()
  ends = Cast<to = 11>(ends_integer)
  first = Constant<value = int64 {0}>()
  second = Constant<value = int64 {1}>()
  low = Gather(ends, first)
  high = Gather(ends, second)
  clipped = Clip(floor, low, high)
  code = Sub(clipped, y_least_)
  output = Cast<to: int = @code_type>(code)
"""

LINEAR_TO_CODES = _SUMS + _TO_CODES
LINEAR_TO_FLOATS = _SUMS + "  output = Cast<to = 1>(real)\n"
ADD = _ADD + _TO_CODES
ADD_CLIPPED = _ADD + _TO_CLIPPED_CODES
LOOKUP = "  index = Cast<to = 6>(input)\n  output = Gather(table, index)\n"

PARTS = {"FixedFormat": FORMAT, "FixedRound": ROUND}


def code_type(encoding: Encoding) -> int:
    """Return the type of codes in a file."""
    return UINT8 if encoding.bits <= 8 else UINT16


def require_exact(source: Value, weights: Value, where: str) -> None:
    """Check that float64 holds every sum.

    Raises:
        UnsupportedError: it does not.
    """
    assert source.encoding is not None and weights.encoding is not None
    width = source.encoding.bits + weights.encoding.bits + int(weights.shape[1]).bit_length()
    if width > EXACT_BITS:
        raise UnsupportedError(
            "ONNX cannot carry sums so wide", where=where, expected=f"{EXACT_BITS} bits", found=f"{width}"
        )
