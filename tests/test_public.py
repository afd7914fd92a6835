"""The public surface: the list, its lightness, its layers."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

import lowbit
from lowbit.errors import PlanError, UsageError

HEAVY = ("torch", "onnx", "h5py", "sklearn", "scipy", "onnxruntime", "typer", "rich", "numpy")


def test_every_public_name_exists_and_is_listed() -> None:
    for name in lowbit.__all__:
        assert getattr(lowbit, name) is not None
    assert dir(lowbit) == sorted(lowbit.__all__)


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
