"""Layers to train at low bits, and the networks of the zoo as modules. Needs the extra ``train``."""

from lowbit.errors import MissingExtra

try:
    import torch  # noqa: F401 - the first of the imports below that could fail
except ImportError as error:
    raise MissingExtra("torch", "train") from error

from lowbit.nn.doctor import Doctor
from lowbit.nn.export import to_graph
from lowbit.nn.findings import Finding
from lowbit.nn.layers import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Linear
from lowbit.nn.network import Network
from lowbit.nn.prepare import Prepared, prepare, replan
from lowbit.nn.rprelu import RPReLU
from lowbit.nn.separable import LearnedSeparableTransform
from lowbit.nn.specification import Specification, specification
from lowbit.nn.training import clamp_latents, parameter_groups, reestimate_batchnorm, set_progress
from lowbit.plan import Plan

LayerPlan = Plan  # the name that a layer's plan had

__all__ = [
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Doctor",
    "Finding",
    "LayerPlan",
    "LearnedSeparableTransform",
    "Linear",
    "Network",
    "Plan",
    "Prepared",
    "RPReLU",
    "Specification",
    "clamp_latents",
    "parameter_groups",
    "prepare",
    "reestimate_batchnorm",
    "replan",
    "set_progress",
    "specification",
    "to_graph",
]
