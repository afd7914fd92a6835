"""How the codes of a graph stand in a file: as floats between layers, as int8, or as codes.

Codes of a learned basis between layers that have a name of their own (`in_file`) stand as the floats that
they are levels of, their encoding on the layers that read them, as files always had it. Affine codes of 8
bits are int8 tensors of the format. Everything else is *explicit*: a tensor of uint8 or uint16 codes between
operators of our own, which state what they mean. A layer with an explicit value is one of these operators
itself; so what is explicit spreads until it ends at floats or int8.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lowbit.formats.circle.schema import LAYER_OPERATORS
from lowbit.ir import Graph, Node, Trait, carried, has
from lowbit.ir.layers import is_low_bit
from lowbit.ir.operators.layer_names import from_file, in_file
from lowbit.schemes import Affine, Encoding


@dataclass(frozen=True)
class CodedValues:
    """What stands in a file in lowbit's own way.

    Attributes:
        explicit: values that stand as codes.
        layers: outputs of layers that are written with all their encodings.
    """

    explicit: frozenset[str]
    layers: frozenset[str]


def coded_values(graph: Graph, stated: frozenset[str] = frozenset()) -> CodedValues:
    """Return what of a graph stands in a file in lowbit's own way.

    Args:
        graph: what is written.
        stated: outputs of `Encode` that must be explicit: left to the layers that read them, they would be
            read back as codes that the layers before them make.
    """
    spread = _Spread(graph, stated)
    while spread.grows():
        pass
    layers = (node for node in graph.nodes if is_low_bit(node) and not spread.has_name(node))
    return CodedValues(frozenset(spread.explicit), frozenset(node.outputs[0] for node in layers))


def as_int8(encoding: Encoding | None) -> Affine | None:
    """Return the encoding of codes that the format has a type for, affine ones of 8 bits, or None."""
    return encoding.as_affine() if encoding is not None and encoding.bits == 8 else None


def _is_learned(encoding: Encoding | None) -> bool:
    """Return whether levels are those of planes, which files of before state on the layers that read them."""
    return encoding is not None and encoding.storage == "planes"


def makers(graph: Graph, name: str) -> Iterator[Node | None]:
    """Yield what makes codes, seen through everything that only moves them."""
    producer = graph.producer(name)
    if producer is None or not has(producer, Trait.CARRIES):
        yield producer
        return
    for source in carried(producer):
        yield from makers(graph, source)


class _Spread:
    """Values that are explicit so far; what only moves codes has them all alike."""

    def __init__(self, graph: Graph, stated: frozenset[str]) -> None:
        self.graph = graph
        self.explicit = set(stated)
        self._coded = [
            name
            for name, value in graph.values.items()
            if value.encoding is not None
            and value.data is None
            and (as_int8(value.encoding) is None or self._has_own_thresholds(name))
        ]

    def grows(self) -> bool:
        """Make explicit what must be by what is known, and return whether there was something."""
        before = len(self.explicit)
        self.explicit.update(name for name in self._coded if not self._stands_as_floats(name))
        for node in self.graph.nodes:
            around = {*carried(node), *node.outputs} if has(node, Trait.CARRIES) else set()
            if around & self.explicit:
                self.explicit.update(name for name in around if self.graph.value(name).data is None)
        return len(self.explicit) > before

    def _has_own_thresholds(self, name: str) -> bool:
        """Return whether codes are made by other thresholds than QUANTIZE has, those of the encoding."""
        maker, encoding = self.graph.producer(name), self.graph.value(name).encoding
        if maker is None or maker.op != "Encode" or encoding is None or not any(maker.inputs[1:]):
            return False
        return not np.array_equal(self.graph.constant(maker.inputs[1]), encoding.thresholds()[0])

    def has_name(self, node: Node) -> bool:
        """Return whether a layer is written under a name of before."""
        ends = (node.inputs[0], node.outputs[0])
        name = in_file(self.graph, node).op
        if name not in LAYER_OPERATORS:
            return name != from_file(name) and not self.explicit.intersection(ends)
        encodings = [self.graph.value(end).encoding for end in ends]
        learned = all(encoding is None or _is_learned(encoding) for encoding in encodings)
        return learned and not self.explicit.intersection(ends)

    def _stands_as_floats(self, name: str) -> bool:
        encoding, producer = self.graph.value(name).encoding, self.graph.producer(name)
        inside = producer is not None and name not in self.graph.outputs and name not in self.explicit
        if not inside or not _is_learned(encoding):
            return False
        readers = self.graph.consumers(name)
        layers = [reader for reader in readers if self._reads(reader, name)]
        encoded = producer is not None and producer.op == "Encode"
        moved = [reader for reader in readers if has(reader, Trait.CARRIES)]
        if len(layers) + len(moved) < len(readers) or (encoded and moved):
            return False
        return encoded or self._made_alike(name)

    def _reads(self, node: Node, name: str) -> bool:
        return is_low_bit(node) and node.inputs[0] == name and self.has_name(node)

    def _made_alike(self, name: str) -> bool:
        """Return whether layers alone make codes, by equal thresholds."""
        found = list(makers(self.graph, name))
        if not all(node is not None and is_low_bit(node) and len(node.inputs) == 4 for node in found):
            return False
        named = all(self.has_name(node) for node in found if node is not None)
        steps = [self.graph.constant(node.inputs[3]) for node in found if node is not None]
        return named and all(np.array_equal(step, steps[0]) for step in steps)
