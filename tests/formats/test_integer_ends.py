"""Networks of TensorFlow Lite that take and give integers: samples mean what LiteRT makes of them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import lowbit
from lowbit.api import load_samples
from lowbit.backends.litert import interpreter as interpreter_of
from lowbit.bench.litert_int8 import Convolution, Dense, Layer, MaxPool, _Builder, int8_tflite
from lowbit.errors import DataError
from lowbit.formats.circle.schema import FullyConnectedOptions
from lowbit.ir.input_type import InputType
from lowbit.scores import score

Floats = npt.NDArray[np.float32]

RANGES = [(0.0, 1.0), (-1.0, 1.0), (-0.3, 1.7), (-5.0, 0.0), (-0.01, 0.09), (0.0, 255.0), (-117.0, 138.0)]
COUNT = 120


def chain(random: np.random.Generator, *, maps: bool) -> tuple[list[Layer], tuple[int, ...]]:
    def weights(*shape: int) -> Floats:
        return random.standard_normal(shape).astype(np.float32)

    if not maps:
        return [Dense(weights(24, 12), weights(24) / 9, "RELU"), Dense(weights(7, 24), weights(7) / 9)], (12,)
    layers = [Convolution(weights(8, 3, 3, 3), weights(8) / 9, "RELU"), MaxPool(2)]
    return [*layers, Dense(weights(7, 8 * 4 * 3), weights(7) / 9)], (8, 6, 3)


def litert(path: Path, samples: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return what LiteRT says, in the type of its output."""
    pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = interpreter_of(path.read_bytes())
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for sample in samples:
        interpreter.set_tensor(source["index"], sample[None].astype(source["dtype"], casting="safe"))
        interpreter.invoke()
        found.append(interpreter.get_tensor(target["index"])[0])
    return np.stack(found)


@pytest.mark.parametrize("maps", [False, True], ids=["rows", "maps"])
@pytest.mark.parametrize("ends", ["int8", "uint8"])
@pytest.mark.parametrize("limits", RANGES, ids=str)
def test_classes_are_litert_s(limits: tuple[float, float], ends: str, maps: bool, tmp_path: Path) -> None:
    random = np.random.default_rng([int(100 * abs(limit)) for limit in limits])
    layers, shape = chain(random, maps=maps)
    assert isinstance(layers[0], Dense)
    layers[0].bias[:] *= limits[1] - limits[0]  # else it alone decides where the samples are small
    layers[-1].bias[:] *= limits[1] - limits[0]  # type: ignore[union-attr]
    reals = random.uniform(*limits, (COUNT, *shape)).astype(np.float32)
    path = tmp_path / "net.tflite"
    path.write_bytes(int8_tflite(layers, reals, ends=ends))
    kind = InputType.of(lowbit.read(path))
    assert kind is not None and kind.dtype == ends and kind.scale is not None
    own = np.clip(np.rint(reals / kind.scale) + kind.zero_point, *kind.range).astype(ends)
    labels = litert(path, own).argmax(axis=1)
    assert len(set(labels)) > 1
    moved, name = (128, "uint8") if ends == "int8" else (-128, "int8")
    for samples in (own, (own.astype(np.int16) + moved).astype(name), reals, reals.astype(np.float64)):
        for backend in ("reference", "auto"):
            found = lowbit.evaluate(path, (samples, labels), backend=backend)
            assert found["top1"] == 1, (samples.dtype, backend)
    for wide in ("int16", "int32", "int64"):
        with pytest.raises(DataError, match="codes of 8 bits"):
            lowbit.evaluate(path, (own.astype(wide), labels))


@pytest.mark.parametrize("ends", ["int8", "uint8"])
def test_outputs_are_decoded_by_their_own_scale(ends: str, tmp_path: Path) -> None:
    layers, shape = chain(np.random.default_rng(5), maps=False)
    reals = np.random.default_rng(6).uniform(-0.3, 1.7, (40, *shape)).astype(np.float32)
    (tmp_path / "a.tflite").write_bytes(int8_tflite(layers, reals, ends=ends))
    (tmp_path / "b.tflite").write_bytes(int8_tflite(layers, reals))
    graphs = [lowbit.read(tmp_path / name) for name in ("a.tflite", "b.tflite")]
    found = [score(graph, reals).values for graph in graphs]
    np.testing.assert_array_equal(*found)
    for suffix in (".circle", ".onnx", ".txt"):
        lowbit.write(graphs[0], tmp_path / f"again{suffix}")
        again = lowbit.read(tmp_path / f"again{suffix}")
        assert InputType.of(again) == InputType.of(graphs[0])
        np.testing.assert_array_equal(score(again, reals).values, found[0])


@pytest.mark.parametrize("maps", [False, True], ids=["rows", "maps"])
@pytest.mark.parametrize("ends", ["int8", "uint8", "float32"])
def test_reals_beyond_the_codes_are_counted(ends: str, maps: bool, tmp_path: Path) -> None:
    layers, shape = chain(np.random.default_rng(5), maps=maps)
    reals = np.random.default_rng(6).uniform(-0.3, 1.7, (40, *shape)).astype(np.float32)
    (tmp_path / "net.tflite").write_bytes(int8_tflite(layers, reals, ends=ends))
    graph, far = lowbit.read(tmp_path / "net.tflite"), reals.reshape(40, -1).copy()
    assert load_samples(graph, reals).outside == 0
    far[3, 4], far[7, 1], far[9, 0] = 100, -100, 1.75
    found = load_samples(graph, far.reshape(reals.shape))
    assert found.outside == 3
    assert any(f"3 of {far.size} values are outside -0." in note for note in found.notes)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_a_cast_of_the_input(dtype: str, tmp_path: Path) -> None:
    """A float network that casts its own input, as converters write it where pixels are scaled inside."""
    random = np.random.default_rng(3)
    weights, bias = (
        random.standard_normal((5, 12)).astype(np.float32),
        random.standard_normal(5).astype(np.float32),
    )
    builder = _Builder()
    first = builder.tensor("pixels", (1, 12), dtype)
    real = builder.tensor("real", (1, 12), "float32")
    last = builder.tensor("scores", (1, 5), "float32")
    builder.operator("CAST", (first,), (real,))
    constants = (builder.constant("w", weights), builder.constant("b", bias))
    builder.operator("FULLY_CONNECTED", (real, *constants), (last,), FullyConnectedOptions())
    (tmp_path / "net.tflite").write_bytes(builder.file(first, last))
    limits = np.iinfo(dtype)
    own = random.integers(max(limits.min, -300), min(limits.max, 300), (COUNT, 12), endpoint=True).astype(
        dtype
    )
    graph = lowbit.read(tmp_path / "net.tflite")
    assert InputType.of(graph) == InputType(dtype)
    wanted = litert(tmp_path / "net.tflite", own)
    for samples in (own, own.astype(np.float32), own.astype(np.int64)):
        taken = load_samples(graph, samples)
        assert not taken.outside
        np.testing.assert_allclose(score(graph, taken.samples).values, wanted, rtol=1e-4, atol=1e-2)
    with pytest.raises(DataError, match="fractions"):
        lowbit.evaluate(graph, (own / 255, wanted.argmax(axis=1)))
