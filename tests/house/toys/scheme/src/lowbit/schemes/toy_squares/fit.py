"""Squares whose outermost level is the largest magnitude."""

import numpy as np
import numpy.typing as npt
from lowbit.schemes.toy_squares.encoding import Squares

from lowbit.schemes.fitting import Fit, Observed, Settings
from lowbit.schemes.specification import Specification

Array = npt.NDArray[np.float64]


class SquaresFit(Fit):
    def weights(
        self, weights: Array, form: Specification, settings: Settings, importance: Array | None = None
    ) -> Squares:
        return Squares(form.bits, np.abs(weights).max(axis=1) / _largest(form))

    def activations(self, observed: Observed, form: Specification, settings: Settings) -> Squares:
        return Squares(form.bits, max(-observed.low, observed.high) / _largest(form))

    def constant(self, value: float, form: Specification, settings: Settings) -> Squares:
        return Squares(form.bits, (abs(value) or 1.0) / _largest(form))


def _largest(form: Specification) -> int:
    return ((1 << form.bits) - 1) ** 2


FIT = SquaresFit()
