"""Encodings with groups: a scheme fitted to every group of a row by itself."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.schemes.encoding import Rows, in_groups, out_of_groups
from lowbit.schemes.fitting.fit import Fit, Settings
from lowbit.schemes.grouped import Grouped
from lowbit.schemes.specification import Specification

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GroupedFit(Fit):
    """Groups of weights.

    Attributes:
        fit: of the scheme.
        group: how many numbers of a row share a set of parameters.
    """

    fit: Fit
    group: int

    def weights(
        self, weights: Array, form: Specification, settings: Settings, importance: Array | None = None
    ) -> Grouped:
        """Return the encoding nearest to weights `[o, n]`; what pads a last group counts for nothing."""
        if importance is None and weights.shape[1] % self.group:
            importance = np.ones(weights.shape[1])
        if importance is not None:
            importance = in_groups(np.broadcast_to(importance, weights.shape), self.group)
        sets = self.fit.weights(in_groups(weights, self.group), form, settings, importance)
        return Grouped(sets, self.group)

    def clipped(self, weights: Array, form: Specification) -> Rows:
        """Return which weights have no code near them."""
        return out_of_groups(self.fit.clipped(in_groups(weights, self.group), form), weights.shape)
