"""Calibration: observers that see a network's values batch by batch, in constant memory, and merge."""

from lowbit.calibrate.histogram import Histogram
from lowbit.calibrate.moments import LinearMoments, moment_bytes
from lowbit.calibrate.outliers import ordinary_samples
from lowbit.calibrate.watch import Observe, Run, batches, prefix, watch

__all__ = [
    "Histogram",
    "LinearMoments",
    "Observe",
    "Run",
    "batches",
    "moment_bytes",
    "ordinary_samples",
    "prefix",
    "watch",
]
