"""The public surface: the list, its lightness, its layers."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.errors import PlanError, UsageError
from lowbit.zoo.trained import trained

HEAVY = ("torch", "onnx", "h5py", "sklearn", "scipy", "onnxruntime", "typer", "rich", "numpy")


def test_every_public_name_exists_and_is_listed() -> None:
    for name in lowbit.__all__:
        assert getattr(lowbit, name) is not None
    assert dir(lowbit) == sorted(lowbit.__all__)


SURFACE = [
    "Graph",
    "Plan",
    "__version__",
    "analyze",
    "compare_speed",
    "evaluate",
    "hardware",
    "inspect",
    "load",
    "plan_ahead",
    "predict",
    "pretrained",
    "quantize",
    "read",
    "try_settings",
    "verify",
    "write",
    "write_report",
]
"""What somebody may have written into a program: a name that goes away is announced a version before."""


def test_the_surface_is_what_it_was() -> None:
    assert lowbit.__all__ == SURFACE


@pytest.mark.parametrize("name", [name for name in SURFACE if name[0].islower()])
def test_a_name_is_one_thing_whatever_was_imported(name: str) -> None:
    """No package has the name of a call, so that no import of it takes its place."""
    assert find_spec(f"lowbit.{name}") is None and callable(getattr(lowbit, name))


def test_measuring_calls_do_what_commands_do(tmp_path: Path) -> None:
    net = tmp_path / "net.circle"
    lowbit.write(lowbit.pretrained("mnist-mlp-1bit"), net)
    x = np.random.default_rng(3).random((5, 1, 28, 28), np.float32)
    assert [row.held.layer for row in lowbit.analyze(net, data=x)]
    assert lowbit.verify(net, x, backends=["engine:portable"]).equal
    assert lowbit.inspect(net)["bytes"] == net.stat().st_size
    with pytest.raises(UsageError, match="nothing to try"):
        lowbit.try_settings(net, "digits", weights=[])
    found = lowbit.try_settings(trained("digits"), "digits", weights=["lq:1"], samples=64, limit=50)
    assert len(found.rows) == 1 and found.rows[0].top1 > 0.5
    page = tmp_path / "page.html"
    lowbit.write_report(net, x, page, labels=False)
    assert page.read_text().startswith("<!")


def test_unknown_names_are_attribute_errors() -> None:
    try:
        lowbit.quantise  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError as error:
        assert "quantise" in str(error)
    else:
        raise AssertionError("no error")


def test_import_is_light() -> None:
    code = "import json, sys, lowbit; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert not set(HEAVY) & set(loaded)


def in_memory() -> list[tuple[object, str]]:
    """Return what is no path, and a word of what the refusal says."""
    found: list[tuple[object, str]] = [
        (None, "to a file"),
        (7, "to a file"),
        ({"a": 1}, "to a file"),
        (open, "to a file"),
        (lowbit.Graph("g", (), ()), "as it is"),
    ]
    if find_spec("torch"):
        import torch

        found += [(torch.nn.Linear(2, 2), "example"), (torch.nn.Sequential(), "example")]
    return found


def test_what_is_no_network_is_refused_with_the_way() -> None:
    for model, way in in_memory():
        with pytest.raises(UsageError, match=way):
            lowbit.read(model)
        if not isinstance(model, lowbit.Graph):
            with pytest.raises(UsageError):
                lowbit.quantize(model, bits=2)
            with pytest.raises(UsageError):
                lowbit.load(model)
            with pytest.raises(UsageError, match="small, report"):
                lowbit.write(model, "x.circle")  # type: ignore[arg-type]


def test_what_is_no_path_or_plan_is_refused_by_name() -> None:
    graph = lowbit.Graph("g", (), ())
    for path in (None, 7, [], b"net.circle"):
        with pytest.raises(UsageError, match="no path"):
            lowbit.write(graph, path)  # type: ignore[arg-type]
    for plan in ({"bits": 2}, 2, "plan.toml"):
        with pytest.raises(PlanError, match="no plan"):
            lowbit.quantize(graph, [[0.0]], plan=plan)  # type: ignore[arg-type]
