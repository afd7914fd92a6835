"""Fixed point has nothing to fit: the specification is the format."""

import numpy as np
import numpy.typing as npt

from lowbit.schemes.encoding import Rows
from lowbit.schemes.fitting import Fit, Observed, Settings
from lowbit.schemes.fixed_point.encoding import FixedPoint
from lowbit.schemes.specification import Specification

Array = npt.NDArray[np.float64]


class FixedPointFit(Fit):
    """The format that the specification says."""

    def weights(
        self, weights: Array, form: Specification, settings: Settings, importance: Array | None = None
    ) -> FixedPoint:
        """Return the format."""
        return form.fixed_point

    def clipped(self, weights: Array, form: Specification) -> Rows:
        """Return which weights are beyond the ends of the format."""
        return form.fixed_point.saturates(weights)

    def activations(self, observed: Observed, form: Specification, settings: Settings) -> FixedPoint:
        """Return the format."""
        return form.fixed_point

    def constant(self, value: float, form: Specification, settings: Settings) -> FixedPoint:
        """Return the format."""
        return form.fixed_point


FIT = FixedPointFit()
