"""The bodies of our functions, in ONNX's own text form.

A body is a few steps that differ and a few calls of shared parts. ``input``, ``weights`` and ``output``
prefix what belongs to the encoding of each. Types by number: 1 float32, 2 uint8, 6 int32, 11 float64.
"""

from lowbit.formats.onnx import fixed_point, stored_weights, window_sums
from lowbit.ir.activations import ACTIVATIONS


def encoding(prefix: str, scheme: str) -> str:
    """Return steps that give ``p_integers`` by code, ``p_scale64`` and ``p_offset64``, all float64."""
    return learned_basis(prefix) if scheme == "lq" else _affine_table(prefix)


def learned_basis(p: str) -> str:
    """Return steps of `encoding` for a learned basis."""
    return f"""
  {p}_integers, {p}_scale64, {p}_offset64 = lowbit.LearnedBasis<top: int = @{p}_top>({p}_scales, {p}_offset)
"""


def sorted_levels(p: str) -> str:
    """Return steps that give ``p_sorted``, the levels in order, and ``p_code_of_rank``."""
    return f"""
  {p}_sorted, {p}_code_of_rank = lowbit.SortedLevels({p}_integers, {p}_scale64, {p}_offset64)
"""


def affine(p: str) -> str:
    """Return steps that give ``p_scale64`` and ``p_zero_point64``, float64."""
    return f"""
  {p}_scale64 = Cast<to = 11>({p}_scale)
  {p}_zero_point64 = Cast<to = 11>({p}_zero_point)
"""


def _affine_table(p: str) -> str:
    """``integers[code] = code - zero_point``; 256 entries whatever the bits."""
    return (
        affine(p)
        + f"""
  {p}_offset64 = Constant<value = double {{0.0}}>()
  {p}_first = Constant<value = double {{0.0}}>()
  {p}_end = Constant<value = double {{256.0}}>()
  {p}_one = Constant<value = double {{1.0}}>()
  {p}_codes = Range({p}_first, {p}_end, {p}_one)
  {p}_integers = Sub({p}_codes, {p}_zero_point64)
"""
    )


DECODE = """
  scaled = Mul(input_scale64, input_integers)
  levels = Add(scaled, input_offset64)
  table = Cast<to = 1>(levels)
  index = Cast<to = 6>(input)
  output = Gather(table, index)
"""

# A float32 x is above the largest float32 below a midpoint exactly when it is above the midpoint.
ENCODE_BY_MIDPOINTS = """
  exact = Cast<to = 11>(input)
  from_first = Constant<value_ints = [0]>()
  from_second = Constant<value_ints = [1]>()
  to_last_but_one = Constant<value_ints = [-1]>()
  to_last = Constant<value_ints = [256]>()
  upper = Slice(output_sorted, from_second, to_last)
  lower = Slice(output_sorted, from_first, to_last_but_one)
  twice = Add(upper, lower)
  two = Constant<value = double {2.0}>()
  midpoints = Div(twice, two)
  rank = lowbit.CountSteps(exact, midpoints)
"""

PICK_CODE = """
  code = Gather(output_code_of_rank, rank)
  output = Cast<to = 2>(code)
"""

ROUND_TO_CODE = """
  one = Constant<value = double {1.0}>()
  two = Constant<value = double {2.0}>()
  smallest = Constant<value = double {0.0}>()
  bits_integer = Constant<value_int: int = @output_bits>()
  bits = Cast<to = 11>(bits_integer)
  code_count = Pow(two, bits)
  largest = Sub(code_count, one)
  quotient = Div(real, output_scale64)
  rounded = Round(quotient)
  shifted = Add(rounded, output_zero_point64)
  saturated = Clip(shifted, smallest, largest)
  output = Cast<to = 2>(saturated)
"""


def rank_to_code(target: str) -> str:
    """Return steps from ``rank`` to the code of the output's scheme."""
    if target == "lq":
        return learned_basis("output") + sorted_levels("output") + PICK_CODE
    return "  output = Cast<to = 2>(rank)\n"


