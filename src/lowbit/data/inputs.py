"""Samples of networks with several inputs, or with one of integers: an array for each, checked one by one."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lowbit.data.dataset import Dataset
from lowbit.data.network_input import NetworkInput, misfit, shaped, whole
from lowbit.data.npz import read_named
from lowbit.errors import DataError, NumericError
from lowbit.ir import Graph
from lowbit.ir.graph import DTYPES

Array = npt.NDArray[np.generic]
Arrays = Mapping[str, npt.ArrayLike] | Sequence[npt.ArrayLike]

LABELS = "labels"
"""What a file of several inputs calls the labels."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a network takes, as many samples of every input, and labels where there are any.

    Attributes:
        arrays: by input, in the order of the graph, in the type of each.
        labels: int64 ``[n]``, or None.
        name: how messages call it.
        notes, outside: as of `Dataset`.
    """

    arrays: dict[str, Array]
    labels: npt.NDArray[np.int64] | None
    name: str
    notes: tuple[str, ...] = ()
    outside: int = 0

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))


def inputs_of(graph: Graph, samples: Arrays | Dataset | npt.ArrayLike, name: str = "array") -> Inputs:
    """Return samples as a network takes them.

    Args:
        graph: the network.
        samples: an array for each input, by name or in order; of one input the array itself, or a data set.
        name: how messages call them.

    Raises:
        DataError: an array is missing, is one too many, or does not fit, naming the input.
        NumericError: NaN or infinity in a sample.
    """
    if isinstance(samples, Dataset):
        fitted = samples.fit_to(NetworkInput.of(graph))
        array = _typed(graph, graph.inputs[0], fitted.samples)
        return Inputs({graph.inputs[0]: array}, fitted.labels, fitted.name, fitted.notes, fitted.outside)
    given = _by_name(graph, samples, name)
    arrays = {each: _fitted(graph, each, np.asarray(given[each]), name) for each in graph.inputs}
    counts = {each: len(array) for each, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise misfit(name, "as many samples of every input", str(counts), "Give one row for each sample.")
    labels = given.get(LABELS)
    return Inputs(arrays, None if labels is None else np.asarray(labels).astype(np.int64), name)


def read_inputs(graph: Graph, source: str | os.PathLike[str]) -> Inputs:
    """Return samples of a network with several inputs from an ``.npz`` with an array for each, by its name.

    Labels are the array `LABELS`.

    Raises:
        DataError: another kind of file, or arrays of other names or shapes.
        FileError: damaged, pickled or too large.
    """
    path = Path(source)
    if path.suffix.lower() != ".npz":
        raise misfit(
            str(path),
            f"an .npz with an array for each input: {', '.join(graph.inputs)}",
            path.suffix or "no file",
            "Save the arrays with numpy.savez, by the names of the inputs.",
        )
    return inputs_of(graph, read_named(path, (*graph.inputs, LABELS)), str(path))


def _by_name(graph: Graph, samples: Arrays | npt.ArrayLike, name: str) -> Mapping[str, npt.ArrayLike]:
    if isinstance(samples, Mapping):
        given: Mapping[str, npt.ArrayLike] = samples
    elif len(graph.inputs) == 1 and not isinstance(samples, tuple):
        given = {graph.inputs[0]: samples}  # type: ignore[dict-item]
    elif isinstance(samples, list | tuple):
        given = dict(zip(graph.inputs, samples, strict=False))
        if len(samples) != len(graph.inputs):
            given = {}
    else:
        given = {}
    missing = [each for each in graph.inputs if each not in given]
    others = sorted(set(given) - {*graph.inputs, LABELS})
    if missing or others:
        raise misfit(
            name,
            f"an array for each input: {', '.join(graph.inputs)}",
            ", ".join(given) or f"{type(samples).__name__} of other arrays",
            "Give a dictionary of arrays by name, a tuple of them, or an .npz file.",
        )
    return given


def _fitted(graph: Graph, input_name: str, array: Array, name: str) -> Array:
    """Return the array of one input, in its shape and type."""
    where, network = f"{name}: input {input_name}", NetworkInput.of(graph, input_name)
    if array.dtype.kind not in "fiub" or array.ndim == 0 or len(array) == 0:
        raise misfit(where, "numbers [n, ...]", f"{array.dtype} {list(array.shape)}", "Give it as an array.")
    wanted = graph.value(input_name).dtype
    if wanted == "float32" and array.dtype.kind != "f":
        raise misfit(where, "float32", str(array.dtype), "Convert it: array.astype(numpy.float32).")
    if array.dtype.kind in "iub" and wanted != "float32":
        return np.ascontiguousarray(shaped(array, network.shape, where)[0], DTYPES[wanted])  # type: ignore[arg-type]
    reals = np.asarray(array, np.float32)
    if not np.isfinite(reals).all():
        raise NumericError("a sample holds NaN or infinity", where=where, expected="finite numbers")
    return _typed(graph, input_name, shaped(reals, network.shape, where)[0], where)


def _typed(graph: Graph, input_name: str, reals: npt.NDArray[np.float32], where: str = "") -> Array:
    """Return reals in the type of an input: integers must be whole."""
    integers = NetworkInput.of(graph, input_name).integers
    dtype = graph.value(input_name).dtype
    if dtype == "float32" or dtype not in DTYPES:
        return reals
    if integers is None:
        raise DataError("samples of another type", where=where or input_name, expected=dtype, found="float32")
    return whole(reals, integers, where or input_name).astype(DTYPES[dtype])
