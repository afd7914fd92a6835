"""How weights that lie in a file become whole numbers: functions of standard operators, one row per output.

Planes hold one bit of every code, 32 to a word; halves hold two codes to a byte. Types by number: 6 int32,
7 int64, 11 float64.
"""

_MASKS = ", ".join(str(1 << bit) for bit in range(31)) + f", {-(1 << 31)}"


def _bits(planes: str) -> str:
    """Return steps that give ``is_clear``, for every word of ``planes`` which of its 32 bits are zero."""
    return f"""\
  axis_0 = Constant<value_ints = [0]>()
  axis_1 = Constant<value_ints = [1]>()
  axis_2 = Constant<value_ints = [2]>()
  axis_3 = Constant<value_ints = [3]>()
  masks = Constant<value = int32[32] {{{_MASKS}}}>()
  words = Unsqueeze({planes}, axis_3)
  masked = BitwiseAnd(words, masks)
  no_bit = Constant<value = int32 {{0}}>()
  is_clear = Equal(masked, no_bit)
"""


def _halves(packed: str, name: str, number: int) -> str:
    """Return steps that give ``codes`` of ``packed`` in an integer type; even ones lie in the low halves."""
    return f"""\
  axis_0 = Constant<value_ints = [0]>()
  axis_1 = Constant<value_ints = [1]>()
  last_axis = Constant<value_ints = [-1]>()
  sixteen = Constant<value = {name} {{16}}>()
  bytes = Cast<to = {number}>({packed})
  low = Mod(bytes, sixteen)
  high = Div(bytes, sixteen)
  low_column = Unsqueeze(low, last_axis)
  high_column = Unsqueeze(high, last_axis)
  pairs = Concat<axis = -1>(low_column, high_column)
  row_shape = Constant<value_ints = [0, -1]>()
  codes_padded = Reshape(pairs, row_shape)
  hidden_size_integer = Constant<value_int: int = @weights_hidden_size>()
  hidden_size = Reshape(hidden_size_integer, axis_1)
  codes = Slice(codes_padded, axis_0, hidden_size, axis_1)
"""


# W = sum_j m_j s_j + P, as whole numbers in float64, one row per output.
_WEIGHTS = """
LQWeights <weights_top, weights_hidden_size>
  (weights_scales, weights_offset, weights_binary) => (weights, weights_scale64) {
  BITS
  minus = Constant<value = double {-1.0}>()
  plus = Constant<value = double {1.0}>()
  signs_of_words = Where(is_clear, minus, plus)
  row_shape = Constant<value_ints = [0, 0, -1]>()
  signs_padded = Reshape(signs_of_words, row_shape)
  hidden_size_integer = Constant<value_int: int = @weights_hidden_size>()
  hidden_size = Reshape(hidden_size_integer, axis_1)
  signs = Slice(signs_padded, axis_0, hidden_size, axis_2)
  basis = Cast<to = 11>(weights_scales)
  index_of_last = Constant<value_ints = [-1]>()
  last = Gather<axis = 1>(basis, index_of_last)
  top_integer = Constant<value_ints: ints = @weights_top>()
  top64 = Cast<to = 11>(top_integer)
  top_column = Unsqueeze(top64, axis_1)
  ratio = Div(basis, last)
  scaled_ratio = Mul(top_column, ratio)
  multipliers = Round(scaled_ratio)
  scale_column = Div(last, top_column)
  weights_scale64 = Squeeze(scale_column, axis_1)
  multiplier_rows = Unsqueeze(multipliers, axis_1)
  weighted_signs = MatMul(multiplier_rows, signs)
  without_offset = Squeeze(weighted_signs, axis_1)
  offset64 = Cast<to = 11>(weights_offset)
  offset_real = Div(offset64, weights_scale64)
  offset_integer = Round(offset_real)
  offset_column = Unsqueeze(offset_integer, axis_1)
  weights = Add(without_offset, offset_column)
}
""".replace("  BITS\n", _bits("weights_binary"))

# code = sum_j 2^j bit_j, int64, one row per output.
_PLANE_CODES = """
PlaneCodes <weights_hidden_size> (planes) => (codes) {
  BITS
  is_set = Not(is_clear)
  bits_of_words = Cast<to = 7>(is_set)
  row_shape = Constant<value_ints = [0, 0, -1]>()
  bits_padded = Reshape(bits_of_words, row_shape)
  hidden_size_integer = Constant<value_int: int = @weights_hidden_size>()
  hidden_size = Reshape(hidden_size_integer, axis_1)
  bits = Slice(bits_padded, axis_0, hidden_size, axis_2)
  plane_count = Shape<start = 1, end = 2>(planes)
  last = Squeeze(plane_count)
  first = Constant<value_int = 0>()
  one = Constant<value_int = 1>()
  two = Constant<value_int = 2>()
  planes_in_order = Range(first, last, one)
  factors = Pow(two, planes_in_order)
  factor_column = Unsqueeze(factors, axis_1)
  weighted = Mul(bits, factor_column)
  codes = ReduceSum<keepdims = 0>(weighted, axis_1)
}
""".replace("  BITS\n", _bits("planes"))

# Two codes to a byte, the even ones in the low halves, int64, one row per output.
_HALF_CODES = """
HalfCodes <weights_hidden_size> (packed) => (codes) {
  CODES
}
""".replace("  CODES\n", _halves("packed", "int64", 7))

# Two codes to a byte, the even ones in the low halves; W = 0 or +-2^(k - 1), k the code without its sign.
_POW2_WEIGHTS = """
Pow2Weights <weights_bits, weights_hidden_size>
  (weights_scale, weights_packed) => (weights, weights_scale64) {
  CODES
  none = Constant<value = double {0.0}>()
  one = Constant<value = double {1.0}>()
  two = Constant<value = double {2.0}>()
  bits_integer = Constant<value_int: int = @weights_bits>()
  bits = Cast<to = 11>(bits_integer)
  bits_of_power = Sub(bits, one)
  half = Pow(two, bits_of_power)
  powers = Range(none, half, one)
  exponents = Sub(powers, one)
  halves_and_powers = Pow(two, exponents)
  positive = Floor(halves_and_powers)
  negative = Neg(positive)
  table = Concat<axis = 0>(positive, negative)
  weights = Gather(table, codes)
  scale_exponent = Sub(two, half)
  factor = Pow(two, scale_exponent)
  largest = Cast<to = 11>(weights_scale)
  weights_scale64 = Mul(largest, factor)
}
""".replace("  CODES\n", _halves("weights_packed", "int32", 6))

PARTS = {
    "LQWeights": _WEIGHTS,
    "Pow2Weights": _POW2_WEIGHTS,
    "PlaneCodes": _PLANE_CODES,
    "HalfCodes": _HALF_CODES,
}
"""Functions that others call, by name."""