LQ_SUMS = """
  sums, scale, bias64 = lowbit.LQSums<weights_top: ints = @weights_top,
      weights_hidden_size: int = @weights_hidden_size, accumulator_type: int = @accumulator_type>
    (input, input_integers, input_scale64, input_offset64,
      weights_scales, weights_offset, weights_binary, bias)
"""

LQ_WINDOW_SUMS = """
  sums, scale, bias64 = lowbit.LQWindowSums<weights_top: ints = @weights_top,
      weights_hidden_size: int = @weights_hidden_size, weights_shape: ints = @weights_shape,
      strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group>
    (input, input_integers, input_scale64, input_offset64,
      weights_scales, weights_offset, weights_binary, bias)
"""

POW2_SUMS = """
  weights, weights_scale64 = lowbit.Pow2Weights<weights_bits: int = @weights_bits,
      weights_hidden_size: int = @weights_hidden_size>(weights_scale, weights_packed)
  sums, scale, bias64 = lowbit.IntegerSums<accumulator_type: int = @accumulator_type>
    (input, input_integers, input_scale64, input_offset64, weights, weights_scale64, bias)
"""

POW2_WINDOW_SUMS = """
  weights, weights_scale64 = lowbit.Pow2Weights<weights_bits: int = @weights_bits,
      weights_hidden_size: int = @weights_hidden_size>(weights_scale, weights_packed)
  sums, scale, bias64 = lowbit.IntegerWindowSums<weights_shape: ints = @weights_shape,
      strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group>
    (input, input_integers, input_scale64, input_offset64, weights, weights_scale64, bias)
"""

LQ_FLOAT_SUMS = """
  weights, scale = lowbit.LQWeights<weights_top: ints = @weights_top,
      weights_hidden_size: int = @weights_hidden_size>(weights_scales, weights_offset, weights_binary)
  factors = Cast<to = 1>(weights)
  transposed = Transpose<perm = [1, 0]>(factors)
  products = MatMul(input, transposed)
  sums = Cast<to = 11>(products)
  bias64 = Cast<to = 11>(bias)
"""

LQ_FLOAT_WINDOW_SUMS = """
  rows, weights_scale64 = lowbit.LQWeights<weights_top: ints = @weights_top,
      weights_hidden_size: int = @weights_hidden_size>(weights_scales, weights_offset, weights_binary)
  shape = Constant<value_ints: ints = @weights_shape>()
  windows = Reshape(rows, shape)
  kernel64 = Transpose<perm = [0, 3, 1, 2]>(windows)
  kernel = Cast<to = 1>(kernel64)
  products = Conv<strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations,
      group: int = @group>(input, kernel)
  sums = Cast<to = 11>(products)
  column = Constant<value_ints = [-1, 1, 1]>()
  scale = Reshape(weights_scale64, column)
  bias_double = Cast<to = 11>(bias)
  bias64 = Reshape(bias_double, column)
"""

# Codes in order of their levels; pooling takes the largest, and pads never win.
POOL_RANKS = """
  count = Shape(output_code_of_rank)
  codes64 = Cast<to = 11>(output_code_of_rank)
  in_order, rank_of_code = TopK<axis = 0, largest = 0, sorted = 1>(codes64, count)
  index = Cast<to = 6>(input)
  ranks = Gather(rank_of_code, index)
  ranks_float = Cast<to = 1>(ranks)
  pooled = MaxPool<kernel_shape: ints = @kernel_shape, strides: ints = @strides, pads: ints = @pads,
      dilations: ints = @dilations>(ranks_float)
  rank = Cast<to = 6>(pooled)
"""

# Scale and bias stand for outputs, [o] or [o, 1, 1] and [1, o, y, x]; steps get one axis more.
INTEGER_THRESHOLDS = """
  steps_axis = Constant<value_ints = [-1]>()
  thresholds_double = Cast<to = 11>(thresholds)
  bias_column = Unsqueeze(bias64, steps_axis)
  scale_column = Unsqueeze(scale, steps_axis)
  distance = Sub(thresholds_double, bias_column)
  quotient = Div(distance, scale_column)
  floor = Floor(quotient)
  smallest = Constant<value = double {-2147483648.0}>()
  largest = Constant<value = double {2147483647.0}>()
  steps = Clip(floor, smallest, largest)
  rank = lowbit.CountSteps(sums, steps)
"""

