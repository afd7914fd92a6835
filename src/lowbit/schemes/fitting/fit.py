"""What a scheme's ``fit`` module offers as ``FIT``; each scheme overrides what it can be used for."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lowbit.errors import PlanError
from lowbit.schemes.encoding import Encoding, Floats32, Rows
from lowbit.schemes.fitting.grids import grid_of
from lowbit.schemes.fitting.restore import Problem, feed_back
from lowbit.schemes.specification import Specification

Array = npt.NDArray[np.float64]


class Settings(Protocol):
    """What a plan says beside the specification; a scheme reads what concerns it."""

    @property
    def uses_weight_offset(self) -> bool:
        """Whether learned weights have an offset."""

    @property
    def uses_activation_offset(self) -> bool:
        """Whether learned activations have an offset."""

    @property
    def update(self) -> str:
        """How QEM updates a basis: `least-squares` or `gradient`."""

    @property
    def restarts(self) -> int:
        """Random starts of a search for a local optimum."""

    @property
    def rounds(self) -> int:
        """How often parameters and codes are refined in turn."""

    @property
    def seed(self) -> int:
        """Of random starts."""

    @property
    def symmetric(self) -> bool:
        """Whether uniform weights have their zero in the middle."""

    @property
    def per_channel(self) -> bool:
        """Whether uniform weights have a scale per output."""

    @property
    def clip(self) -> str:
        """The range of uniform values: `minmax` is all of it, `mse` the one of least squared error."""


@dataclass(frozen=True, eq=False)
class Observed:
    """What was seen of an activation.

    Attributes:
        sums: of every bin that something fell into, `[4, bins]`: how many values, their sum, the sum of what
            should have arrived instead, and of its squares.
        low: the least value.
        high: the largest, above `low`.
    """

    sums: Array
    low: float
    high: float


class Fit:
    """How encodings of a scheme are fitted."""

    def weights(
        self, weights: Array, form: Specification, settings: Settings, importance: Array | None = None
    ) -> Encoding:
        """Return the encoding nearest to weights.

        Args:
            weights: `[o, n]`, not all zero in any output.
            form: of this scheme.
            settings: of the plan.
            importance: how much the error of each column counts, `[n]`; all alike when None.
        """
        raise PlanError("weights cannot be fitted to this scheme", found=str(form))

    def clipped(self, weights: Array, form: Specification) -> Rows:
        """Return which weights have no code near them: what does not choose its range may clip some."""
        return np.zeros(weights.shape, np.bool_)

    def restored(self, problem: Problem, form: Specification, settings: Settings) -> tuple[Encoding, Array]:
        """Return an encoding, and values `[d, o]` near its levels, that restore a layer's float output.

        What is here takes the encoding nearest to the target and hands on each column's error.
        """
        encoding = self.weights(problem.target.T, form, settings, np.diag(problem.metric))
        return encoding, feed_back(problem, grid_of(encoding))

    def activations(self, observed: Observed, form: Specification, settings: Settings) -> Encoding:
        """Return the encoding, one for the tensor, of what was seen.

        Args:
            observed: values that differ.
            form: of this scheme.
            settings: of the plan.
        """
        raise PlanError("inputs cannot be fitted to this scheme", found=str(form))

    def constant(self, value: float, form: Specification, settings: Settings) -> Encoding:
        """Return the encoding of an activation that is always the same; zero and it are levels if possible.

        Args:
            value: what it is; it may be zero.
            form: of this scheme.
            settings: of the plan.
        """
        raise PlanError("inputs cannot be fitted to this scheme", found=str(form))

    def thresholds(self, encoding: Encoding) -> Floats32:
        """Return what separates codes of an activation, float32 `[2**bits - 1]`."""
        return np.asarray(encoding.thresholds()[0])
