"""The format is told by the content when reading and by the suffix when writing."""

import numpy as np
import pytest

from lowbit.errors import GraphError, ModelFormatError, UnsupportedError, WriteError
from lowbit.formats import read_model, write_model
from lowbit.formats.batch import open_batch
from lowbit.ir import Graph, Node, Value, to_text, verify
from tests.ir.networks import lowbit_mlp


@pytest.mark.parametrize("suffix", [".circle", ".txt"])
def test_round_trip_by_suffix_and_by_content(tmp_path, suffix: str) -> None:
    graph, path = lowbit_mlp(), tmp_path / f"m{suffix}"
    write_model(graph, path)
    assert to_text(read_model(path)) == to_text(graph)
    other = path.rename(tmp_path / "m.unknown")
    assert to_text(read_model(other)) == to_text(graph)


@pytest.mark.parametrize("name", ["m", "m.pt", "m.circle.gz"])
def test_unknown_suffix_when_writing(tmp_path, name: str) -> None:
    with pytest.raises(UnsupportedError, match=r"expected \.circle") as error:
        write_model(lowbit_mlp(), tmp_path / name)
    assert name in error.value.where and error.value.remedy and not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written(tmp_path) -> None:
    with pytest.raises(WriteError):
        write_model(lowbit_mlp(), tmp_path / "absent" / "m.circle")
    assert not list(tmp_path.iterdir())


def test_a_broken_graph_is_not_written(tmp_path) -> None:
    graph = lowbit_mlp()
    graph.nodes.reverse()
    with pytest.raises(GraphError):
        write_model(graph, tmp_path / "m.circle")
    assert not list(tmp_path.iterdir())


def test_text_that_is_not_utf8(tmp_path) -> None:
    path = tmp_path / "m.txt"
    path.write_bytes(b"lowbit 1\ngraph \xff\n")
    with pytest.raises(ModelFormatError, match="UTF-8") as error:
        read_model(path)
    assert str(path) in error.value.where and error.value.remedy


@pytest.mark.parametrize("suffix", [".circle", ".onnx", ".txt"])
def test_inputs_that_nothing_reads_are_left_out(tmp_path, suffix: str) -> None:
    graph, path = lowbit_mlp(), tmp_path / f"m{suffix}"
    graph.add(Value("unused", "float32", ("n", 3)))
    graph.inputs = ("unused", *graph.inputs)
    write_model(graph, path)
    again = read_model(path)
    assert again.inputs == ("x",) and "unused" not in again.values


@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_a_batch_is_opened_behind_reshapes_of_any_integers(kind: str) -> None:
    graph = Graph("net", inputs=("x",), outputs=("y",))
    graph.add(Value("x", "float32", (1, 2, 3)))
    graph.add_constant("rows", np.array([1, 6], kind), kind)
    graph.add(Value("y", "float32", (1, 6)))
    graph.nodes.append(Node("Reshape", ("x", "rows"), ("y",), {}, "flat"))
    opened = open_batch(graph)
    verify(opened)
    assert opened.value("y").shape == ("batch", 6)
