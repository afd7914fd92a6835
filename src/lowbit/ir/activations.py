"""Monotone activations that a layer can apply before its output is coded.

Because ``f`` is monotone, coding ``f(a)`` by thresholds ``t_c`` is coding ``a`` by

    u_c = the largest float32 a with f(a) <= t_c

so a hidden layer needs neither ``f`` nor a float: `preimage_thresholds` finds ``u_c`` once, when the
plan is fixed, and files store it, so that no mathematics library decides a tie.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.schemes.encoding import Codes, Encoding

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Truths = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Activation:
    """A row: all that anybody has to know of an activation of layers.

    Attributes:
        function: in float64, non-decreasing.
        operator: the operator of the graph that computes it.
        bounds: what is clipped at, where that operator is a Clip.
        limits: what it comes near on either side and never reaches, where there are such numbers.
            8-bit affine codes of it range from one to the other (the convention of LiteRT).
    """

    function: Callable[[Floats], Floats]
    operator: str
    bounds: tuple[float, float] | None = None
    limits: tuple[float, float] | None = None

    @property
    def clip(self) -> tuple[float, float] | None:
        """The ends between which it changes nothing, where all beyond them becomes the end; else None.

        So rounded codes of it are rounded codes that saturate (`saturation`).
        """
        return (0.0, np.inf) if self.operator == "Relu" else self.bounds


def _sigmoid(a: Floats) -> Floats:
    # Written with tanh so that neither tail overflows.
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * a))


ACTIVATIONS: dict[str, Activation] = {
    "none": Activation(lambda a: a, "Identity"),
    "relu": Activation(lambda a: np.maximum(a, 0.0), "Relu"),
    "relu6": Activation(lambda a: np.clip(a, 0.0, 6.0), "Clip", bounds=(0.0, 6.0)),
    "hardtanh": Activation(lambda a: np.clip(a, -1.0, 1.0), "Clip", bounds=(-1.0, 1.0)),
    "tanh": Activation(lambda a: np.asarray(np.tanh(a)), "Tanh", limits=(-1.0, 1.0)),
    "sigmoid": Activation(_sigmoid, "Sigmoid", limits=(0.0, 1.0)),
    "softplus": Activation(lambda a: np.asarray(np.logaddexp(0.0, a)), "Softplus"),
}


def own_operators() -> dict[str, str]:
    """Return the activations that are an operator of their own, by operator: they map codes to codes too."""
    rows = ((name, row) for name, row in ACTIVATIONS.items() if name != "none")
    return {row.operator: name for name, row in rows if row.bounds is None}


def activation_named(operator: str, bounds: tuple[float, ...] | None = None) -> str | None:
    """Return the activation that an operator with these bounds is; None where layers have no such one."""
    found = (name for name, row in ACTIVATIONS.items() if (row.operator, row.bounds) == (operator, bounds))
    return next((name for name in found if name != "none"), None)


def apply_activation(name: str, values: npt.ArrayLike) -> Floats:
    """Return ``f(values)`` in float64."""
    return ACTIVATIONS[name].function(np.asarray(values, np.float64))


def saturation(encoding: Encoding, name: str) -> tuple[int, int]:
    """Return the least and the largest level that f leaves of an encoding that rounds, in units of its scale.

    A value that is rounded and then kept between them is f(value) rounded: both are non-decreasing, and the
    ends are rounded as well.

    Args:
        encoding: one that rounds.
        name: a key of `ACTIVATIONS`: of one that clips, or `none`.
    """
    levels, ends = encoding.integer_levels()[0], ACTIVATIONS[name].clip
    if ends is None:
        return int(levels.min()), int(levels.max())
    low, high = levels[encoding.encode(np.array(ends)).astype(np.intp)]
    return int(low), int(high)


def function_table(encoding: Encoding, name: str) -> Codes:
    """Return the code of f(level) for every code: float64, so one rounding; what hardware tabulates.

    Args:
        encoding: of the values before and after.
        name: a key of `ACTIVATIONS`.
    """
    return encoding.encode(apply_activation(name, encoding.levels()[0]))


def tabulated(encoding: Encoding, table: npt.ArrayLike) -> str | None:
    """Return the function whose `function_table` a table of codes is, or None."""
    same = (name for name in ACTIVATIONS if np.array_equal(table, function_table(encoding, name)))
    return next(same, None)


def real_output(exact: npt.ArrayLike, activation: str) -> Floats32:
    """Return ``float32(f(float32(exact)))``: how a layer ends whose output is real."""
    return apply_activation(activation, np.asarray(exact).astype(np.float32)).astype(np.float32)


def preimage_thresholds(thresholds: npt.ArrayLike, activation: str) -> Floats32:
    """Return ``u_c``, the largest float32 with ``f(u_c) <= t_c``, for every threshold.

    Bisection over the ordered float32 numbers, so it is exact for any non-decreasing ``f``. Where
    ``f`` stays above ``t_c`` everywhere the result is the lowest float32, where it stays below, the
    highest.

    Args:
        thresholds: float32, any shape.
        activation: a key of `ACTIVATIONS`.
    """
    wanted = np.asarray(thresholds, np.float32).astype(np.float64)
    return largest_float32_where(lambda reals: apply_activation(activation, reals) <= wanted, wanted.shape)


def largest_float32_where(holds: Callable[[Floats32], Truths], shape: tuple[int, ...]) -> Floats32:
    """Return the largest float32 for which something holds that holds for every smaller one.

    Args:
        holds: of an array of that shape, element by element.
        shape: of the result.

    Returns:
        The lowest float32 where it never holds, the highest where it always does.
    """
    limit = _order(np.array(np.finfo(np.float32).max, np.float32))
    low, high = np.full(shape, -limit), np.full(shape, limit + 1)
    while (high - low > 1).any():  # invariant: it holds for low, or low is the lowest; not for high
        middle = (low + high) // 2
        true = holds(_from_order(middle))
        low, high = np.where(true, middle, low), np.where(true, high, middle)
    return _from_order(low)


def _order(values: Floats32) -> npt.NDArray[np.int64]:
    """Return integers in the order of the floats: neighbours differ by one."""
    bits = values.view(np.int32).astype(np.int64)
    return np.asarray(np.where(bits < 0, -(bits & 0x7FFFFFFF), bits))


def _from_order(order: npt.NDArray[np.int64]) -> Floats32:
    """Return the floats of `_order`."""
    magnitude = np.abs(order).astype(np.uint32).view(np.float32)
    return np.asarray(np.where(order < 0, -magnitude, magnitude), np.float32)
