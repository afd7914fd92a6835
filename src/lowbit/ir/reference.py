"""The reference evaluator: slow, short, exact. It is the definition of what a graph computes."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from lowbit.errors import DataError
from lowbit.ir.graph import DTYPES, Array, Graph, Node, Value
from lowbit.ir.infer import call_of

Observe = Callable[[str, Array], None]


def evaluate(
    graph: Graph, inputs: Mapping[str, npt.ArrayLike], observe: Observe | None = None
) -> dict[str, Array]:
    """Return the outputs of a graph by name.

    Args:
        graph: verified.
        inputs: an array per input; named dimensions take any length.
        observe: called with the name and array of every input and computed value, in order.

    Raises:
        DataError: an input is missing, has the wrong shape or kind, or holds NaN.
    """
    arrays: dict[str, Array] = {
        name: value.data for name, value in graph.values.items() if value.data is not None
    }
    for name in graph.inputs:
        arrays[name] = _checked_input(graph, name, inputs)
    for name in graph.inputs if observe else ():
        observe(name, arrays[name])  # type: ignore[misc]
    for node in graph.nodes:
        arrays.update(zip(node.outputs, evaluate_node(graph, node, arrays), strict=True))
        for name in node.outputs if observe else ():
            observe(name, arrays[name])  # type: ignore[misc]
    return {name: arrays[name] for name in graph.outputs}


def evaluate_node(graph: Graph, node: Node, arrays: Mapping[str, Array]) -> list[Array]:
    """Return a node's outputs from the arrays of its inputs; those at the end may be left out.

    Floats overflow and divide as IEEE 754 says, without a warning; whoever asked looks at what is not finite.
    """
    call = call_of(graph, node)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        results = call.operator.evaluate(call, *(arrays[name] if name else None for name in node.inputs))
    return list(results)[: len(node.outputs)]


def _checked_input(graph: Graph, name: str, inputs: Mapping[str, npt.ArrayLike]) -> Array:
    if name not in inputs:
        raise DataError(
            "an input is missing", where=graph.name, expected=name, found=", ".join(inputs) or "nothing"
        )
    value, array = graph.value(name), np.asarray(inputs[name])
    lengths_fit = len(value.shape) == array.ndim and all(
        isinstance(want, str) or want == have for want, have in zip(value.shape, array.shape, strict=True)
    )
    if not lengths_fit or array.dtype.kind not in "fiub":
        raise DataError(
            "an input has the wrong shape or kind",
            where=f"{graph.name}/{name}",
            expected=f"{value.dtype} {value.shape}",
            found=f"{array.dtype} {array.shape}",
        )
    _refuse_nan(array, f"{graph.name}/{name}")
    return array.astype(np.float32) if value.dtype == "float32" else _integers(value, array, graph.name)


def _integers(value: Value, array: Array, where: str) -> Array:
    """Return numbers in the type of an input of integers or codes, which must hold them."""
    with np.errstate(invalid="ignore"):  # what does not fit is found by comparing
        typed = array.astype(DTYPES[value.dtype])
    codes = 1 << value.encoding.bits if value.encoding is not None else None
    if not np.array_equal(typed, array) or (codes is not None and typed.size and int(typed.max()) >= codes):
        raise DataError(
            "an input holds what its type does not",
            where=f"{where}/{value.name}",
            expected=f"codes below {codes}" if codes else f"integers of {value.dtype}",
            found=f"{array.dtype}, from {array.min()} to {array.max()}",
            remedy="Give codes as they are; reals are coded by an Encode.",
        )
    return typed


def _refuse_nan(array: Array, where: str) -> None:
    """Refuse samples with NaN, as the engine does: a threshold would turn it into a code like any other."""
    if array.dtype.kind != "f" or not np.isnan(array).any():
        return
    first = int(np.argwhere(np.isnan(array))[0][0]) if array.ndim else 0
    raise DataError(
        "a sample holds NaN",
        where=where,
        expected="numbers",
        found=f"NaN in sample {first}",
        remedy="Find such samples with numpy.isnan, and leave them out or fill them in.",
    )
