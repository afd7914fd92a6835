"""What calibration makes of a plan's layers, and what it refuses."""

from lowbit.plan import BITS, WHOLE, WINDOW_DAMPING, Plan, usual_scheme
from lowbit.schemes.grouped import GROUP

__all__ = ["BITS", "WHOLE", "WINDOW_DAMPING", "Plan", "blockers", "usual_scheme"]


def blockers(plan: Plan) -> list[str]:
    """Return why a layer cannot be made with this plan; none where it can."""
    weights, inputs = plan.forms
    found = []
    if weights.is_float and not inputs.is_float:
        found.append(f"inputs of {inputs} go with no float weights (say weights, or activations = float)")
    if inputs.option(GROUP):
        found.append(f"{inputs} of the input: groups are of weights (leave out :{GROUP}=)")
    if weights.option(GROUP) and not inputs.is_float:
        found.append(f"{weights} beside inputs of {inputs}: groups go with floats (say activations = float)")
    if weights.option(GROUP) and not plan.per_channel:
        found.append(f"{weights} with one scale for all outputs: groups have scales (leave out per_channel)")
    if weights.option(GROUP) and plan.learns:
        found.append(f"{weights} with method {plan.method}: groups do not learn (say method = gptq)")
    return found
