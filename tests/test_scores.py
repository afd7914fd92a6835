"""Scores by every back end for any number of samples: batches open, fixed, and fixed by a Reshape."""

import numpy as np
import pytest

from lowbit.backends import BACKENDS
from lowbit.errors import DataError, EngineError, LowbitError, MissingExtra, UnsupportedError
from lowbit.ir import Graph, Node, Value, evaluate, infer
from lowbit.schemes import Affine
from lowbit.scores import score

COUNTS = (1, 2, 7, 8, 20)


def network(batch: int | str, target: tuple[int, ...]) -> Graph:
    graph, random = Graph("net", ("x",), ("y",)), np.random.default_rng(3)
    graph.add(Value("x", "float32", (batch, 2, 3)))
    graph.add_constant("target", np.array(target), "int64")
    graph.add_constant("w", random.standard_normal((4, 6)).astype(np.float32))
    graph.add_constant("b", random.standard_normal(4).astype(np.float32))
    graph.nodes.append(Node("Reshape", ("x", "target"), ("row",), {}, "reshape"))
    graph.nodes.append(Node("Gemm", ("row", "w", "b"), ("y",), {"transB": 1}, "fc"))
    infer(graph)
    return graph


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("target", [(-1, 6), (0, 6), (7, 6), (0, -1), (1, 6)])
@pytest.mark.parametrize("batch", ["n", 7, 1])
def test_any_number_of_samples(batch: int | str, target: tuple[int, ...], count: int) -> None:
    x = np.random.default_rng(count).standard_normal((count, 2, 3)).astype(np.float32)
    try:
        graph = network(batch, target)
    except LowbitError:
        assert isinstance(batch, int) and target[0] not in (-1, 0, batch)
        return
    wanted = x.reshape(count, 6) @ graph.constant("w").T + graph.constant("b")
    for backend in ("engine", "reference", "auto"):
        np.testing.assert_allclose(score(graph, x, backend).values, wanted, rtol=1e-4, atol=1e-5)
    if batch == "n":
        np.testing.assert_allclose(evaluate(graph, {"x": x})["y"], wanted, rtol=1e-4, atol=1e-5)
    elif batch != count:
        with pytest.raises(DataError):
            evaluate(graph, {"x": x})


def test_outputs_that_are_none_of_samples() -> None:
    graph = Graph("net", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", 4)))
    graph.add_constant("target", np.array([4, -1]), "int64")
    graph.nodes.append(Node("Transpose", ("x",), ("y",), {"perm": (1, 0)}, "turn"))
    infer(graph)
    with pytest.raises(UnsupportedError, match="sample by sample"):
        score(graph, np.ones((3, 4), np.float32), "reference")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("backend", ["engine", "reference", "auto"])
def test_what_is_no_number_names_its_sample(bad: float, backend: str) -> None:
    x = np.ones((9, 2, 3), np.float32)
    x[4, 1, 1] = bad
    with pytest.raises(LowbitError, match="sample 4"):
        score(network("n", (-1, 6)), x, backend)


@pytest.mark.parametrize("number", [0.5, 256, -1, 4, np.inf])
def test_codes_are_not_cast_unchecked(number: float) -> None:
    encoding = Affine(2, np.array([0.5], np.float32), np.array([1], np.int32))
    graph = Graph("net", ("x",), ("y",))
    graph.add(Value("x", "code", ("n", 4), None, encoding))
    graph.add(Value("y", "float32", ("n", 4)))
    graph.nodes.append(Node("Decode", ("x",), ("y",), {}, "decode", "lowbit"))
    np.testing.assert_array_equal(evaluate(graph, {"x": np.full((2, 4), 3)})["y"], 1)
    with pytest.raises(DataError, match="codes below 4"):
        evaluate(graph, {"x": np.full((2, 4), number)})


@pytest.mark.parametrize("threads", [0, -1, 1.5, None])
def test_no_number_of_threads_is_no_reason_for_the_reference(threads: int) -> None:
    with pytest.raises(EngineError, match="threads"):
        score(network("n", (-1, 6)), np.ones((2, 2, 3), np.float32), threads=threads)


@pytest.mark.parametrize("name", BACKENDS)
def test_every_back_end_that_runs_a_network_scores_it(name: str) -> None:
    graph, x = network("n", (-1, 6)), np.random.default_rng(5).standard_normal((5, 2, 3)).astype(np.float32)
    if BACKENDS[name].blockers(graph):
        with pytest.raises(LowbitError):
            score(graph, x, name)
        return
    try:
        found = score(graph, x, name)
    except MissingExtra as error:
        pytest.skip(str(error))
    assert found.backend == name and not found.why
    np.testing.assert_allclose(found.values, score(graph, x, "reference").values, rtol=1e-4, atol=1e-5)
