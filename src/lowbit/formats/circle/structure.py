"""What must hold of a model's tables before anything is built from them.

Every index is in range, every constant has exactly the bytes that its shape asks for, every tensor
has one producer and is defined before it is read (which excludes cycles), outputs are produced.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import ModelFormatError
from lowbit.formats.circle.foreign_options import CallOnceOptions, CompositeOptions, IfOptions, WhileOptions
from lowbit.formats.circle.operator_names import BUILTIN, CIRCLE_OWN
from lowbit.formats.circle.schema import (
    THESIS_OPERATOR,
    Model,
    Operator,
    SubGraph,
    Tensor,
)
from lowbit.formats.circle.stored_constants import typed

MAX_RANK = 8
MAX_ELEMENTS = 2**40
MAX_TENSORS = 20_000
MAX_OPERATORS = 5_000

_NAMES = dict(enumerate(BUILTIN)) | CIRCLE_OWN


@dataclass(frozen=True)
class Structure:
    """A model whose structure holds.

    Attributes:
        where: the file's name.
        model: its tables.
        subgraph: its only graph.
        operators: name of every operator of the graph, in order.
        constants: data of the constant tensors by index, views of the file.
        called: the graphs that operators of this one, or of those, call, by their number in the model.
    """

    where: str
    model: Model
    subgraph: SubGraph
    operators: tuple[str, ...]
    constants: dict[int, npt.NDArray[Any]]
    called: "dict[int, Structure]" = field(default_factory=dict)

    def tensor(self, index: int) -> Tensor:
        """Return a tensor of the graph."""
        return self.subgraph.tensors[index]

    def place(self, index: int) -> str:
        """Return how messages call an operator."""
        return f"{self.where}, operator {index} ({self.operators[index]})"


def check_structure(model: Model, content: Any, where: str) -> Structure:
    """Return the model with its constants, checked.

    Args:
        model: tables as read.
        content: the file, for buffers that lie behind the tables.
        where: its name.

    Raises:
        ModelFormatError: a rule does not hold.
        UnsupportedError: a tensor type that lowbit does not have.
    """
    require(len(model.subgraphs) > 0, "the model has no graph", where, "1 or more", 0)
    called: dict[int, Structure] = {}
    main, waiting = _graph(model, 0, content, where, called), [0]
    called[0] = main
    while waiting:
        for operator in called[waiting.pop()].subgraph.operators:
            for number in graphs_of(operator):
                count = len(model.subgraphs)
                require(0 <= number < count, "a graph is out of range", where, f"below {count}", number)
                if number not in called:
                    called[number] = _graph(model, number, content, where, called)
                    waiting.append(number)
    return main


def graphs_of(operator: Operator) -> tuple[int, ...]:
    """Return the numbers of the graphs that an operator calls."""
    match operator.builtin_options or operator.builtin_options_2:
        case IfOptions(then_subgraph_index=first, else_subgraph_index=second):
            return first, second
        case WhileOptions(cond_subgraph_index=first, body_subgraph_index=second):
            return first, second
        case (
            CallOnceOptions(init_subgraph_index=first) | CompositeOptions(decomposition_subgraph_index=first)
        ):
            return (first,)
    return ()


def _graph(model: Model, number: int, content: Any, where: str, called: dict[int, Structure]) -> Structure:
    subgraph = model.subgraphs[number]
    where = f"{where}, graph {number}" if number else where
    _within(len(subgraph.tensors), MAX_TENSORS, "tensors", where)
    _within(len(subgraph.operators), MAX_OPERATORS, "operators", where)
    names = tuple(_operator_name(model, operator, where) for operator in subgraph.operators)
    constants = _constants(model, subgraph, content, where)
    structure = Structure(where, model, subgraph, names, constants, called)
    _check_order(structure)
    return structure


def require(holds: bool, rule: str, where: str, expected: object, found: object) -> None:
    """Raise `ModelFormatError` unless ``holds``."""
    if not holds:
        raise ModelFormatError(
            rule,
            where=where,
            expected=str(expected),
            found=str(found),
            remedy="The file is damaged or was written wrongly: write or fetch it again.",
        )


def _within(count: int, most: int, what: str, where: str) -> None:
    require(count <= most, f"there are too many {what}", where, f"at most {most}", count)


def _operator_name(model: Model, operator: Operator, where: str) -> str:
    """Return an operator's name; ``custom_code`` of a custom one, ``#code`` of an unknown one."""
    index, count = operator.opcode_index, len(model.operator_codes)
    require(index < count, "an operator code index is out of range", where, f"below {count}", index)
    entry = model.operator_codes[index]
    code = entry.deprecated_builtin_code
    if code in (0, 127):  # files of TFLite 2.4 and later; older ones have no second field
        code = entry.builtin_code
    if code == THESIS_OPERATOR - 256:
        return "thesis.LQFullyConnected"
    name = _NAMES.get(code, f"#{code}")
    return entry.custom_code if name == "CUSTOM" else name


