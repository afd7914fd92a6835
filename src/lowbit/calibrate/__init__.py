"""Calibration: what runs a network over samples, and observers that see its values in bounded memory."""

from lowbit.calibrate.histogram import Histogram
from lowbit.calibrate.moments import BLOCK, LinearMoments, moment_bytes
from lowbit.calibrate.outliers import RowStatistics, ordinary_samples
from lowbit.calibrate.watch import (
    Run,
    Runner,
    batch_slices,
    batches,
    engine_or_reference,
    prefix,
    sample_bytes,
    widest_cut,
)

__all__ = [
    "BLOCK",
    "Histogram",
    "LinearMoments",
    "RowStatistics",
    "Run",
    "Runner",
    "batch_slices",
    "batches",
    "engine_or_reference",
    "moment_bytes",
    "ordinary_samples",
    "prefix",
    "sample_bytes",
    "widest_cut",
]
