"""RNN, GRU and LSTM as the graph has them: steps first, activations by their names in a row."""

from typing import TYPE_CHECKING

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx.attributes import integer
from lowbit.formats.onnx.importer import Importer
from lowbit.ir.graph import Attribute

if TYPE_CHECKING:
    from onnx import NodeProto

Attributes = dict[str, Attribute]

_STATES: dict[int, tuple[int, ...]] = {
    5: (1, 0, 2),
    6: (1, 0, 2),
}  # inputs that are states, and the order of their axes with steps first


def read_recurrent(reader: Importer, proto: "NodeProto", attributes: Attributes) -> None:
    """Add a recurrent layer; where samples come first (``layout`` 1) they are transposed around it."""
    for name in ("activation_alpha", "activation_beta"):
        if attributes.pop(name, ()):
            raise UnsupportedError(
                "parameters of activations", expected="those that ONNX gives them", found=name
            )
    attributes.pop("output_sequence", None)
    inputs = list(proto.input)
    if not integer(attributes, "layout", 0):
        attributes.pop("layout", None)
        reader.add(proto, proto.op_type, inputs, attributes)
        return
    del attributes["layout"]
    inputs[0] = reader.insert("Transpose", [inputs[0]], perm=(1, 0, 2))
    for index, order in _STATES.items():
        if index < len(inputs) and inputs[index]:
            inputs[index] = reader.insert("Transpose", [inputs[index]], perm=order)
    steps_first = [reader.free_name(f"{name}/steps_first") if name else "" for name in proto.output]
    wanted = list(proto.output)
    proto.output[:] = steps_first
    for name, given in zip(wanted, steps_first, strict=True):
        reader.readers[given] = reader.readers.get(name, [])
    reader.add(proto, proto.op_type, inputs, attributes)
    orders: tuple[tuple[int, ...], ...] = ((2, 0, 1, 3), (1, 0, 2), (1, 0, 2))
    for name, given, order in zip(wanted, steps_first, orders, strict=False):
        if name and given in reader.result.values:
            reader.give(proto, name, "Transpose", [given], {"perm": order})
