"""Samples of networks with several inputs; what does not fit names its input."""

from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit import api
from lowbit.data import inputs_of, write_npz
from lowbit.errors import LowbitError
from lowbit.ir import Graph, Node, Value, evaluate, to_text, verify
from lowbit.ir.infer import infer
from lowbit.scores import outputs_of, score
from tests.command import Command

RANDOM = np.random.default_rng(2)
A = RANDOM.normal(size=(9, 3, 4)).astype(np.float32)
IDS = RANDOM.integers(-9, 9, (9, 5))


def network() -> Graph:
    """Return scores of features, and integers beside them."""
    values = {"a": Value("a", "float32", ("n", 3, 4)), "ids": Value("ids", "int64", ("n", 5))}
    graph = Graph("two", ("a", "ids"), ("y", "z"), values=values)
    graph.add_constant("c", RANDOM.normal(size=(3, 1)))
    graph.nodes = [
        Node("Mul", ("a", "c"), ("m",), {}, "m"),
        Node("Flatten", ("m",), ("y",), {}, "y"),
        Node("Identity", ("ids",), ("z",), {}, "z"),
    ]
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("backend", ["auto", "engine", "reference"])
def test_samples_by_name_in_order_and_from_a_file_are_the_same(backend: str, tmp_path: Path) -> None:
    graph = network()
    wanted = evaluate(graph, {"a": A, "ids": IDS})
    file = tmp_path / "x.npz"
    write_npz({"ids": IDS.astype(np.int32), "a": A, "labels": np.arange(9) % 5, "idle": A[0]}, file)
    for data in ({"a": A, "ids": IDS}, (A, IDS.astype(np.int16)), str(file)):
        given = api.load_inputs(graph, data)
        found = outputs_of(graph, given.arrays, backend)
        assert list(found) == ["y", "z"] and found["z"].dtype == np.int64
        np.testing.assert_allclose(found["y"], wanted["y"], rtol=1e-6)
        np.testing.assert_array_equal(found["z"], IDS)
    np.testing.assert_array_equal(score(graph, {"a": A, "ids": IDS}).values, found["y"])
    assert lowbit.evaluate(graph, str(file), backend=backend)["samples"] == 9
    labelled = {"a": A, "ids": IDS, "labels": wanted["y"].argmax(axis=1)}
    assert lowbit.evaluate(graph, labelled, backend=backend)["top1"] == 1.0


@pytest.mark.parametrize(
    ("samples", "named"),
    [
        ({"a": A, "ids": IDS[:, :4]}, "ids"),
        ({"a": A[:, 0], "ids": IDS}, "input a"),
        ({"a": A, "ids": IDS + 0.5}, "ids"),
        ({"a": A.astype(np.int32), "ids": IDS}, "input a"),
        ({"a": A, "ids": IDS[:3]}, "ids"),
        ({"a": np.where(A > 1, np.nan, A), "ids": IDS}, "input a"),
        ({"a": A}, "ids"),
        ({"a": A, "ids": IDS, "more": A}, "more"),
        ((A,), "ids"),
        ((A, IDS, IDS), "ids"),
        (A, "ids"),
    ],
)
def test_what_does_not_fit_names_its_input(samples: object, named: str) -> None:
    with pytest.raises(LowbitError) as caught:
        inputs_of(network(), samples)  # type: ignore[arg-type]
    assert named in str(caught.value)


def test_commands_take_an_npz_of_all_inputs(tmp_path: Path, command: Command) -> None:
    model, file, out = (tmp_path / name for name in ("two.txt", "x.npz", "y.npz"))
    model.write_text(to_text(network()))
    write_npz({"a": A, "ids": IDS, "labels": np.arange(9) % 5}, file)
    for words in (
        ["eval", str(model), "--data", str(file)],
        ["run", str(model), "--data", str(file), "-o", str(out)],
        ["bench", str(model)],
        ["bench", str(model), "--layers"],
    ):
        code, _, err = command(*words)
        assert code == 0, err
    with np.load(out) as found:
        np.testing.assert_array_equal(found["z"], IDS)
    code, _, err = command("eval", str(model), "--data", "digits")
    assert code != 0 and "a, ids" in err
