"""Signs and a scale: the mean magnitude, weighted by importance.

    a = sum_n h_n |w_n| / sum_n h_n          (Rastegari et al., XNOR-Net 2016, eq. 6, h = 1)

which is the scale of least squared error for the signs of w. The paper: Rastegari, Ordonez, Redmon and
Farhadi, XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks, ECCV 2016.
"""

import numpy as np
import numpy.typing as npt

from lowbit.schemes.binary.encoding import THRESHOLD, signs
from lowbit.schemes.encoding import Encoding, Floats32
from lowbit.schemes.fitting import Fit, Observed, Settings
from lowbit.schemes.learned_basis import LearnedBasis
from lowbit.schemes.specification import Specification

Array = npt.NDArray[np.float64]


class BinaryFit(Fit):
    """Signs."""

    def weights(
        self, weights: Array, form: Specification, settings: Settings, importance: Array | None = None
    ) -> LearnedBasis:
        """Return the signs with a scale per output."""
        return signs(np.average(np.abs(weights), axis=1, weights=importance))

    def activations(self, observed: Observed, form: Specification, settings: Settings) -> LearnedBasis:
        """Return the signs of what arrives, scaled to what should have arrived."""
        count, values, targets, _ = observed.sums
        found = float((targets * np.where(values >= 0, 1, -1)).sum() / count.sum())
        return signs(np.array([found if found > 0 else np.abs(values).sum() / count.sum()]))

    def constant(self, value: float, form: Specification, settings: Settings) -> LearnedBasis:
        """Return the signs with the value as a level."""
        return signs(np.array([abs(value) or 1.0]))

    def thresholds(self, encoding: Encoding) -> Floats32:
        """Return the largest float32 below zero: zero is +1."""
        return THRESHOLD


FIT = BinaryFit()
