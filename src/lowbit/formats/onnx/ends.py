"""Inputs and outputs of a file as those of a graph."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lowbit.errors import UnsupportedError
from lowbit.formats.batch import BATCH
from lowbit.formats.onnx.labels import has_labels, is_map, is_number
from lowbit.formats.onnx.tensors import MAX_RANK, computed_dtype
from lowbit.ir import Value
from lowbit.ir.graph import Dimension
from lowbit.ir.operators.registry import code_dtype

if TYPE_CHECKING:
    from onnx import GraphProto, ValueInfoProto


def input_value(info: "ValueInfoProto", encoding: object) -> Value:
    """Return the value that an input of the file is, with its encoding, if the file says one.

    Raises:
        UnsupportedError: no tensor, or one without a rank, of too many axes, or of a type that is not read.
    """
    where = f"input {info.name!r}"
    tensor = info.type.tensor_type
    if not info.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise UnsupportedError("an input without a shape", where=where, expected="a tensor of known rank")
    if len(tensor.shape.dim) > MAX_RANK:
        raise UnsupportedError("too many axes", where=where, expected=f"at most {MAX_RANK}")
    shape: list[Dimension] = []
    for axis, length in enumerate(tensor.shape.dim):
        unnamed = BATCH if axis == 0 else f"{info.name}_{axis}"
        named = length.dim_param.strip("?- ")  # what some exporters write where they know no name
        shape.append(length.dim_value if length.dim_value > 0 else named or unnamed)
    dtype = computed_dtype(tensor.elem_type, where)
    if encoding is None:
        return Value(info.name, dtype, tuple(shape))
    return Value(info.name, code_dtype(encoding), tuple(shape), None, encoding)  # type: ignore[arg-type]


def outputs_of(graph: "GraphProto", producers: Mapping[str, int], note: Callable[[str], None]) -> list[str]:
    """Return the outputs to import; where there are scores, classes only matter to people.

    Args:
        graph: of the file.
        producers: the index of the node that computes each name.
        note: is told what was left out.

    Raises:
        UnsupportedError: none holds numbers.
    """
    chosen: list[str] = []
    labels: list[str] = []
    for info in graph.output:
        maker = graph.node[producers[info.name]] if info.name in producers else None
        if maker is not None and is_map(maker):
            chosen.append(maker.input[0])
            note(f"output {info.name} (ZipMap) is given as the array that it is made of, {maker.input[0]}")
        elif has_labels(graph, info, producers):
            labels.append(info.name)
        else:
            chosen.append(info.name)
    if not chosen and all(is_number(info) for info in graph.output):
        chosen, labels = labels, []
    if not chosen:
        raise UnsupportedError(
            "no output holds numbers",
            expected="probabilities or scores",
            found=", ".join(labels) or "no outputs",
            remedy="Export the network with its scores.",
        )
    if labels:
        note(f"left out: outputs that are classes and no scores ({', '.join(labels)})")
    return list(dict.fromkeys(chosen))
