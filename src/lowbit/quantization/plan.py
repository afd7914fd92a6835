"""What calibration makes of a plan's layers, and what it refuses."""

from lowbit.plan import BITS, WHOLE, WINDOW_DAMPING, Plan, usual_scheme
from lowbit.plan.plan import TRAINING

__all__ = ["BITS", "WHOLE", "WINDOW_DAMPING", "Plan", "blockers", "usual_scheme"]


def blockers(plan: Plan, groups: int) -> list[str]:
    """Return why a layer of so many groups cannot be made with this plan; none where it can.

    Bytes hold the factors of a product. An input of 8 bits has levels in steps of two, and powers of two
    up to 64 of both signs do not fit beside them; asymmetric codes of 8 bits, or of 7 beside such inputs,
    are moved into bytes row by row, which groups have no sums for.
    """
    weights, inputs = plan.forms
    found = [f"{name} is a setting of training" for name in plan.said(TRAINING)]
    if weights.is_float and not inputs.is_float:
        found.append(f"inputs of {inputs} go with no float weights (say weights, or activations = float)")
    found += [
        f"{form} of {what}: groups along the input are not made here (leave out :group=)"
        for what, form in (("weights", weights), ("the input", inputs))
        if form.option("group")
    ]
    beside_bytes = inputs.bits == 8
    if weights.scheme == "pow2" and inputs.is_float:
        found.append("pow2 weights go with no float inputs (activations = lq:4 or affine:8)")
    if weights.scheme == "pow2" and weights.bits == 4 and beside_bytes:
        found.append("pow2 weights of 4 bits beside inputs of 8 bits (pow2:3, or inputs of 7 bits)")
    moved = weights.scheme == "affine" and weights.bits + beside_bytes >= 8 and not plan.symmetric
    if moved and groups > 1 and not plan.is_weight_only:
        found.append(f"asymmetric weights of {weights.bits} bits in groups (symmetric = true)")
    return found
