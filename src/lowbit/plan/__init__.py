"""The plan: what every tensor is to become, and how; for calibration and for training alike."""

from lowbit.plan.check import WHOLE
from lowbit.plan.plan import WINDOW_DAMPING, Plan
from lowbit.plan.words import BITS, usual_scheme

__all__ = ["BITS", "WHOLE", "WINDOW_DAMPING", "Plan", "usual_scheme"]
