"""Graph to QDQ: QuantizeLinear and DequantizeLinear around float operators."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lowbit.formats.onnx.quantized.forms import (
    FormWriter,
    encoding_of,
    exactly,
    grid_of,
    half_up,
    no_form,
    range_of,
    thresholds_of,
)
from lowbit.formats.onnx.quantized.grid import Grid
from lowbit.formats.onnx.writer import make_node
from lowbit.ir import Node, Trait, Value, has
from lowbit.ir.coded_constants import is_decoder
from lowbit.ir.layers import scheme_of
from lowbit.ir.passes.readers import is_encoder

if TYPE_CHECKING:
    from onnx import NodeProto

_WIDE_OPSET = 21  # the first that quantizes to 16 bits, to 4, and in blocks


class QdqWriter(FormWriter):
    """Codes are uint8, or uint16 above 8 bits; weights int8 or int16; biases of whole units int32."""

    name = "QDQ"

    def opsets(self) -> dict[str, int]:
        """Return the versions of the operators: 21 where there are 16 bits or groups, else others'."""
        wide = any(
            value.dtype == "code16" or (value.encoding is not None and value.encoding.group)
            for value in self.graph.values.values()
        )
        return super().opsets() | ({"": _WIDE_OPSET} if wide else {})

    def add_constant(self, value: Value) -> None:
        """Add a constant, unless it is a bias of whole units: its integers are dequantized."""
        if value.name not in self.units:
            super().add_constant(value)

    def _made(self, node: Node) -> "list[NodeProto]":
        made = [each for name in node.inputs for each in self._bias(name)]
        if is_encoder(node):
            return made + self._encode(node)
        if is_decoder(node):
            return [*made, self._decode(node)]
        return made + (self._apart(node) if self._has_real_bias(node) else [self._node(node)])

    def _has_real_bias(self, node: Node) -> bool:
        """Return whether a layer of decoded weights has a bias that is no whole number of units."""
        if node.domain or not has(node, Trait.LAYER) or len(node.inputs) < 3:
            return False
        return is_decoder(self.graph.producer(node.inputs[1])) and node.inputs[2] not in self.units

    def _apart(self, node: Node) -> "list[NodeProto]":
        """Return a layer with its bias behind it: runtimes would round one inside to units of the sums.

        Its opposite is subtracted, which they do not move into the layer again.
        """
        bias = np.asarray(self.graph.constant(node.inputs[2]), np.float32)
        if not bias.any():
            return [self._node(replace(node, inputs=node.inputs[:2]))]
        rank = len(self.graph.value(node.outputs[0]).shape)
        shape = (1, -1, *[1] * (rank - 2)) if has(node, Trait.WINDOW) else (-1,)
        row = self.number(node.inputs[2], "row", -bias.reshape(shape))
        sums = self.fresh(f"{node.outputs[0]}/sums")
        layer = make_node(node, node.op, node.inputs[:2], node.attributes, "", sums)
        return [layer, self.part("Sub", [sums, row], node.outputs[0])]

    def _bias(self, name: str) -> "list[NodeProto]":
        """Return what dequantizes a bias of whole units, where nothing does yet."""
        units = self.units.get(name)
        if units is None or name in self.taken:
            return []
        self.taken.add(name)
        numbers = self.number(name, "integers", units.integers.astype(np.int32))
        scale = self.number(name, "scale", units.scale)
        return [self.part("DequantizeLinear", [numbers, scale], name, axis=0)]

    def _encode(self, node: Node) -> "list[NodeProto]":
        source, codes = node.inputs[0], node.outputs[0]
        encoding = encoding_of(self.graph, codes)
        grid = grid_of(self.graph, node, encoding)
        made: list[NodeProto] = []
        low, high = 0, grid.high
        fixed = scheme_of(encoding) == "fixed"
        if fixed:
            if not np.array_equal(thresholds_of(self.graph, node), encoding.thresholds()[0]):
                raise no_form(self.graph, node, "codes by thresholds that no rounding has")
            made, source = half_up(self, source, codes, encoding)
        else:
            low, high = range_of(self.graph, node, grid)
            made, source = exactly(self, node, grid)
        dtype = np.uint8 if encoding.bits <= 8 else np.uint16
        parameters = self._parameters(codes, grid.scale[0], grid.zero[0].astype(dtype))
        if fixed or (low, high) == (0, int(np.iinfo(dtype).max)):
            return [*made, self.part("QuantizeLinear", [source, *parameters], codes)]
        whole = self.fresh(f"{codes}/whole")
        bounds = [self.number(codes, end, dtype(bound)) for end, bound in (("low", low), ("high", high))]
        return [
            *made,
            self.part("QuantizeLinear", [source, *parameters], whole),
            self.part("Clip", [whole, *bounds], codes),
        ]

    def _decode(self, node: Node) -> "NodeProto":
        value = self.graph.value(node.inputs[0])
        encoding = encoding_of(self.graph, value.name)
        grid = grid_of(self.graph, node, encoding)
        if value.data is None:
            dtype = np.uint8 if encoding.bits <= 8 else np.uint16
            parameters = self._parameters(value.name, grid.scale[0], grid.zero[0].astype(dtype))
            return self.part("DequantizeLinear", [value.name, *parameters], node.outputs[0])
        if encoding.group:
            return self._decode_groups(node, value, grid)
        # Weights are signed: kernels of runtimes multiply unsigned by signed bytes.
        middle, signed = 1 << (encoding.bits - 1), np.int8 if encoding.bits <= 8 else np.int16
        numbers = self.number(value.name, "integers", (value.data.astype(np.int64) - middle).astype(signed))
        zero = (grid.zero - middle).astype(signed)
        several = grid.channels > 1
        parameters = self._parameters(
            value.name, *((grid.scale, zero) if several else (grid.scale[0], zero[0]))
        )
        axis = 0 if several else 1  # what files have where nobody asks
        return self.part("DequantizeLinear", [numbers, *parameters], node.outputs[0], axis=axis)

    def _decode_groups(self, node: Node, value: Value, grid: Grid) -> "NodeProto":
        """Return what dequantizes rows in blocks, two codes to a byte where they fit."""
        assert value.data is not None and value.encoding is not None
        rows = len(value.data)
        zero = grid.zero.reshape(rows, -1)
        add = self.halves if value.encoding.bits <= 4 else self.number
        inputs = [
            add(value.name, "integers", value.data.astype(np.uint8)),
            self.number(value.name, "scale", grid.scale.reshape(rows, -1)),
            add(value.name, "zero", zero.astype(np.uint8)),
        ]
        return self.part("DequantizeLinear", inputs, node.outputs[0], axis=1, block_size=value.encoding.group)

    def _parameters(self, owner: str, scale: object, zero: object) -> list[str]:
        return [self.number(owner, "scale", scale), self.number(owner, "zero", zero)]
