"""What was learned goes back into the graph, as codes and encodings."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from lowbit.ir import Graph
from lowbit.ir.layers import is_low_bit
from lowbit.plan import Plan
from lowbit.quantization.node import low_bit_node
from lowbit.reconstruction.piece import Inputs, Piece
from lowbit.schemes import Encoding
from lowbit.schemes.coded import CodedWeights
from lowbit.schemes.pair import input_encoding


@torch.no_grad()
def write_back(graph: Graph, piece: Piece, plans: Mapping[str, Plan]) -> None:
    """Give the layers of a low-bit network what a piece of it has learned, in place."""
    readers = {name: node for node in graph.nodes for name in node.inputs[:1] if node.name in plans}
    for codes, module in piece.inputs.items():
        if module.learned:
            _encode(graph, codes, module, plans[readers[codes].name])
    for constant, weights in piece.weights.items():
        if not weights.learned:
            continue
        coded = weights.quantizer.coded(weights.latent)
        bias = weights.bias.detach().double().numpy()
        packed = tuple(int(extent) for extent in graph.value(constant).shape)
        coded = replace(coded, codes=_in_order(coded, packed))
        _replace(graph, constant, coded, bias, packed, plans)


def _in_order(coded: CodedWeights, packed: tuple[int, ...]) -> np.ndarray:
    """Return codes `[o, n]` in the order of packed ones, from that of torch."""
    apart = coded.codes.reshape(packed[0], packed[-1], *packed[1:-1])
    return np.ascontiguousarray(np.moveaxis(apart, 1, -1)).reshape(packed[0], -1)


def _encode(graph: Graph, codes: str, module: Inputs, plan: Plan) -> None:
    encoding: Encoding = module.quantizer.encoding()
    if module.quantizer.factor != 1:
        scaled = encoding.scaled(np.array([module.quantizer.factor]))
        assert scaled is not None
        encoding = scaled
    encoding = input_encoding(encoding, plan.weight_form, plan.input_form)
    graph.update(codes, encoding=encoding)
    encoder = graph.producer(codes)
    assert encoder is not None
    if len(encoder.inputs) > 1:
        thresholds = plan.input_form.fit.thresholds(encoding)
        graph.update(encoder.inputs[1], data=np.asarray(thresholds, np.float32))


def _replace(
    graph: Graph,
    constant: str,
    coded: CodedWeights,
    bias: np.ndarray,
    packed: tuple[int, ...],
    plans: Mapping[str, Plan],
) -> None:
    """Put learned weights and bias in the place of those that layers had."""
    places = [at for at, node in enumerate(graph.nodes) if is_low_bit(node) and node.inputs[1] == constant]
    first = graph.nodes[places[0]]
    for name in first.inputs[1:]:
        del graph.values[name]
    ends = first.inputs[0], first.outputs[0]
    made = low_bit_node(graph, first.name, ends, coded, bias, packed, first.attributes)
    for at in places:
        graph.nodes[at] = replace(graph.nodes[at], inputs=(graph.nodes[at].inputs[0], *made.inputs[1:]))
