"""Post-training quantization: a float network, samples and a plan give a low-bit network and a report."""

from lowbit.quantization.choice import chosen_indices
from lowbit.quantization.estimate import Estimate
from lowbit.quantization.fixed_point import to_fixed_point
from lowbit.quantization.pipeline import quantize
from lowbit.quantization.plan import Plan
from lowbit.quantization.report import LayerReport, Report
from lowbit.quantization.unfinished import Unfinished

__all__ = [
    "Estimate",
    "LayerReport",
    "Plan",
    "Report",
    "Unfinished",
    "chosen_indices",
    "quantize",
    "to_fixed_point",
]
