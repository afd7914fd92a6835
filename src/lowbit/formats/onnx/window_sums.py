"""Functions of standard operators that sum over windows: the convolutions among the layers of `bodies`."""

_LQ_WINDOW_SUMS = """
LQWindowSums <weights_top, weights_hidden_size, weights_shape, strides, pads, dilations, group>
  (input, input_integers, input_scale64, input_offset64, weights_scales, weights_offset, weights_binary, bias)
  => (sums, scale, bias64) {
  weights, weights_scale64 = lowbit.LQWeights<weights_top: ints = @weights_top,
      weights_hidden_size: int = @weights_hidden_size>(weights_scales, weights_offset, weights_binary)
  sums, scale, bias64 = lowbit.IntegerWindowSums<weights_shape: ints = @weights_shape,
      strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group>
    (input, input_integers, input_scale64, input_offset64, weights, weights_scale64, bias)
}
"""

# As in lowbit.ir.deployed_convolution. A picture of ones gives the sums of weights over valid taps; whole
# numbers below 2^24 are exact in float32, the only type that runtimes convolve.
_WINDOW_SUMS = """
IntegerWindowSums <weights_shape, strides, pads, dilations, group>
  (input, input_integers, input_scale64, input_offset64, rows, weights_scale64, bias)
  => (sums, scale, bias64) {
  shape = Constant<value_ints: ints = @weights_shape>()
  windows = Reshape(rows, shape)
  kernel64 = Transpose<perm = [0, 3, 1, 2]>(windows)
  kernel = Cast<to = 1>(kernel64)
  table = Cast<to = 1>(input_integers)
  index = Cast<to = 6>(input)
  factors = Gather(table, index)
  products = Conv<strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations,
      group: int = @group>(factors, kernel)
  sums = Cast<to = 11>(products)
  one = Constant<value_ints = [1]>()
  picture = Shape<start = 1>(input)
  picture_shape = Concat<axis = 0>(one, picture)
  ones = ConstantOfShape<value = float[1] {1.0}>(picture_shape)
  valid = Conv<strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations,
      group: int = @group>(ones, kernel)
  valid64 = Cast<to = 11>(valid)
  column = Constant<value_ints = [-1, 1, 1]>()
  weights_scale_column = Reshape(weights_scale64, column)
  scaled_valid = Mul(weights_scale_column, valid64)
  offset_share = Mul(input_offset64, scaled_valid)
  bias_double = Cast<to = 11>(bias)
  bias_column = Reshape(bias_double, column)
  bias64 = Add(bias_column, offset_share)
  scale = Mul(input_scale64, weights_scale_column)
}
"""

PARTS = {"IntegerWindowSums": _WINDOW_SUMS, "LQWindowSums": _LQ_WINDOW_SUMS}
"""Functions that others call, by name."""
