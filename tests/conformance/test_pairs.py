"""Every pair of encodings in every back end and file: the integers of the reference, exactly.

Where a layer reads floats, back ends agree within the bound of `lowbit.ir.weight_only`.
"""

from collections.abc import Callable

import numpy as np
import pytest

from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node
from lowbit.ir.graph import Array
from lowbit.ir.weight_only import tolerance
from tests.conformance.backends import Values, onnxruntime, reference
from tests.conformance.pairs import FLOAT, Case, few_cases, network

CASES = {str(case): case for case in few_cases()}


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


def round_trip(suffix: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Graph, Array], Values]:
    folder = tmp_path_factory.mktemp("pairs")

    def run(graph: Graph, x: Array) -> Values:
        write_model(graph, folder / f"network{suffix}")
        return reference(read_model(folder / f"network{suffix}"), x)

    return run


@pytest.mark.parametrize("suffix", [".txt", ".onnx"])
@pytest.mark.parametrize("name", CASES)
def test_files_read_back_give_the_same(
    suffix: str, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    case, graph = CASES[name], network(CASES[name])
    x = case.samples()
    found = round_trip(suffix, tmp_path_factory)(graph, x)
    assert found.keys() >= {*graph.outputs}
    assert not differences(graph, case, found, reference(graph, x), x)


@pytest.mark.parametrize("name", CASES)
def test_onnx_runtime_gives_the_same(name: str) -> None:
    case, graph = CASES[name], network(CASES[name])
    x = case.samples()
    assert not differences(graph, case, onnxruntime(graph, x), reference(graph, x), x)
