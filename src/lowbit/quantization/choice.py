"""Which layers of a network are quantized, and which samples calibrate them."""

import numpy as np
import numpy.typing as npt

from lowbit.errors import DataError, UnsupportedError
from lowbit.ir import Graph, Node
from lowbit.ir.passes import is_convolution, is_linear
from lowbit.quantization.plan import Plan

Samples = npt.NDArray[np.float32]


def layer_names(network: Graph) -> list[str]:
    """Return the names of all layers with constant weights, in order."""
    return [node.name for node in network.nodes if is_layer(network, node)]


def is_layer(network: Graph, node: Node) -> bool:
    """Return whether a node is a fully connected layer or a convolution of maps, with constant weights."""
    if is_convolution(network, node):
        return len(network.value(node.inputs[1]).shape) == 4
    return is_linear(network, node)


def layers_to_quantize(network: Graph, plan: Plan) -> list[Node]:
    """Return the layers to quantize, in order."""
    layers = [
        node
        for node in network.nodes
        if is_layer(network, node) and plan.for_layer(node.name).scheme != "float"
    ]
    if not layers:
        raise UnsupportedError(
            "there is no layer to quantize",
            where=network.name,
            expected="a fully connected layer or convolution with constant weights",
            found=", ".join(sorted({node.op for node in network.nodes})) or "an empty network",
        )
    return layers


def chosen_samples(network: Graph, samples: npt.ArrayLike, plan: Plan) -> Samples:
    """Return checked samples, at most as many as the plan says, in their order."""
    if len(network.inputs) != 1:
        raise UnsupportedError(
            "calibration needs a network with one input", where=network.name, found=", ".join(network.inputs)
        )
    array, shape = np.asarray(samples), network.value(network.inputs[0]).shape
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or want == have for want, have in zip(shape[1:], array.shape[1:], strict=True)
    )
    if not fits or not len(array) or array.dtype.kind not in "fiub":
        raise DataError(
            "calibration samples do not fit the network",
            where=network.inputs[0],
            expected=f"at least one sample, shape [n, {', '.join(map(str, shape[1:]))}]",
            found=f"{array.dtype} {list(array.shape)}",
        )
    if len(array) > plan.samples:
        array = array[
            np.sort(np.random.default_rng(plan.seed).choice(len(array), plan.samples, replace=False))
        ]
    array = array.astype(np.float32)
    bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if bad.any():
        raise DataError(
            "a calibration sample is not finite",
            where=f"sample {int(np.argmax(bad))}",
            expected="finite values",
            found=f"{int(bad.sum())} samples with NaN or infinity",
            remedy="Remove these samples.",
        )
    return array
