"""Give sums and means between coded layers a fixed-point type: no floats where only codes are needed.

    layer, layer -> Add -> Relu -> Encode, Add …
    layer, layer -> FixedAdd relu -> Decode -> Encode, FixedAdd …        layers end in codes of Qm.n

All values of a region (`lowbit.ir.passes.sum_regions`) have one format of 16 bits. A low-bit layer that feeds
it rounds its sums to it once; other reals are encoded. Sums are rounded and saturated as
`lowbit.ir.operators.fixed_point` says, an activation that clips among what they saturate to; means are
rounded once; maxima, joins and what moves elements take codes as they are. What reads a value outside of the
region gets its real, exactly: a number of 16 bits is a float32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import frexp

import numpy as np

from lowbit.ir.activations import preimage_thresholds
from lowbit.ir.graph import Graph, Node, Value
from lowbit.ir.layers import activation_of
from lowbit.ir.operators.registry import code_dtype
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.readers import is_encoder
from lowbit.ir.passes.sum_regions import Region, clip_of, ends_in_codes, operands, result_of
from lowbit.schemes import FixedPoint
from lowbit.schemes.fixed_point import MOST_BITS

HEADROOM = 2.0
"""How many times as large as the largest value of calibration a region's format holds at least."""

LEAST_STEPS = 4
"""Of a region's format in the finest step that a coded layer behind it tells apart."""


@dataclass(frozen=True)
class RegionFormat:
    """A region of sums and means, and what becomes of it.

    Attributes:
        region: what it holds.
        form: the format of its values; None where they stay real.
        why: why they stay real; "" where they do not.
    """

    region: Region
    form: FixedPoint | None = None
    why: str = ""


def region_format(region: Region, largest: Mapping[str, float]) -> RegionFormat:
    """Return the format that a region gets, or why it stays real.

    Args:
        region: of `sum_regions`.
        largest: the largest magnitude that was seen, by name of the region's `ranged` values.
    """
    if region.why:
        return RegionFormat(region, why=region.why)
    most = max(largest[name] for name in region.ranged)
    mantissa, exponent = frexp(HEADROOM * most)
    integer_bits = max(1, 1 + exponent - (mantissa == 0.5))  # the least m with HEADROOM * most <= 2^(m-1)
    if integer_bits > MOST_BITS:
        return RegionFormat(region, why=f"values up to {most:.4g} leave {MOST_BITS} bits no room")
    form = FixedPoint(integer_bits, MOST_BITS - integer_bits)
    step = 2.0**-form.fraction_bits
    if region.finest < LEAST_STEPS * step:
        why = f"a layer behind it tells {region.finest:.2g} apart, less than {LEAST_STEPS} steps of {form}"
        return RegionFormat(region, why=why)
    return RegionFormat(region, form)


def fixed_sums(found: Sequence[RegionFormat]) -> Pass:
    """Return the pass that gives regions their formats; those without one stay as they are."""
    chosen = [each for each in found if each.form is not None]
    return Pass("fixed-sums", partial(_apply, chosen), ensures=partial(_is_done, chosen))


def _is_done(chosen: Sequence[RegionFormat], graph: Graph) -> bool:
    names = {name for each in chosen for name in each.region.sums}
    sums = [node for node in graph.nodes if node.name in names]
    return all(graph.value(node.outputs[0]).encoding is not None for node in sums)


def _apply(chosen: Sequence[RegionFormat], graph: Graph) -> bool:
    for each in chosen:
        assert each.form is not None
        _Rewrite(graph, each.region, each.form).apply()
    _encode_before_functions(graph)
    return bool(chosen)


class _Rewrite:
    """A region that becomes codes."""

    def __init__(self, graph: Graph, region: Region, form: FixedPoint) -> None:
        self.graph, self.form = graph, form
        self.nodes = [node for node in graph.nodes if node.name in region.nodes]
        self.made = {result_of(graph, node): node for node in self.nodes}
        self.codes = {name: self._coded(name) for name in region.values}

    def apply(self) -> None:
        """Rewrite entries, then nodes."""
        inside = {node.name for node in self.nodes}
        exits = {
            name: name in self.graph.outputs
            or any(reader.name not in inside for reader in self.graph.consumers(name))
            for name in self.codes
        }
        for name in self.codes:
            if name not in self.made:
                self._enter(name, exits[name])
        for name, node in self.made.items():
            self._replace(node, name, exits[name])

    def _coded(self, name: str) -> str:
        value, codes = self.graph.value(name), self.graph.fresh_name(f"{name}/codes")
        return self.graph.add(Value(codes, code_dtype(self.form), value.shape, None, self.form))

    def _enter(self, name: str, is_read: bool) -> None:
        """Encode a value from outside; what else reads one of a low-bit layer gets it from the codes."""
        graph, source = self.graph, name
        maker = graph.producer(name)
        position = 0 if maker is None else graph.nodes.index(maker) + 1
        if maker is not None and ends_in_codes(graph, name) is not None and is_read:
            source = graph.add(replace(graph.value(name), name=graph.fresh_name(f"{name}/sums")))
            graph.nodes[position - 1] = replace(maker, outputs=(source,))
            graph.nodes.insert(position, self._decode(name))
        label = graph.fresh_name(f"{name}/encode")
        graph.nodes.insert(position, Node("Encode", (source,), (self.codes[name],), {}, label, "lowbit"))

    def _replace(self, node: Node, name: str, is_read: bool) -> None:
        """Let a node work on codes; what reads them outside gets reals."""
        graph, clip = self.graph, clip_of(self.graph, node)
        own = operands(node)
        inputs = (*(self.codes[source] for source in own), *node.inputs[len(own) :])
        coded = replace(node, inputs=inputs, outputs=(self.codes[name],))
        if node.op == "Add":
            activation = "none" if clip is None else activation_of(graph, clip)
            coded = replace(coded, op="FixedAdd", domain="lowbit", attributes={"activation": str(activation)})
        position = graph.nodes.index(node)
        graph.nodes[position : position + 1] = [coded, *([self._decode(name)] if is_read else [])]
        if clip is not None:
            graph.nodes.remove(clip)

    def _decode(self, name: str) -> Node:
        label = self.graph.fresh_name(f"{name}/decode")
        return Node("Decode", (self.codes[name],), (name,), {}, label, "lowbit")


def _encode_before_functions(graph: Graph) -> None:
    """Let encoders behind an activation of decoded reals read those reals: f is inside their thresholds."""
    for index, encoder in enumerate(graph.nodes):
        function = graph.producer(encoder.inputs[0]) if is_encoder(encoder) else None
        name = activation_of(graph, function) if function is not None else None
        if function is None or name is None or not _is_decoded(graph, function.inputs[0]):
            continue
        encoding = graph.value(encoder.outputs[0]).encoding
        assert encoding is not None
        given = graph.constant(encoder.inputs[1]) if any(encoder.inputs[1:]) else None
        thresholds = encoding.thresholds()[0] if given is None else given
        before = preimage_thresholds(thresholds, name)
        inputs = (function.inputs[0], *encoder.inputs[1:])
        if not np.array_equal(before, thresholds):
            if given is None:  # rounding alone is the whole of it
                continue
            stem = graph.fresh_name(f"{encoder.outputs[0]}/thresholds")
            inputs = (inputs[0], graph.add_constant(stem, before))
        graph.nodes[index] = replace(encoder, inputs=inputs)


def _is_decoded(graph: Graph, name: str) -> bool:
    maker = graph.producer(name)
    return maker is not None and (maker.domain, maker.op) == ("lowbit", "Decode")
