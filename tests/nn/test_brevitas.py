"""A Brevitas layer and ours with the same parameters give the same codes and outputs."""

import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from lowbit.nn import Conv2d, Linear  # noqa: E402
from tests.formats.interop import python_with  # noqa: E402

Floats = npt.NDArray[np.float32]
WEIGHTS = np.random.default_rng(0).normal(size=(5, 4, 3, 3)).astype(np.float32)
INPUTS = np.random.default_rng(1).normal(size=(3, 4, 7, 7)).astype(np.float32)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Floats]:
    folder = tmp_path_factory.mktemp("brevitas")
    np.savez(folder / "in.npz", weight=WEIGHTS, x=INPUTS)
    child = Path(__file__).with_name("brevitas_child.py")
    words = [python_with("brevitas"), str(child), str(folder / "in.npz"), str(folder / "out.npz")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "out.npz"))


def ours(weight: str, activation: str, **settings: str) -> Conv2d:
    layer = Conv2d(4, 5, 3, padding=1, bias=False, weight=weight, activation=activation, **settings)
    layer.weight.data = torch.from_numpy(WEIGHTS.copy())
    return layer.eval()


def compare(
    layer: Conv2d | Linear, x: Floats, found: dict[str, Floats], kind: str, scale: float = 1.0
) -> None:
    """Compare levels, codes by way of them, and what the layer gives."""
    reads, tensor = layer.input_quantizer, torch.from_numpy(x)
    with torch.no_grad():
        weight = layer.weight_quantizer.levels(layer.weight).numpy()
        levels = reads.levels(tensor, reads.encoding()).numpy()
        output = layer(tensor).numpy()
    unit = found[f"{kind}_weight_scale"].reshape(-1, *[1] * (weight.ndim - 1))
    np.testing.assert_array_equal(np.rint(weight * scale / unit), np.rint(found[f"{kind}_weight"] / unit))
    step = found[f"{kind}_input_scale"]
    np.testing.assert_array_equal(np.rint(levels / step), np.rint(found[f"{kind}_input"] / step))
    wanted = found[f"{kind}_output"]
    np.testing.assert_allclose(output * scale, wanted, atol=1e-5 * np.abs(wanted).max())


def test_binary(theirs: dict[str, Floats]) -> None:
    layer = ours("binary", "binary", weight_gradient="clip", scale="one")
    compare(layer, INPUTS, theirs, "binary", scale=float(theirs["binary_weight_scale"][0]))


def test_affine(theirs: dict[str, Floats]) -> None:
    layer = ours("affine:4", "affine:8")
    for quantizer, name in ((layer.weight_quantizer, "weight"), (layer.input_quantizer, "input")):
        quantizer.start = torch.from_numpy(np.log2(theirs[f"affine_{name}_scale"]))
        quantizer.ready.fill_(True)
    compare(layer, np.abs(INPUTS), theirs, "affine")


def test_fixed_point(theirs: dict[str, Floats]) -> None:
    scales = [float(theirs[f"fixed_{name}_scale"][0]) for name in ("weight", "input")]
    forms = [f"fixed:{8 + int(np.log2(scale))}.{-int(np.log2(scale))}" for scale in scales]
    rows = WEIGHTS.reshape(5, -1)
    layer = Linear(rows.shape[1], rows.shape[0], bias=False, weight=forms[0], activation=forms[1])
    layer.weight.data = torch.from_numpy(rows.copy())
    compare(layer.eval(), INPUTS[:, :, :3, :3].reshape(3, -1), theirs, "fixed")
