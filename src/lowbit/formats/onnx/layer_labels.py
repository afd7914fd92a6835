"""Which layer a tensor's name speaks of: exporters name weights and biases after their modules."""

from typing import TYPE_CHECKING

from lowbit.formats.paths import layer_of_path

if TYPE_CHECKING:
    from onnx import ModelProto

_SUFFIXES = (".weight", ".bias", "/weights", "/kernel", ".kernel")


def layer_of(name: str) -> str:
    """Return ``fc1`` for ``fc1.weight``, ``net/fc`` for ``net/fc/MatMul``, "" where a name says no layer."""
    suffix = next((end for end in _SUFFIXES if name.endswith(end)), "")
    return name.removesuffix(suffix) if suffix else layer_of_path(name)


def layers_of_sums(model: "ModelProto") -> dict[str, str]:
    """Return the layer of every product to which a tensor called ``layer.bias`` is added."""
    sums = [node.input for node in model.graph.node if node.op_type == "Add" and len(node.input) == 2]
    pairs = [pair for left, right in sums for pair in ((left, right), (right, left))]
    return {product: layer_of(bias) for product, bias in pairs if layer_of(bias)}
