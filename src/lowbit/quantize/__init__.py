"""Post-training quantization: a float network, samples and a plan give a low-bit network and a report."""

from lowbit.quantize.pipeline import quantize
from lowbit.quantize.plan import Plan
from lowbit.quantize.report import LayerReport, Report

__all__ = ["LayerReport", "Plan", "Report", "quantize"]
