"""What calibration makes of a plan's layers, and what it refuses."""

from lowbit.plan import BITS, WHOLE, WINDOW_DAMPING, Plan, usual_scheme

__all__ = ["BITS", "WHOLE", "WINDOW_DAMPING", "Plan", "blockers", "usual_scheme"]


def blockers(plan: Plan) -> list[str]:
    """Return why a layer cannot be made with this plan; none where it can."""
    weights, inputs = plan.forms
    found = []
    if weights.is_float and not inputs.is_float:
        found.append(f"inputs of {inputs} go with no float weights (say weights, or activations = float)")
    found += [
        f"{form} of {what}: groups along the input are not made here (leave out :group=)"
        for what, form in (("weights", weights), ("the input", inputs))
        if form.option("group")
    ]
    return found