def _constants(model: Model, subgraph: SubGraph, content: Any, where: str) -> dict[int, npt.NDArray[Any]]:
    constants = {}
    made = {index for operator in subgraph.operators for index in operator.outputs} | {*subgraph.inputs}
    for index, tensor in enumerate(subgraph.tensors):
        place = f"{where}, tensor {index} ({tensor.name[:80]})"
        _check_shape(tensor, place)
        count = len(model.buffers)
        require(
            tensor.buffer < max(count, 1),
            "a buffer index is out of range",
            place,
            f"below {count}",
            tensor.buffer,
        )
        data = _buffer_bytes(model, tensor.buffer, content, place)
        if data is not None and len(data):
            constants[index] = typed(tensor, data, place)
        elif index not in made and 0 in tensor.shape:
            constants[index] = typed(tensor, np.zeros(0, np.uint8), place)
    return constants


def _check_shape(tensor: Tensor, place: str) -> None:
    rank = len(tensor.shape)
    require(rank <= MAX_RANK, "a tensor has too many dimensions", place, f"at most {MAX_RANK}", rank)
    require(min(tensor.shape, default=0) >= 0, "a dimension is negative", place, "0 or more", tensor.shape)
    elements = prod(tensor.shape)
    require(
        elements <= MAX_ELEMENTS, "a tensor is too large", place, f"at most {MAX_ELEMENTS} elements", elements
    )
    signature = tensor.shape_signature
    fits = len(signature) in (0, rank) and all(
        a in (-1, b) for a, b in zip(signature, tensor.shape, strict=False)
    )
    require(fits, "a shape signature contradicts the shape", place, tensor.shape, signature)


def _buffer_bytes(model: Model, index: int, content: Any, place: str) -> npt.NDArray[np.uint8] | None:
    if not index:
        return None
    buffer = model.buffers[index]
    if buffer.offset > 1:  # files over 2 GiB keep their data behind the tables
        end = buffer.offset + buffer.size
        require(end <= len(content), "a buffer lies outside the file", place, f"at most {len(content)}", end)
        return np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
    return buffer.data


def _check_order(structure: Structure) -> None:
    subgraph, where = structure.subgraph, structure.where
    count = len(subgraph.tensors)
    for index in (*subgraph.inputs, *subgraph.outputs):
        require(0 <= index < count, "a tensor index is out of range", where, f"0 to {count - 1}", index)
    variables = {index for index, tensor in enumerate(subgraph.tensors) if tensor.is_variable}
    known = variables | set(structure.constants)
    for index in subgraph.inputs:
        require(
            index not in known,
            "an input is given twice or is a constant",
            where,
            "a tensor of its own",
            index,
        )
        known.add(index)
    for number, operator in enumerate(subgraph.operators):
        place = structure.place(number)
        for index in operator.inputs:
            require(-1 <= index < count, "a tensor index is out of range", place, f"-1 to {count - 1}", index)
            require(
                index in known or index == -1,
                "a tensor is read before it is computed",
                place,
                "its producer",
                index,
            )
        for index in operator.outputs:
            require(0 <= index < count, "a tensor index is out of range", place, f"0 to {count - 1}", index)
            once = index not in known or index in variables
            require(once, "a tensor is computed twice", place, "one producer", index)
            known.add(index)
    for index in subgraph.outputs:
        require(index in known, "an output is never computed", where, "a producer", index)
    main = subgraph is structure.model.subgraphs[0]  # one that is called may only set variables
    require(bool(subgraph.outputs) or not main, "the graph has no output", where, "at least 1", 0)
