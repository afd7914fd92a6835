"""Fitting encodings to tensors after training: what every scheme's fit offers, and what it is told."""

from lowbit.schemes.fitting.fit import Fit, Observed, Settings
from lowbit.schemes.fitting.grids import Grid, grid_of
from lowbit.schemes.fitting.restore import Problem

__all__ = ["Fit", "Grid", "Observed", "Problem", "Settings", "grid_of"]
