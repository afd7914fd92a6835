"""Graph to QONNX: Quant and BipolarQuant between float operators; codes have no tensors of their own."""

from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import UnsupportedError
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
from lowbit.ir import Graph, Node
from lowbit.ir.coded_constants import is_decoder
from lowbit.ir.layers import scheme_of
from lowbit.ir.passes.readers import is_encoder
from lowbit.schemes import Encoding
from lowbit.schemes.binary.encoding import THRESHOLD

if TYPE_CHECKING:
    from onnx import NodeProto

DOMAIN, VERSION = "qonnx.custom_op.general", 1

_MOST = 127


class QonnxWriter(FormWriter):
    """An encoder is a Quant whose reals have the name of the first decoder behind it."""

    name = "QONNX"

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.reals: dict[str, str] = {}
        for node in self.graph.nodes:
            if is_decoder(node):
                self.reals.setdefault(node.inputs[0], node.outputs[0])

    def opsets(self) -> dict[str, int]:
        """Return the versions of the operators, QONNX's among them."""
        return super().opsets() | {DOMAIN: VERSION}

    def computed(self) -> list[str]:
        """Return the values of the file: codes are none."""
        return [name for name in super().computed() if self.graph.value(name).encoding is None]

    def _made(self, node: Node) -> "list[NodeProto]":
        if is_encoder(node):
            return self._encode(node)
        if not is_decoder(node):
            return [self._node(node)]
        if self.graph.value(node.inputs[0]).data is not None:
            return [self._weights(node)]
        first = self.reals[node.inputs[0]]
        return [] if first == node.outputs[0] else [self.part("Identity", [first], node.outputs[0])]

    def _encode(self, node: Node) -> "list[NodeProto]":
        source, codes = node.inputs[0], node.outputs[0]
        encoding, output = encoding_of(self.graph, codes), self.reals.get(codes)
        if output is None:
            return []
        if codes in self.repeated:
            return [self.part("Identity", [source], output)]
        if _is_sign(encoding):
            if not np.array_equal(thresholds_of(self.graph, node), THRESHOLD):
                raise no_form(self.graph, node, "a sign that is not + from zero on")
            return [self._bipolar(source, codes, np.float32(encoding.levels()[0, 1]), output)]
        grid = grid_of(self.graph, node, encoding)
        made: list[NodeProto] = []
        low, high = 0, grid.high
        if scheme_of(encoding) == "fixed":
            if not np.array_equal(thresholds_of(self.graph, node), encoding.thresholds()[0]):
                raise no_form(self.graph, node, "codes by thresholds that no rounding has")
            made, source = half_up(self, source, codes, encoding)
        else:
            low, high = range_of(self.graph, node, grid)
            made, source = exactly(self, node, grid)
        if (low, high) != (0, grid.high):
            ends = grid.reals(np.array([low, high]))
            bounds = [
                self.number(codes, end, bound) for end, bound in zip(("low", "high"), ends, strict=True)
            ]
            made.append(self.part("Clip", [source, *bounds], source := self.fresh(f"{codes}/clip")))
        return [*made, self._quant(source, codes, grid, output, ())]

    def _weights(self, node: Node) -> "NodeProto":
        """Return what makes weights of the floats that they are already."""
        value, output = self.graph.value(node.inputs[0]), node.outputs[0]
        encoding = encoding_of(self.graph, value.name)
        assert value.data is not None
        if encoding.group:
            raise no_form(self.graph, node, "groups of weights")
        reals = self.number(value.name, "reals", encoding.decode(value.data))
        shape = (encoding.channels, *[1] * (value.data.ndim - 1)) if encoding.channels > 1 else ()
        if _is_sign(encoding):
            return self._bipolar(reals, value.name, encoding.levels()[:, 1].reshape(shape), output)
        return self._quant(reals, value.name, self._weight_grid(node, encoding), output, shape)

    def _weight_grid(self, node: Node, encoding: Encoding) -> Grid:
        """Return the grid of weights: their own, or one of the whole levels that layers multiply."""
        try:
            return grid_of(self.graph, node, encoding)
        except UnsupportedError:
            most = int(np.abs(encoding.whole_levels()).max()) if encoding.snapped else _MOST + 1
            if most > _MOST:
                raise
        high = (1 << max(most.bit_length(), 1)) - 1
        zero = np.full(encoding.channels, high + 1, np.int64)
        return Grid(0, 2 * high + 1, encoding.integer_scale().astype(np.float32), zero)

    def _bipolar(self, source: str, owner: str, scale: object, output: str) -> "NodeProto":
        name = self.number(owner, "scale", np.asarray(scale, np.float32))
        return self.part("BipolarQuant", [source, name], output, DOMAIN)

    def _quant(self, source: str, owner: str, grid: Grid, output: str, shape: tuple[int, ...]) -> "NodeProto":
        """Return a Quant: signed, without a zero point, where zero is the middle of the codes."""
        bits, middle = grid.high.bit_length(), (grid.high + 1) // 2
        signed = bool((grid.zero == middle).all()) and bits > 1
        zero = (grid.zero - (middle if signed else 0)).astype(np.float32)
        parameters = [
            self.number(owner, "scale", grid.scale.reshape(shape)),
            self.number(owner, "zero", zero.reshape(shape) if zero.any() else np.float32(0)),
            self.number(owner, "bits", np.float32(bits)),
        ]
        flags = {"signed": int(signed), "narrow": 0, "rounding_mode": "ROUND"}
        return self.part("Quant", [source, *parameters], output, DOMAIN, **flags)


def _is_sign(encoding: Encoding) -> bool:
    """Return whether levels are -a and +a."""
    levels = encoding.levels()
    return encoding.bits == 1 and bool((levels[:, 0] == -levels[:, 1]).all() and (levels[:, 1] > 0).all())
