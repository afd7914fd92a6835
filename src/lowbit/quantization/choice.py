"""Which layers of a network are quantized, and which samples calibrate them."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.budget import VARIABLE, budget
from lowbit.calibrate import moment_bytes
from lowbit.data import NetworkInput, inputs_of, load
from lowbit.errors import NumericError, PlanError, TooLargeError, UnsupportedError
from lowbit.ir import Graph, Node
from lowbit.ir.layers import is_low_bit, layers_of
from lowbit.ir.passes import is_convolution, is_linear
from lowbit.quantization.plan import Plan, blockers

Array = npt.NDArray[np.generic]

_SHOWN = 8
_REMEDY = "Quantize the float network that it was made of: what codes are not is lost in this file."


def is_layer(network: Graph, node: Node) -> bool:
    """Return whether a node is a fully connected layer or a convolution of maps, with constant weights."""
    if is_convolution(network, node):
        return len(network.value(node.inputs[1]).shape) == 4
    return is_linear(network, node)


def layers_to_quantize(network: Graph, layers: Sequence[Node], plan: Plan) -> list[Node]:
    """Return the layers to quantize, in order.

    Args:
        network: the network.
        layers: its layers, of those that share weights the first.
        plan: of every layer.
    """
    chosen = [node for node in layers if not plan.for_layer(node.name).is_float]
    if not chosen:
        raise UnsupportedError(
            "there is no layer to quantize",
            where=network.name,
            expected="a fully connected or recurrent layer, or a convolution, with constant float weights",
            found=_why_none(network, layers),
            remedy=_REMEDY if any(is_low_bit(node) for node in network.nodes) else "",
        )
    return chosen


def _why_none(network: Graph, layers: Sequence[Node]) -> str:
    """Return what is there instead of layers to quantize."""
    low = [layer for layer in layers_of(network) if layer.scheme != "float"]
    if low:
        first = f"{low[0].name} in {low[0].scheme} of {low[0].weight_bits} bits"
        return f"{len(low)} of {len(low) + len(layers)} layers have low bits already, such as {first}"
    if layers:
        return f"{len(layers)} layers that the plan leaves float"
    return ", ".join(sorted({node.op for node in network.nodes})) or "an empty network"


def check_layers(network: Graph, layers: Sequence[Node], plan: Plan) -> None:
    """Check before any work that all layers can be quantized as planned.

    Raises:
        NumericError: weights that their scheme would clip.
        PlanError: what is planned for layers cannot be made.
        TooLargeError: restoring layers takes more memory than `lowbit.budget` allows.
        UnsupportedError: layers whose input is not float32.
    """
    kinds = {layer.name: network.value(layer.inputs[0]).dtype for layer in layers}
    others = [f"{name}: {dtype}" for name, dtype in kinds.items() if dtype != "float32"]
    if others:
        raise UnsupportedError(
            "a layer reads other numbers than float32, and cannot be quantized",
            where=network.name,
            expected="float32",
            found=_listed(others),
            remedy="Export the network in float32.",
        )
    plans = {node.name: plan.for_layer(node.name) for node in network.nodes if is_layer(network, node)}
    blocked: dict[str, list[str]] = {}
    for layer in layers:
        for why in blockers(plans[layer.name]):
            blocked.setdefault(why, []).append(layer.name)
    if blocked:
        raise PlanError(
            "nothing makes what is planned",
            where=network.name,
            found="; ".join(f"{_listed(names)}: {why}" for why, names in blocked.items()),
        )
    _check_range(network, layers, plans)
    _check_memory(network, plans)


def _check_range(network: Graph, layers: Sequence[Node], plans: Mapping[str, Plan]) -> None:
    """Check that weights have codes: a scheme that does not choose its range would clip them."""
    beyond = []
    for layer in layers:
        form = plans[layer.name].weight_form
        weights = network.constant(layer.inputs[1]).astype(np.float64)
        if clipped := int(form.fit.clipped(weights, form).sum()):
            beyond.append(f"{clipped} of {layer.name} in {form}, up to {np.abs(weights).max():.6g}")
    if beyond:
        raise NumericError(
            "weights are beyond what their scheme holds, and would be clipped",
            where=network.name,
            found=_listed(beyond),
            remedy="Give the format more bits before the point, or scale the network.",
        )


def _groups(layer: Node) -> int:
    return int(layer.attributes.get("group", 1))  # type: ignore[arg-type]


def _check_memory(network: Graph, plans: Mapping[str, Plan]) -> None:
    """Check what restoring takes of memory; layers that stay float are restored too."""
    limit, wanted = budget(), {}
    for layer in (node for node in network.nodes if node.name in plans):
        outputs, *window = (int(extent) for extent in network.constant(layer.inputs[1]).shape)
        groups = _groups(layer)
        size = groups * moment_bytes(prod(window), outputs // groups)
        if plans[layer.name].restores and size > limit:
            wanted[layer.name] = size
    if wanted:
        sizes = [f"{name} {size / 2**30:.1f} GiB" for name, size in wanted.items()]
        raise TooLargeError(
            "restoring layers of so many inputs would take too much memory",
            where=network.name,
            expected=f"at most {limit / 2**30:.1f} GiB for a layer",
            found=_listed(sizes),
            remedy='Give them method = "rtn" in the plan, which needs none of it, or raise the limit: '
            f"{VARIABLE}={-(-max(wanted.values()) // 2**30)}G.",
        )


def _listed(entries: Sequence[str]) -> str:
    return ", ".join(entries[:_SHOWN]) + (
        f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
    )


def chosen_samples(network: Graph, samples: object, plan: Plan) -> dict[str, Array]:
    """Return samples of every input as the network takes them, at most as many as the plan says, in order.

    Args:
        network: the network.
        samples: of one input an array; of several a dictionary of arrays by name, or a tuple in order.
        plan: chooses.

    Errors are those of `lowbit.data.load`, and of `lowbit.data.inputs_of`.
    """
    if len(network.inputs) == 1 and not isinstance(samples, Mapping):
        loaded = load(samples, network=NetworkInput.of(network)).samples  # type: ignore[arg-type]
        arrays: dict[str, Array] = {network.inputs[0]: loaded}
    else:
        arrays = inputs_of(network, samples).arrays  # type: ignore[arg-type]
    chosen = chosen_indices(len(next(iter(arrays.values()))), plan)
    return {name: array[chosen] for name, array in arrays.items()}


def chosen_indices(count: int, plan: Plan) -> npt.NDArray[np.intp]:
    """Return which of so many samples calibrate, in order."""
    if count <= plan.samples:
        return np.arange(count)
    return np.sort(np.random.default_rng(plan.seed).choice(count, plan.samples, replace=False))