# float32(scale * sums + bias64), then the activation in float64, then float32 again.
_REAL = """
  scaled_sums = Mul(scale, sums)
  exact = Add(scaled_sums, bias64)
  real = Cast<to = 1>(exact)
"""
_CLIP = """
  least = Constant<value = double {{{}}}>()
  most = Constant<value = double {{{}}}>()
  value = Clip(argument, least, most)
"""


FUSED = ("none", "relu", "relu6", "hardtanh", "tanh", "sigmoid")
"""Activations that layers' functions apply, in float64; others stand behind the layer as an operator."""


def activated(activation: str) -> str:
    """Return steps from ``sums`` to floats with one of these activations applied."""
    row = ACTIVATIONS[activation]
    if activation == "none":
        return _REAL + "  output = Identity(real)\n"
    applied = _CLIP.format(*row.bounds) if row.bounds else f"  value = {row.operator}(argument)\n"
    return _REAL + "  argument = Cast<to = 11>(real)\n" + applied + "  output = Cast<to = 1>(value)\n"


AFFINE_SUMS = """
  input_double = Cast<to = 11>(input)
  input_centred = Sub(input_double, input_zero_point64)
  factors = Cast<to: int = @accumulator_type>(input_centred)
  axis_1 = Constant<value_ints = [1]>()
  weights_double = Cast<to = 11>(weights)
  weights_zero_column = Unsqueeze(weights_zero_point64, axis_1)
  weights_centred = Sub(weights_double, weights_zero_column)
  weights_typed = Cast<to: int = @accumulator_type>(weights_centred)
  weights_transposed = Transpose<perm = [1, 0]>(weights_typed)
  products = MatMul(factors, weights_transposed)
  sums_without_bias = Cast<to = 11>(products)
  bias_double = Cast<to = 11>(bias)
  sums = Add(sums_without_bias, bias_double)
  scale = Mul(input_scale64, weights_scale64)
  real = Mul(scale, sums)
"""

# ConvInteger pads with the input's zero point, which is true zero; runtimes take one for all weights.
_AFFINE_PRODUCTS = """
  start = Constant<value_ints = [0]>()
  stop = Constant<value_ints = [1]>()
  weights_point = Slice(weights_zero_point, start, stop)
  products = ConvInteger<strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations,
      group: int = @group>(input, kernel, input_zero_point, weights_point)
"""

# A zero point for each output is taken away afterwards, times what the window sums up to.
_AFFINE_PRODUCTS_BY_OUTPUT = """
  plain = ConvInteger<strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations,
      group: int = @group>(input, kernel, input_zero_point)
  kernel_shape_of_ones = Shape(kernel)
  ones = ConstantOfShape<value = uint8[1] {1}>(kernel_shape_of_ones)
  windows = ConvInteger<strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations,
      group: int = @group>(input, ones, input_zero_point)
  points = Cast<to = 6>(weights_zero_point)
  points_column = Reshape(points, column)
  shares = Mul(points_column, windows)
  products = Sub(plain, shares)
"""


def affine_window_sums(by_output: bool) -> str:
    """Return steps that give ``real``; `by_output` where weights have a zero point for each output."""
    return f"""
  kernel = Transpose<perm = [0, 3, 1, 2]>(weights)
  column = Constant<value_ints = [-1, 1, 1]>()
{_AFFINE_PRODUCTS_BY_OUTPUT if by_output else _AFFINE_PRODUCTS}
  sums_without_bias = Cast<to = 11>(products)
  bias_double = Cast<to = 11>(bias)
  bias_column = Reshape(bias_double, column)
  sums = Add(sums_without_bias, bias_column)
  weights_scale_column = Reshape(weights_scale64, column)
  scale = Mul(input_scale64, weights_scale_column)
  real = Mul(scale, sums)
"""


