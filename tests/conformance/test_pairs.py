"""Every pair of encodings in files and in ONNX Runtime: the integers of the reference, exactly.

The share of the engine is tests/engine/test_pairs.py. Where a layer reads floats, back ends agree within the
bound of `lowbit.ir.weight_only`.
"""

from pathlib import Path

import numpy as np
import pytest

from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node
from lowbit.ir.graph import Array
from lowbit.ir.weight_only import tolerance
from tests.conformance.backends import Values, onnxruntime, reference
from tests.conformance.pairs import FLOAT, Case, few_cases, network

CASES = {str(case): case for case in few_cases()}
SUFFIXES = (".txt", ".onnx", ".circle")


def differences(graph: Graph, case: Case, found: Values, wanted: Values, x: Array) -> list[str]:
    """Return the values that differ: codes at all, floats of integers at all, of floats beyond the bound."""
    return [name for name in wanted if name in found and not _agrees(graph, case, name, found, wanted, x)]


def _agrees(graph: Graph, case: Case, name: str, found: Values, wanted: Values, x: Array) -> bool:
    value, expected = np.asarray(found[name]).reshape(wanted[name].shape), wanted[name]
    if graph.value(name).encoding is not None or (case.end == "none" and case.activations != FLOAT):
        return np.array_equal(value, expected)
    if case.activations != FLOAT:  # tanh of float64 differs in the last digit between libraries
        return np.allclose(value, expected, rtol=1e-6, atol=1e-6)
    node = graph.producer(name)
    assert isinstance(node, Node)
    weights, bias = graph.value(node.inputs[1]), graph.constant(node.inputs[2])
    reach = np.abs(x).reshape(len(x), -1).sum(axis=1).max()
    return bool((np.abs(value - expected) <= tolerance(weights, bias, reach).max()).all())


def through(suffix: str, graph: Graph, x: Array, folder: Path) -> Values:
    """Return what the reference gives for a file that is read back."""
    write_model(graph, folder / f"network{suffix}")
    return reference(read_model(folder / f"network{suffix}"), x)


@pytest.mark.parametrize("name", CASES)
def test_files_and_onnx_runtime_give_the_same(name: str, tmp_path: Path) -> None:
    case, graph = CASES[name], network(CASES[name])
    x = case.samples()
    wanted = reference(graph, x)
    for suffix in SUFFIXES:
        found = through(suffix, graph, x, tmp_path)
        assert found.keys() >= {*graph.outputs}
        assert not differences(graph, case, found, wanted, x), suffix
    assert not differences(graph, case, onnxruntime(graph, x), wanted, x)


def test_a_difference_is_seen() -> None:
    case = next(case for case in CASES.values() if ":" in case.end and case.activations != FLOAT)
    graph, x = network(case), case.samples()
    wanted = reference(graph, x)
    assert differences(graph, case, {**wanted, "a": wanted["a"] ^ 1}, wanted, x) == ["a"]
