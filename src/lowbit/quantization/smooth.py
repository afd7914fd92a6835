"""Smooth channels: let the weights of a layer take over what makes channels of its input unlike each other.

Where the channels of a layer's input differ in size, as behind a normalization of tokens, one encoding for
all of them spends its levels on the largest. With a factor s_c per channel

    x_c <- x_c / s_c        W_c <- s_c W_c        s_c = max|x_c|^a / max|W_c|^(1 - a)

a layer computes the same, and its weights, which have a scale per output, hold the difference better. Of some
a, and no factor at all, that is taken by which the layer is nearest to its float output when both are coded,
over calibration samples. A factor is a multiplication of reals before the encoder, so it has to be worth one.

Where the values come from a layer by functions and sums that follow it, codes pass from layer to layer and no
real is there; nothing is put in between (`lowbit.quantization.equalize` does what can be done).

Source: Xiao et al., SmoothQuant (ICML 2023), equation 4, where the factor goes into the normalization; here a
sum reads that as well. The search is that of Lin et al., AWQ (MLSys 2024).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.budget import budget
from lowbit.calibrate import Histogram, Run
from lowbit.ir import Graph, Node, Trait, Value, has
from lowbit.ir.layers import is_product
from lowbit.quantization.activations import encode_activation
from lowbit.quantization.plan import Plan
from lowbit.quantization.shared import teams
from lowbit.quantization.stream import Stream
from lowbit.quantization.weights import nearest

Array = npt.NDArray[np.float64]

EXPONENTS = (0.25, 0.5, 0.65, 0.8, 1.0)
"""What is tried of a."""

WORTH = 0.8
"""A factor is taken where the error falls to this share of what it is without."""

RESTORED = 0.3
"""What restoring leaves of the error of the weights that are nearest."""

SAMPLES, ROWS = 128, 2048
"""Of calibration, and of what a layer reads in them."""


def smooth(
    graph: Graph,
    samples: Mapping[str, npt.NDArray[np.generic]],
    run: Run,
    plans: Mapping[str, Plan],
    seed: int,
) -> Graph:
    """Return a float network that computes the same, to rounding, with smoother inputs of layers.

    Args:
        graph: whose layers are as quantization starts from them.
        samples: that calibrate.
        run: what runs a network.
        plans: of the layers that are quantized.
        seed: chooses the rows that are looked at.
    """
    found = sources(graph, plans)
    if not found:
        return graph
    few = {name: array[:SAMPLES] for name, array in samples.items()}
    stream, result = Stream(graph, few, run, budget() // 4), graph.copy()
    for name, readers in found.items():
        rows = _rows(stream.values(name), seed)
        if np.isfinite(rows).all():  # what is not, the layer that reads it says
            weights = [_matrix(graph, reader) for reader in readers]
            factor = _best(rows, weights, quickly(plans[readers[0].name]))
            if factor is not None:
                _insert(result, name, readers, factor)
    return result


def quickly(plan: Plan) -> Plan:
    """Return the plan with uniform weights of as many bits, whose fit is no search."""
    return replace(plan, weights=f"affine:{min(max(plan.weight_bits, 2), 8)}")


def sources(graph: Graph, plans: Mapping[str, Plan]) -> dict[str, list[Node]]:
    """Return layers that may be smoothed by the value that they read; those of one value have one plan.

    Args:
        graph: whose layers are as quantization starts from them.
        plans: of the layers that are quantized.
    """
    alone = {team[0].name for team in teams(graph).values() if len(team) == 1}
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        plan = plans.get(node.name)
        if plan is not None and node.name in alone and not plan.is_weight_only and _is_pointwise(graph, node):
            found.setdefault(node.inputs[0], []).append(node)
    alike = {name: nodes for name, nodes in found.items() if len({str(plans[n.name]) for n in nodes}) == 1}
    return {name: nodes for name, nodes in alike.items() if _is_real(graph, name)}


def _is_pointwise(graph: Graph, layer: Node) -> bool:
    """Return whether a layer sums over all channels of one place."""
    shape = graph.value(layer.inputs[1]).shape
    return is_product(layer) or (layer.attributes.get("group", 1) == 1 and set(shape[2:]) == {1})


def _is_real(graph: Graph, name: str) -> bool:
    """Return whether a value comes from what is neither layer, sum, maximum nor function behind one."""
    node = graph.producer(name)
    while node is not None and (has(node, Trait.MOVES) or _is_function(graph, node)):
        if has(node, Trait.ELEMENTWISE) and not has(node, Trait.MONOTONE):
            return True
        node = graph.producer(node.inputs[0])
    if node is None or has(node, Trait.LAYER):
        return node is not None and is_product(node) and graph.value(node.inputs[1]).data is None
    sums = has(node, Trait.BROADCASTS) and node.op == "Add"
    computed = [each for each in node.inputs if each and graph.value(each).data is None]
    return not (has(node, Trait.POOL) or has(node, Trait.CARRIES) or (sums and len(computed) > 1))


def _is_function(graph: Graph, node: Node) -> bool:
    rest = (graph.value(name).data for name in node.inputs[1:] if name)
    return has(node, Trait.ELEMENTWISE) and all(data is not None for data in rest)


def _rows(parts: Iterator[npt.NDArray[np.generic]], seed: int) -> Array:
    """Return some rows of a value ``[n, c, ...]``, each the channels of one place, ``[m, c]``."""
    rows = np.concatenate([np.moveaxis(part, 1, -1).reshape(-1, part.shape[1]) for part in parts])
    chosen = np.random.default_rng(seed).permutation(len(rows))[:ROWS]
    return rows[np.sort(chosen)].astype(np.float64)


def _matrix(graph: Graph, layer: Node) -> Array:
    weights = graph.constant(layer.inputs[1])
    return weights.reshape(len(weights), -1).astype(np.float64)


def _best(rows: Array, weights: Sequence[Array], plan: Plan) -> Array | None:
    """Return the factor of every channel by which the error is least, or None where none is worth it."""
    exact = [rows @ each.T for each in weights]
    largest = np.abs(rows).max(axis=0)
    heaviest = np.max([np.abs(each).max(axis=0) for each in weights], axis=0)
    alive = (largest > 0) & (heaviest > 0)
    if not alive.any():
        return None
    least, best = WORTH * _error(rows, weights, exact, plan), None
    for exponent in EXPONENTS:
        factor = np.ones(len(largest), np.float64)
        factor[alive] = largest[alive] ** exponent / heaviest[alive] ** (1 - exponent)
        factor[alive] /= np.exp(np.log(factor[alive]).mean())
        error = _error(rows / factor, [each * factor for each in weights], exact, plan)
        if error < least:
            least, best = error, factor
    return best


def _error(rows: Array, weights: Sequence[Array], exact: Sequence[Array], plan: Plan) -> float:
    """Return how far coded weights and inputs are from the float output, relative to its power."""
    histogram = Histogram()
    histogram.update(rows)
    encoding = encode_activation(histogram, plan)
    coded = encoding.decode(encoding.encode(rows.reshape(1, -1))).reshape(rows.shape).astype(np.float64)
    left, total = RESTORED if plan.restores else 1.0, 0.0
    for each, right in zip(weights, exact, strict=True):
        of_inputs, of_weights = (coded - rows) @ each.T, coded @ (nearest(each, plan).values() - each).T
        total += float((of_inputs**2).sum() + left * (of_weights**2).sum()) / max((right**2).sum(), 1e-300)
    return total


def _insert(graph: Graph, name: str, readers: Sequence[Node], factor: Array) -> None:
    """Divide a value by the factor before some readers, and multiply their weights by it."""
    value, places = graph.value(name), {node.name: at for at, node in enumerate(graph.nodes)}
    constant = graph.add_constant(
        graph.fresh_name(f"{name}/factor"), (1 / factor).reshape(-1, *[1] * (len(value.shape) - 2))
    )
    exact = 1 / graph.constant(constant).astype(np.float64).reshape(-1)
    smoothed = graph.add(Value(graph.fresh_name(f"{name}/smooth"), "float32", value.shape))
    for reader in readers:
        weights = graph.constant(reader.inputs[1]).astype(np.float64)
        scaled = weights * exact.reshape(1, -1, *[1] * (weights.ndim - 2))
        own = graph.add_constant(graph.fresh_name(f"{reader.inputs[1]}/smooth"), scaled)
        graph.nodes[places[reader.name]] = replace(reader, inputs=(smoothed, own, *reader.inputs[2:]))
    multiply = Node("Mul", (name, constant), (smoothed,), {}, graph.fresh_name(f"{smoothed}/by"))
    graph.nodes.insert(min(places[reader.name] for reader in readers), multiply)
    graph.remove_unused()
