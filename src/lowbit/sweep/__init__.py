"""Sweeps over bits, schemes, roundings and seeds: parallel, kept by content, resumable."""

from lowbit.sweep.parallel import BACKENDS
from lowbit.sweep.result import Model, Point, Row, Sweep, front, points
from lowbit.sweep.run import Workers, sweep
from lowbit.sweep.settings import Setting, grid, pairs

__all__ = [
    "BACKENDS",
    "Model",
    "Point",
    "Row",
    "Setting",
    "Sweep",
    "Workers",
    "front",
    "grid",
    "pairs",
    "points",
    "sweep",
]
