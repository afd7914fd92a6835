"""Pixels have nothing to fit."""

from lowbit.schemes.encoding import Encoding
from lowbit.schemes.fitting import Fit, Observed, Settings
from lowbit.schemes.pixels.encoding import pixels
from lowbit.schemes.specification import Specification


class PixelFit(Fit):
    """The grid of pixels, whatever is seen."""

    def activations(self, observed: Observed, form: Specification, settings: Settings) -> Encoding:
        """Return the grid of pixels."""
        return pixels()


FIT = PixelFit()
