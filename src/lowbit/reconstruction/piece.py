"""A part of a low-bit network as a module of torch: what was calibrated is where learning begins.

Layers multiply levels, as while training (`lowbit.nn`), and floats between them are what they are in the
graph. What is learned of a layer: codes, through latent weights; what its encoding learns by its scheme's own
rules; its bias; and the encoding of its input, where that has few bits.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from lowbit.ir import Graph, Node
from lowbit.ir.deployed import codes_of
from lowbit.ir.infer import call_of
from lowbit.ir.layers import is_low_bit
from lowbit.ir.operators import Call
from lowbit.ir.passes import expand
from lowbit.nn.low_bit import BOUND_BESIDE_BYTES
from lowbit.plan import Plan
from lowbit.plan.plan import PLENTY
from lowbit.reconstruction.blocks import Block
from lowbit.reconstruction.functions import convolution, function_of, has_function
from lowbit.schemes import Encoding
from lowbit.schemes.encoding import SMALLEST, table_decode
from lowbit.schemes.pair import FEW_BITS
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer

Array = npt.NDArray[np.float64]

NEARER = 0.5
"""How far latent weights begin from their level towards the float weight, as far as their code allows."""


def latents(coded: Encoding, codes: npt.NDArray[np.unsignedinteger], weights: Array) -> Array:
    """Return weights `[o, n]` that have these codes, on the way to the float ones."""
    levels, ranked = coded.levels(), coded.code_of_rank().astype(np.intp)
    ranks = np.empty_like(ranked)
    np.put_along_axis(ranks, ranked, np.broadcast_to(np.arange(ranked.shape[1]), ranked.shape), axis=1)
    steps = coded.thresholds().astype(np.float64)
    infinite = np.full((len(steps), 1), np.inf)
    below, above = np.hstack([-infinite, steps]), np.hstack([steps, infinite])
    rank, level = table_decode(codes, ranks), table_decode(codes, levels)
    low, high = (table_decode(rank, ends) for ends in (below, above))
    inside = np.clip(weights, low, high)
    return level + NEARER * (inside - level)


def fineness(encoding: Encoding) -> float:
    """Return half the mean distance of neighbouring levels, relative to their mean magnitude: 1 of signs."""
    levels = encoding.levels().astype(np.float64)
    half = np.ptp(levels, axis=1).mean() / (2 * (levels.shape[1] - 1))
    return float(half / max(np.abs(levels).mean(), SMALLEST))


class Weights(nn.Module):
    """The weights of a layer, and its bias.

    Attributes:
        learned: whether the layer learns, or stays as it was calibrated.
        latent: `[o, ...]` in the order of torch.
        bias: `[o]`.
        quantizer: of the weights.
        fineness: of their levels.
    """

    def __init__(
        self, quantizer: WeightQuantizer, latent: Tensor, bias: Tensor, fineness: float, learned: bool
    ) -> None:
        super().__init__()
        self.quantizer, self.fineness, self.learned = quantizer, fineness, learned
        self.latent, self.bias = nn.Parameter(latent), nn.Parameter(bias)

    def forward(self) -> Tensor:
        """Return levels with their gradients."""
        found: Tensor = self.quantizer(self.latent)
        return found


class Inputs(nn.Module):
    """What encodes the input of layers.

    Attributes:
        quantizer: of it.
        fineness: of its levels.
        dropped: the share of values that stay as they are, by chance, while learning.
    """

    def __init__(self, quantizer: InputQuantizer, fineness: float, learned: bool) -> None:
        super().__init__()
        self.quantizer, self.fineness, self.learned, self.dropped = quantizer, fineness, learned, 0.0
        self.chance: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return levels with their gradients; some values are dropped from quantization."""
        factor = self.quantizer.factor
        levels: Tensor = self.quantizer(x) if factor == 1 else factor * self.quantizer(x / factor)
        if not self.dropped:
            return levels
        left = torch.rand(x.shape, generator=self.chance) < self.dropped
        return torch.where(left, x, levels)


@dataclass
class Piece:
    """A part of a network that runs in torch.

    Attributes:
        block: which part.
        weights: by the name of the constant of the codes.
        inputs: by the name of the codes.
    """

    block: Block
    calls: list[Call]
    constants: dict[str, Tensor]
    weights: dict[str, Weights] = field(default_factory=dict)
    inputs: dict[str, Inputs] = field(default_factory=dict)

    def __call__(self, values: Mapping[str, Tensor], more: Sequence[str] = ()) -> list[Tensor]:
        """Return the outputs of the block, and others of its values by name."""
        known: dict[str, Tensor] = {**self.constants, **values}
        for call in self.calls:
            known[call.node.outputs[0]] = self._computed(call, known)
        return [known[name] for name in (*self.block.outputs, *more)]

    def _computed(self, call: Call, known: Mapping[str, Tensor]) -> Tensor:
        node = call.node
        if node.outputs[0] in self.inputs:
            levels: Tensor = self.inputs[node.outputs[0]](known[node.inputs[0]])
            return levels
        if is_low_bit(node):
            layer = self.weights[node.inputs[1]]
            x, weight = known[node.inputs[0]], layer()
            if weight.ndim == 2:
                return functional.linear(x, weight, layer.bias)
            return convolution(call, x, weight, layer.bias)
        tensors = [known[name] if name else None for name in node.inputs]
        found: Tensor = function_of(node)(call, *tensors)
        return found

    def learned(self) -> Iterator[Weights | Inputs]:
        """Yield what is learned."""
        modules: tuple[Weights | Inputs, ...] = (*self.weights.values(), *self.inputs.values())
        yield from (each for each in modules if each.learned)

    def drop(self, share: float, chance: torch.Generator) -> None:
        """Let a share of the values that are encoded stay as they are, by chance."""
        for each in self.inputs.values():
            each.dropped, each.chance = share if each.learned else 0.0, chance


