"""What calibration makes of a plan's layers, and what it refuses."""

from lowbit.plan import BITS, WHOLE, WINDOW_DAMPING, Plan, usual_scheme

__all__ = ["BITS", "WHOLE", "WINDOW_DAMPING", "Plan", "blocker", "usual_scheme"]


def blocker(plan: Plan, groups: int) -> str:
    """Return why no engine runs a layer of so many groups with this plan; empty where one does.

    Bytes hold the factors of a product. An input of 8 bits has levels in steps of two, and powers of two
    up to 64 of both signs do not fit beside them; asymmetric codes of 8 bits, or of 7 beside such inputs,
    are moved into bytes row by row, which groups have no sums for.
    """
    beside_bytes = plan.activation_bits == 8
    if plan.scheme == "pow2" and plan.weight_bits == 4 and beside_bytes:
        return "pow2 weights of 4 bits beside inputs of 8 bits (weight_bits = 3 or activation_bits = 7)"
    moved = plan.scheme == "affine" and plan.weight_bits + beside_bytes >= 8 and not plan.symmetric
    if moved and groups > 1 and not plan.is_weight_only:
        return f"asymmetric weights of {plan.weight_bits} bits in groups (symmetric = true)"
    return ""
