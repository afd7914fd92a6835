"""A network that is drawn node by node and becomes an ONNX model, as an exporter would write it.

Shapes come from ONNX's own inference, so that a part of a network only has to say what it adds.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TypeProto, defs, helper, numpy_helper, shape_inference

Array = npt.NDArray[Any]
Shape = tuple[int | str, ...]

OPSETS = (13, 17, 18, 21)
BATCH = "batch"


class Network:
    """Nodes so far.

    Attributes:
        random: every choice comes from it.
        opset: of the standard operators.
        outputs: names; the last value drawn is added by `model`.
    """

    def __init__(self, *seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.opset = int(self.random.choice(OPSETS))
        self.outputs: list[str] = []
        self._inputs: list[str] = []
        self._nodes: list[Any] = []
        self._constants: dict[str, Array] = {}
        self._types: dict[str, TypeProto] = {}
        self._count = 0

    def input(self, *shape: int | str, dtype: npt.DTypeLike = np.float32) -> str:
        """Add an input of the network."""
        name = self._name("x")
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._types[name] = helper.make_tensor_type_proto(kind, shape)
        self._inputs.append(name)
        return name

    def constant(self, array: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Add an initializer."""
        name, data = self._name("c"), np.asarray(array, dtype)
        self._constants[name] = data
        kind = helper.np_dtype_to_tensor_dtype(data.dtype)
        self._types[name] = helper.make_tensor_type_proto(kind, data.shape)
        return name

    def integers(self, *numbers: int) -> str:
        """Add an initializer of int64, such as a shape or axes."""
        return self.constant(numbers, np.int64)

    def weights(self, *shape: int) -> str:
        """Add normal weights of a size that keeps activations near one."""
        fan_in = max(int(np.prod(shape[1:], dtype=int)), 1)
        return self.constant(self.random.normal(size=shape) / np.sqrt(fan_in))

    def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node and return its first output; "" leaves an optional input out."""
        names = [self._name(operator.lower()) for _ in range(outputs)]
        node = helper.make_node(operator, inputs, names, name=self._name(operator), **attributes)
        self._nodes.append(node)
        read = [name for name in inputs if name]
        found = shape_inference.infer_node_outputs(
            defs.get_schema(operator, self.opset),
            node,
            {name: self._types[name] for name in read},
            {
                name: numpy_helper.from_array(self._constants[name])
                for name in read
                if name in self._constants
            },
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=8,
        )
        self._types.update(found)
        return names[0]

    def shape(self, name: str) -> Shape:
        """Return a value's shape; a name stands for an open length."""
        dimensions = self._types[name].tensor_type.shape.dim
        return tuple(
            length.dim_value if length.HasField("dim_value") else length.dim_param or "?"
            for length in dimensions
        )

    def sample(self, name: str) -> tuple[int, ...]:
        """Return the shape of one sample of a value."""
        return tuple(int(length) for length in self.shape(name)[1:])

    def rank(self, name: str) -> int:
        """Return how many axes a value has."""
        return len(self.shape(name))

    def chance(self, share: float) -> bool:
        """Return True so often."""
        return bool(self.random.random() < share)

    def pick(self, *choices: Any) -> Any:
        """Return one of these."""
        return choices[int(self.random.integers(len(choices)))]

    def between(self, least: int, most: int) -> int:
        """Return an integer in `[least, most]`."""
        return int(self.random.integers(least, most + 1))

    def model(self, last: str, name: str) -> ModelProto:
        """Return the model; `last` is its first output."""
        outputs = list(dict.fromkeys([last, *self.outputs]))
        infos = [
            [helper.make_value_info(each, self._types[each]) for each in names]
            for names in (self._inputs, outputs)
        ]
        constants = [numpy_helper.from_array(array, each) for each, array in self._constants.items()]
        graph = helper.make_graph(self._nodes, name, *infos, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def samples(self, count: int) -> dict[str, Array]:
        """Return normal samples for every input, of its type."""
        found = {}
        for name in self._inputs:
            kind = helper.tensor_dtype_to_np_dtype(self._types[name].tensor_type.elem_type)
            shape = (count, *self.sample(name))
            drawn = (
                self.random.normal(size=shape) if kind.kind == "f" else self.random.integers(0, 100, shape)
            )
            found[name] = drawn.astype(kind)
        return found

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"
