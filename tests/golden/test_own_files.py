"""Files that lowbit 0.1 wrote load for ever, and give the integers that they gave then."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lowbit.backends.onnxruntime import session
from lowbit.engine import Program, kernel_levels
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, evaluate

HERE = Path(__file__).parent / "lowbit-0.1"
FILES = sorted(path for suffix in ("circle", "onnx", "txt") for path in HERE.glob(f"*.{suffix}"))
TEXTS = [path for path in FILES if path.suffix == ".txt"]
MODELS = [path for path in FILES if path.suffix == ".onnx"]
# Files of int8 have the format's own operators.
WRITTEN = [path for path in FILES if path.suffix != ".circle" or "affine8" not in path.stem]
RECIPES = sorted((HERE / "recipes").glob("*.toml"))

Arrays = dict[str, npt.NDArray[Any]]


def recorded(path: Path) -> Arrays:
    with np.load(path.with_suffix(".npz")) as arrays:
        return dict(arrays)


def differences(graph: Graph, found: Arrays, wanted: Arrays) -> list[str]:
    """Return the values of codes whose integer levels differ; two codes may have one level."""
    return [
        name for name in codes_of(graph, wanted) if name in found and not _equal(graph, name, found, wanted)
    ]


def _equal(graph: Graph, name: str, found: Arrays, wanted: Arrays) -> bool:
    encoding = graph.value(name).encoding
    assert encoding is not None
    levels = encoding.integer_levels()[0]
    return np.array_equal(levels[found[name]], levels[wanted[name]])


def codes_of(graph: Graph, wanted: Arrays) -> list[str]:
    return [name for name in wanted if name in graph.values and graph.value(name).encoding is not None]


def output_of(graph: Graph, wanted: Arrays) -> npt.NDArray[Any]:
    (output,) = graph.outputs
    return wanted[output]


def test_the_files_are_there() -> None:
    assert len(FILES) == 167
    assert len(RECIPES) == 6


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_reference_gives_what_it_gave(path: Path) -> None:
    graph, wanted, found = read_model(path), recorded(path), {}
    result = evaluate(graph, {graph.inputs[0]: wanted["x"]}, lambda name, value: found.update({name: value}))
    assert codes_of(graph, wanted) or "weight-only" in path.name
    assert not differences(graph, found, wanted)
    compare = np.testing.assert_allclose if "weight-only" in path.name else np.testing.assert_array_equal
    compare(result[graph.outputs[0]], output_of(graph, wanted))


@pytest.mark.parametrize("level", kernel_levels())
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_the_engine_gives_what_the_reference_gave(path: Path, level: str) -> None:
    graph, wanted = read_model(path), recorded(path)
    program = Program(graph, kernels=level)
    found = program.trace(wanted["x"])
    assert not differences(graph, found, wanted)
    y, expected = program.run(wanted["x"]), output_of(graph, wanted)
    if "weight-only" in path.name:
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_onnx_runtime_gives_what_the_reference_gave(path: Path) -> None:
    onnx, _ = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model, wanted = onnx.load(path), recorded(path)
    made = {name for node in model.graph.node for name in node.output}
    (output,) = (value.name for value in model.graph.output)
    graph = read_model(path)
    names = [name for name in codes_of(graph, wanted) if name in made and name != output]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    y, *codes = session(model).run([output, *names], {model.graph.input[0].name: wanted["x"]})
    assert not differences(graph, dict(zip(names, codes, strict=True)), wanted)
    np.testing.assert_allclose(y, wanted[output], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_what_had_a_name_is_written_as_it_was(path: Path, tmp_path: Path) -> None:
    """Byte for byte, so that older readers take it."""
    write_model(read_model(path.with_suffix(".txt")), tmp_path / path.name)
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_say_what_they_said(path: Path) -> None:
    pytest.importorskip("torch")
    from lowbit.train.recipe import Recipe

    recipe = Recipe.read(path)
    found = {**recipe.to_dict(), "scheme": recipe.scheme}
    for name, value in json.loads((HERE / "recipes" / "settings.json").read_text())[path.stem].items():
        if isinstance(value, dict) and name != "plan":
            assert value.items() <= found[name].items(), name
        else:
            assert found[name] == value, name


@pytest.mark.parametrize("level", kernel_levels())
def test_a_difference_is_seen(level: str) -> None:
    path = HERE / "linear-lq2.txt"
    graph, wanted = read_model(path), recorded(path)
    found = Program(graph, kernels=level).trace(wanted["x"])
    name = codes_of(graph, wanted)[-1]
    found[name] = found[name] ^ np.uint8(1)
    assert differences(graph, found, wanted) == [name]
