"""The public surface: the list, its lightness, its layers."""

import json
import subprocess
import sys

import lowbit

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
