"""How a layer multiplies: the table of paths, what forces one, and costs of a file."""

from pathlib import Path

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.errors import EngineError, FileError
from lowbit.ir import Graph
from tests.ir.networks import lowbit_convnet, lowbit_mlp

DEAR = "lowbit costs 1\n# measured\n\n{path} {level} 1000000 1000000.5 0\n"


def operations(graph: Graph, **options: str) -> list[str]:
    return [operation for operation, _, _ in Program(graph, **options).kernels if "_" in operation]


def of(path: str, level: str) -> str:
    return DEAR.format(path=path, level=level)


def test_a_forced_path_is_taken_and_gives_the_same_numbers() -> None:
    graph = lowbit_mlp((65, 33, 10), 3, 2)
    x = np.random.default_rng(0).normal(size=(5, 65)).astype(np.float32)
    counted, multiplied = Program(graph, path="popcount"), Program(graph, path="dot")
    np.testing.assert_array_equal(counted.run(x), multiplied.run(x))
    reasons = {why for _, _, why in multiplied.kernels if why}
    assert reasons == {"the path that was asked for"}


@pytest.mark.parametrize("path", ["tiles", "nonsense"])
def test_a_path_without_kernels_is_an_error_that_names_it(path: str) -> None:
    if path == "tiles" and "amx_int8" in kernel_levels():
        pytest.skip("this machine has tiles")
    with pytest.raises(EngineError, match="path") as caught:
        Program(lowbit_mlp((65, 33, 10), 3, 2), path=path)
    assert caught.value.found == path
    assert caught.value.expected
    assert caught.value.remedy


def test_costs_of_a_file_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = lowbit_mlp((65, 33, 10), 1, 1), lowbit_convnet((32, 5, 5), (), 2, 2, classes=3)
    for path, word in (("popcount", "byte"), ("dot", "plane")):
        file = tmp_path / path
        file.write_text("".join(of(path, "portable")))
        monkeypatch.setenv("LOWBIT_COSTS", str(file))
        for graph in graphs:
            assert {name.split("_")[0] for name in operations(graph, kernels="portable")} == {word}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "lowbit costs 2\n",
        of("popcount", "nowhere"),
        of("nothing", "portable"),
        of("dot", "portable") + of("dot", "portable").partition("\n")[2],
        *(
            f"lowbit costs 1\ndot portable {numbers}\n"
            for numbers in ("1 1", "0 1 0", "nan 1 0", "-1 1 0", "1 1 0 5")
        ),
        "lowbit costs 1\ndot portable 1e3 1 0\n",
        "lowbit costs 1\n" + "#" * 70_000,
    ],
)
def test_costs_that_are_none_are_refused(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "costs"
    file.write_text(content)
    monkeypatch.setenv("LOWBIT_COSTS", str(file))
    with pytest.raises(FileError, match="costs") as caught:
        Program(lowbit_mlp((65, 33, 10), 1, 1))
    assert str(file) in caught.value.where


def test_a_file_of_costs_that_is_missing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_COSTS", str(tmp_path / "none"))
    with pytest.raises(FileError, match="costs"):
        Program(lowbit_mlp((65, 33, 10), 1, 1))
