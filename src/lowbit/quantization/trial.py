"""How long fitting takes here: small parts of it, timed, and straight lines through what they took.

Fits are tried on few rows and inputs, without random starts and with some; each of these adds as much. So
nothing has to be known of a scheme, and the machine is the one that calibrates.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from lowbit.calibrate import Histogram
from lowbit.quantization.activations import encode_activation
from lowbit.quantization.plan import Plan
from lowbit.quantization.weights import nearest, restored
from lowbit.schemes.encoding import Encoding
from lowbit.schemes.fitting import Problem

Array = npt.NDArray[np.float64]
Shape = tuple[int, int]
"""Rows and inputs of weights."""

_FEW, _ROWS, _INPUTS = 8, 64, 256
"""Rows and inputs that are tried at most, and rows between one and these."""

_STARTS, _TIMES = 2, 2
"""Random starts that are tried, and how often; what is imported is not timed."""

_VALUES = 1 << 17
"""Of an activation."""


@dataclass(frozen=True)
class FitTime:
    """Seconds of fitting weights by rows and inputs, between what was tried and beyond.

    Attributes:
        rows, inputs: that were tried, ascending.
        seconds: what they took.
    """

    rows: Sequence[int]
    inputs: Sequence[int]
    seconds: Array

    def of(self, shape: Shape) -> float:
        """Return the seconds of weights of a shape."""
        by_rows = [_along(self.inputs, line, shape[1]) for line in self.seconds]
        return max(_along(self.rows, by_rows, shape[0]), 0.0)


@dataclass(frozen=True)
class ActivationTime:
    """Seconds of fitting an encoding, and of coding a value and decoding it."""

    encoding: float
    coding: float


def weights_time(plan: Plan, shapes: Sequence[Shape]) -> FitTime:
    """Return how long weights of such shapes take by a plan, restored where it does that."""
    all_rows, all_inputs = (sorted(each) for each in zip(*shapes, strict=True))
    few, most = min(all_rows[0], _ROWS), min(all_rows[-1], _ROWS)
    rows = sorted({few, min(_FEW, most) if few < _FEW // 2 else most, most})
    inputs = sorted({min(width, _INPUTS) for width in (all_inputs[0], all_inputs[-1])})
    seconds = [[_with_starts(plan, _fit((m, n), plan)) for n in inputs] for m in rows]
    return FitTime(rows, inputs, np.array(seconds))


def activation_time(plan: Plan, values: npt.NDArray[np.generic], *, exact: bool) -> ActivationTime:
    """Return how long an activation takes.

    Args:
        plan: of the layer that reads it.
        values: some of it.
        exact: whether they arrive as they should; else they have an error such as codes have, which is what
            a network has behind layers of codes, and what ends searches early.
    """
    flat, histogram = values.reshape(-1)[:_VALUES].astype(np.float32), Histogram()
    histogram.update(flat)
    if not flat.size or histogram.minimum == histogram.maximum:
        return ActivationTime(0.0, 0.0)
    found, coded = list[Encoding](), list[npt.NDArray[np.float32]]()
    # What is imported is not timed.
    seconds_of(lambda: found.append(encode_activation(histogram, replace(plan, restarts=0))))
    coding = seconds_of(lambda: coded.append(found[0].decode(found[0].encode(flat[None]))[0])) / len(flat)
    if not exact:
        error, histogram = np.random.default_rng(0).permutation(coded[0] - flat), Histogram()
        histogram.update(flat + error, flat)
    return ActivationTime(seconds_of(lambda: encode_activation(histogram, plan)), coding)


def looking_time(values: npt.NDArray[np.generic]) -> float:
    """Return the seconds of counting a value of an activation, of which these are some."""
    flat = values.reshape(-1)[:_VALUES]
    return seconds_of(lambda: Histogram().update(flat)) / max(len(flat), 1)


def seconds_of(call: Callable[[], object]) -> float:
    """Return the processor's seconds of a call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def _with_starts(plan: Plan, fit: Callable[[Plan], object]) -> float:
    """Return the seconds of a fit with the plan's random starts, of which a few are made."""
    few = min(_STARTS, plan.restarts)
    calls = (partial(fit, replace(plan, restarts=count)) for count in (0, few))
    none, some = (min(seconds_of(call) for _ in range(_TIMES)) for call in calls)
    return none + plan.restarts / max(few, 1) * max(some - none, 0.0)


def _fit(shape: Shape, plan: Plan) -> Callable[[Plan], object]:
    """Return what fits weights of a shape by a plan."""
    random = np.random.default_rng(0)
    weights = random.normal(size=shape)
    if not plan.restores:
        return partial(nearest, weights)
    inputs = random.normal(size=(2 * shape[1], shape[1]))
    covariance = inputs.T @ inputs
    cross = covariance @ weights.T
    return partial(restored, Problem.of(covariance, cross, weights, plan.damping))


def _along(points: Sequence[int], values: Sequence[float] | Array, at: int) -> float:
    """Return what lies on the straight lines through points, and on the last of them behind it."""
    if len(points) == 1:
        return float(values[0])
    last = min(max(bisect_left(points, at), 1), len(points) - 1)
    rise = (values[last] - values[last - 1]) / (points[last] - points[last - 1])
    return float(values[last - 1] + rise * (at - points[last - 1]))
