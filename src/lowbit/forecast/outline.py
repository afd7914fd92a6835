"""A low-bit network of the form that a plan will give, made in a moment: its numbers fit a few samples.

Sizes, steps, memory and hardware follow from forms: which schemes, bits, offsets and biases each layer has.
Restoring a layer takes time with the cube of its inputs; so layers of more than `RESTORED` inputs are rounded
to the nearest codes instead, with the offsets that their own method would learn. They lose more than they
will.
"""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node
from lowbit.ir.layers import outputs_last
from lowbit.ir.passes import is_convolution
from lowbit.quantization import Plan, quantize
from lowbit.quantization.shared import layer_form, teams

Samples = dict[str, npt.NDArray[np.generic]]

SAMPLES = 64
"""That an outline is fitted to."""

RESTORED = 2304
"""Inputs of a layer that is restored: a window of 3 × 3 of 256 channels."""


def outline(graph: Graph, plan: Plan, samples: Samples) -> Graph:
    """Return a low-bit network of the plan's form.

    Args:
        graph: the float network.
        plan: what will be done.
        samples: a few, by input.

    Raises:
        PlanError: the plan is impossible for this network.
        UnsupportedError: there is no layer to quantize.
    """
    network = layer_form(graph)
    first = {name: team[0] for name, team in teams(network).items()}
    quick = {
        name: _nearest(network, first[name], own)
        for name, own in plan.by_layer(first).items()
        if own.restores and not own.is_float and _inputs(network, first[name]) > RESTORED
    }
    layers = {**plan.layers, **quick}
    made = quantize(graph, samples, replace(plan, samples=SAMPLES, layers=layers))[0]
    made.metadata["quantization"] = str(plan)
    return made


def _inputs(network: Graph, layer: Node) -> int:
    shape = network.constant(layer.inputs[1]).shape
    return int(shape[0] if outputs_last(layer) else prod(shape[1:]))


def _nearest(network: Graph, layer: Node, plan: Plan) -> dict[str, Any]:
    """Return a layer's settings: its forms, nearest codes, and offsets that its method would have learned."""
    weights, activations = (str(form) for form in plan.forms)
    own = plan.for_convolution() if is_convolution(network, layer) else plan
    offsets = {"weight_offset": own.uses_weight_offset, "activation_offset": own.uses_activation_offset}
    return {"weights": weights, "activations": activations, "method": "rtn", "equalize": False, **offsets}