def nodes_of(graph: Graph, block: Block) -> list[Node]:
    """Return the nodes of a network, float or low-bit, that compute a block's outputs from its inputs."""
    wanted, found = set(block.outputs), list[Node]()
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            found.append(node)
            wanted.update(name for name in node.inputs if name and name not in block.inputs)
    return found[::-1]


def runnable(graph: Graph) -> Graph:
    """Return a network in operators that have functions here, as far as there is a way."""
    return expand(graph.copy(), lambda graph, node: bool(node.domain) or has_function(graph, node))


def missing(graph: Graph) -> list[str]:
    """Return the operators of a float network that have no function here, in order."""
    alone = runnable(graph)
    return list(dict.fromkeys(node.op for node in alone.nodes if not has_function(alone, node)))


def float_piece(graph: Graph, block: Block) -> Piece:
    """Return a block of the float network."""
    nodes = nodes_of(graph, block)
    return Piece(block, [call_of(graph, node) for node in nodes], _constants(graph, nodes))


def low_bit_piece(low: Graph, network: Graph, block: Block, plans: Mapping[str, Plan]) -> Piece:
    """Return a block of the low-bit network, ready to be learned on.

    Args:
        low: the network as far as it is quantized, runnable.
        network: the float one.
        block: which part.
        plans: of quantized layers by name.
    """
    nodes = nodes_of(low, block)
    piece = Piece(block, [call_of(low, node) for node in nodes], _constants(low, nodes))
    floats = {node.name: node for node in network.nodes}
    for node in nodes:
        if not is_low_bit(node) or node.name not in plans:
            continue
        plan, (codes, constant) = plans[node.name], node.inputs[:2]
        if constant not in piece.weights:
            original = network.constant(floats[node.name].inputs[1])
            piece.weights[constant] = _weights(low, node, plan, original)
        if codes not in piece.inputs and low.value(codes).encoding is not None:
            piece.inputs[codes] = _inputs(low, codes, plan)
    return piece


def _weights(low: Graph, node: Node, plan: Plan, original: npt.NDArray[np.generic]) -> Weights:
    value = low.value(node.inputs[1])
    assert value.encoding is not None
    form, packed = plan.weight_form, value.shape
    shape = torch.Size((packed[0], packed[-1], *packed[1:-1]))  # type: ignore[arg-type]
    quantizer = form.row.train.weights(form, packed[0], **form.row.train.CALIBRATED_WEIGHTS)
    quantizer.shaped(shape)
    if FEW_BITS < plan.input_form.bits <= PLENTY:
        quantizer.bound = BOUND_BESIDE_BYTES
    quantizer.begin_at(value.encoding)
    rows = np.moveaxis(original.astype(np.float64), 1, -1).reshape(len(original), -1)
    found = latents(value.encoding, codes_of(value), rows).reshape(packed)  # type: ignore[arg-type]
    latent = torch.from_numpy(np.ascontiguousarray(np.moveaxis(found, -1, 1), np.float32))
    bias = torch.from_numpy(real_bias(low, node).astype(np.float32))
    return Weights(quantizer, latent, bias, fineness(value.encoding), plan.learns)


def _inputs(low: Graph, codes: str, plan: Plan) -> Inputs:
    form, encoding = plan.input_form, low.value(codes).encoding
    assert encoding is not None
    quantizer = form.row.train.inputs(form, **form.row.train.CALIBRATED_INPUTS)
    quantizer.begin_at(encoding)
    return Inputs(quantizer, fineness(encoding), plan.learns and form.bits < PLENTY)


def real_bias(low: Graph, node: Node) -> Array:
    """Return the bias of a low-bit layer in reals."""
    stored = low.constant(node.inputs[2])
    if stored.dtype.kind == "f":
        return stored.astype(np.float64)
    source, weights = (low.value(name).encoding for name in node.inputs[:2])
    assert source is not None and weights is not None
    return np.asarray(stored * source.integer_scale()[0] * weights.integer_scale(), np.float64)


def _constants(graph: Graph, nodes: Sequence[Node]) -> dict[str, Tensor]:
    """Return the constants that functions read; those of low-bit layers are their own."""
    names = {name for node in nodes if not node.domain for name in node.inputs if name}
    found = {name: graph.value(name).data for name in names}
    return {name: torch.from_numpy(np.array(data)) for name, data in found.items() if data is not None}
