"""Predictions of networks of every input: integers, codes, channels last; from photographs and from data."""

from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit import api
from lowbit.errors import DataError, NumericError
from lowbit.ir.input_type import InputType
from lowbit.scores import probabilities
from tests.data.test_conventions import CODED, network

image = pytest.importorskip("PIL.Image")
KINDS = [None, InputType("uint8"), InputType("int32"), *CODED[::3]]
SHAPES = [(3, 6, 5), (6, 5, 3), (6, 5), (1, 6, 5)]


def pixels(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, shape).astype(np.uint8)


def level(shown: np.ndarray, kind: InputType | None) -> np.ndarray:
    """Return what a network takes for pixels: themselves where it counts, else reals in [0, 1]."""
    counts = kind is not None and kind.scale is None
    return shown.astype(np.float32) if counts else shown.astype(np.float32) / 255


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_photographs(shape: tuple[int, ...], kind: InputType | None, tmp_path: Path) -> None:
    graph = network(shape, kind)
    lowbit.write(graph, tmp_path / "net.txt")
    colours = 3 in shape
    shown = pixels((6, 5, 3) if colours else (6, 5))
    image.fromarray(shown).save(tmp_path / "a.png")
    found = api.predict(tmp_path / "net.txt", picture=tmp_path / "a.png")
    taken = shown.transpose(2, 0, 1) if shape == (3, 6, 5) else shown
    x = level(taken.reshape(1, -1), kind)
    wanted = probabilities(x @ graph.constant("w").T + graph.constant("b"))[0]
    np.testing.assert_allclose(found.probabilities, wanted, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(found.sample.picture, shown)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_data(kind: InputType | None, tmp_path: Path) -> None:
    graph = network((6, 5), kind)
    lowbit.write(graph, tmp_path / "net.txt")
    shown = pixels((9, 6, 5))
    np.savez(tmp_path / "a.npz", x=level(shown, kind), y=np.arange(9) % 3)
    found = api.predict(tmp_path / "net.txt", data=str(tmp_path / "a.npz"), index=4)
    x = level(shown[4].reshape(1, -1), kind)
    wanted = probabilities(x @ graph.constant("w").T + graph.constant("b"))[0]
    np.testing.assert_allclose(found.probabilities, wanted, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(found.sample.picture, shown[4])
    assert found.sample.label == 1 and found.to_dict()["outside"] == found.sample.outside


def test_what_does_not_fit(tmp_path: Path) -> None:
    lowbit.write(network((6, 5)), tmp_path / "net.txt")
    bad = np.full((3, 6, 5), np.nan, np.float32)
    for name, array, error in (("nan", bad, NumericError), ("shape", np.zeros((3, 6, 4)), DataError)):
        np.savez(tmp_path / f"{name}.npz", x=array)
        with pytest.raises(error, match="sample"):
            api.predict(tmp_path / "net.txt", data=str(tmp_path / f"{name}.npz"))


@pytest.mark.parametrize("index", [-1, 3, 10**30, 1.5, "1", None])
def test_samples_that_are_not_there(index: int, tmp_path: Path) -> None:
    lowbit.write(network((6, 5)), tmp_path / "net.txt")
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 6, 5)))
    with pytest.raises(DataError, match="sample"):
        api.predict(tmp_path / "net.txt", data=str(tmp_path / "a.npz"), index=index)