# m_i = round(top * (a_i / a_last));  integers[code] = sum_i m_i s_i(code);  scale = a_last / top
_LEARNED_BASIS = """
LearnedBasis <top> (scales, offset) => (integers, scale64, offset64) {
  basis = Cast<to = 11>(scales)
  index_of_last = Constant<value_int = -1>()
  last = Gather(basis, index_of_last)
  top_integer = Constant<value_int: int = @top>()
  top64 = Cast<to = 11>(top_integer)
  ratio = Div(basis, last)
  scaled_ratio = Mul(top64, ratio)
  multipliers = Round(scaled_ratio)
  scale64 = Div(last, top64)
  offset64 = Cast<to = 11>(offset)
  zero = Constant<value_int = 0>()
  one = Constant<value_int = 1>()
  two = Constant<value_int = 2>()
  bit_count = Size(scales)
  code_count = Pow(two, bit_count)
  bit_numbers = Range(zero, bit_count, one)
  bit_values = Pow(two, bit_numbers)
  codes = Range(zero, code_count, one)
  code_column = Unsqueeze(codes, one)
  shifted = Div(code_column, bit_values)
  bits = Mod(shifted, two)
  doubled = Add(bits, bits)
  signs_integer = Sub(doubled, one)
  signs = Cast<to = 11>(signs_integer)
  integers = MatMul(signs, multipliers)
}
"""

# level = scale * integer + offset; of equal levels the lower code comes first, as in a stable sort.
_SORTED_LEVELS = """
SortedLevels (integers, scale64, offset64) => (sorted, code_of_rank) {
  scaled = Mul(scale64, integers)
  levels = Add(scaled, offset64)
  count = Shape(levels)
  sorted, code_of_rank = TopK<axis = 0, largest = 0, sorted = 1>(levels, count)
}
"""

# rank = #{c : value > step_c}
_COUNT_STEPS = """
CountSteps (values, steps) => (rank) {
  last_axis = Constant<value_ints = [-1]>()
  columns = Unsqueeze(values, last_axis)
  above = Greater(columns, steps)
  above_integer = Cast<to = 6>(above)
  rank = ReduceSum<keepdims = 0>(above_integer, last_axis)
}
"""

_LQ_SUMS = """
LQSums <weights_top, weights_hidden_size, accumulator_type>
  (input, input_integers, input_scale64, input_offset64, weights_scales, weights_offset, weights_binary, bias)
  => (sums, scale, bias64) {
  weights, weights_scale64 = lowbit.LQWeights<weights_top: ints = @weights_top,
      weights_hidden_size: int = @weights_hidden_size>(weights_scales, weights_offset, weights_binary)
  sums, scale, bias64 = lowbit.IntegerSums<accumulator_type: int = @accumulator_type>
    (input, input_integers, input_scale64, input_offset64, weights, weights_scale64, bias)
}
"""

# Sums, scale and bias64 as in lowbit.ir.deployed, in the same order.
_SUMS = """
IntegerSums <accumulator_type>
  (input, input_integers, input_scale64, input_offset64, weights, weights_scale64, bias)
  => (sums, scale, bias64) {
  axis_1 = Constant<value_ints = [1]>()
  row_sums = ReduceSum<keepdims = 0>(weights, axis_1)
  scaled_row_sums = Mul(weights_scale64, row_sums)
  offset_share = Mul(input_offset64, scaled_row_sums)
  bias_double = Cast<to = 11>(bias)
  bias64 = Add(bias_double, offset_share)
  scale = Mul(input_scale64, weights_scale64)
  table = Cast<to: int = @accumulator_type>(input_integers)
  index = Cast<to = 6>(input)
  factors = Gather(table, index)
  weights_typed = Cast<to: int = @accumulator_type>(weights)
  weights_transposed = Transpose<perm = [1, 0]>(weights_typed)
  products = MatMul(factors, weights_transposed)
  sums = Cast<to = 11>(products)
}
"""

PARTS = {
    "LearnedBasis": _LEARNED_BASIS,
    "SortedLevels": _SORTED_LEVELS,
    "CountSteps": _COUNT_STEPS,
    **stored_weights.PARTS,
    "IntegerSums": _SUMS,
    "LQSums": _LQ_SUMS,
    **window_sums.PARTS,
    **fixed_point.PARTS,
}
