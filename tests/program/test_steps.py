"""Steps are declared once in Python and once in C++, alike."""

from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from lowbit.engine import _core
from lowbit.errors import EngineError
from lowbit.ir.window import Axis
from lowbit.program import steps

Fields = dict[str, dict[str, str]]


def of_python() -> Fields:
    """Return the fields of every step, and of its parts, as the core would say them."""
    shared = (steps.Step, steps.AlongAxis)
    kinds = [kind for one in (*shared, steps.Constants) for kind in one.__subclasses__()]
    own = [kind for kind in kinds if kind.__module__ == steps.__name__]  # a back end may make others of them
    declared = {kind.__name__: fields_of(kind) for kind in own if kind not in shared}
    extent = fields_of(Axis)
    extent.pop("extent")  # that of the step's input
    return {**declared, "Axis": extent}


def fields_of(kind: type) -> dict[str, str]:
    hints = get_type_hints(kind)
    return {name: text(hint) for name, hint in hints.items() if name != "sources"}


def text(hint: Any) -> str:
    if get_origin(hint) is np.ndarray:
        return str(np.dtype(get_args(get_args(hint)[1])[0]))
    if isinstance(hint, UnionType):
        return " | ".join(kind.__name__ for kind in get_args(hint))
    if get_origin(hint) is Literal:
        return " | ".join(get_args(hint))
    return str(hint.__name__)


def differences(python: Fields, core: Fields) -> list[str]:
    """Return what one side declares and the other does not, or otherwise."""
    found = []
    for name in python.keys() | core.keys():
        here, there = python.get(name, {"": "missing"}), core.get(name, {"": "missing"})
        if list(here.items()) != list(there.items()):
            found.append(f"{name}: {here} in Python, {there} in C++")
    return found


def test_python_and_the_core_declare_the_same_steps() -> None:
    assert differences(of_python(), _core.step_fields()) == []


def test_a_step_a_field_an_order_or_a_type_of_one_side_is_found() -> None:
    whole = _core.step_fields()
    clip = whole["Clip"]
    for changed in (
        {"Clop": clip},
        {"Clip": {**clip, "middle": "float"}},
        {"Clip": {"low": "float"}},
        {"Clip": dict(reversed(clip.items()))},
        {"Clip": {**clip, "low": "int"}},
    ):
        (found,) = differences({**whole, **changed}, whole)
        assert found.startswith(next(iter(changed)))
        (found,) = differences(whole, {**whole, **changed})


@pytest.mark.parametrize(
    ("step", "where", "expected"),
    [
        (steps.Decode(np.zeros(256, np.float64), sources=(0,)), "Decode.table", "float32"),  # type: ignore[arg-type]
        (steps.Decode(np.zeros((2, 2), np.float32), sources=(0,)), "Decode.table", "one axis"),
        (steps.Activate("cubic", sources=(0,)), "Activate.function", "tanh | sigmoid"),  # type: ignore[arg-type]
        (steps.Clip("low", 1.0, sources=(0,)), "Clip.low", "float"),  # type: ignore[arg-type]
        (steps.Softmax(1, 3, 1, False, sources=("x",)), "Softmax.sources", "numbers"),  # type: ignore[arg-type]
        (steps.Step(sources=(0,)), "Step", "Softmax"),
        (steps.Softmax(1, 3, 1, False, sources=(7,)), "value", "exists"),
        (steps.Softmax(1, 3, 1, False, sources=(0, 0)), "y", "one value"),
    ],
)
def test_the_core_refuses_other_fields_by_name(step: steps.Step, where: str, expected: str) -> None:
    loader = _core.Loader([3])
    with pytest.raises(EngineError) as caught:
        loader.add(step, "y")
        loader.finish([1], [("x", [1, 3]), ("y", [1, 3])])
    assert caught.value.where == where and expected in caught.value.expected


def test_arrays_are_made_dense_and_counted() -> None:
    ending = steps.RealEnding(np.arange(6.0)[::2], np.zeros(3))
    weights = steps.ByteWeights(np.ones((4, 3), np.int8).T, np.zeros(3, np.int32), np.zeros((0,), np.int32))
    step = steps.ByteFullyConnected(weights, ending)
    assert ending.scale.flags.c_contiguous and weights.weights.flags.c_contiguous
    assert step.nbytes == 3 * 8 * 2 + 12 + 3 * 4
