"""How the rate moves over training.

With p the part of all steps that is done, w that of the warm-up, and q = (p - w) / (1 - w):

    cosine      p / w, then cos(pi q / 2)^2                                  (Loshchilov & Hutter 2017, eq. 5)
    one-cycle   1/25 + 24/25 sin(pi p / 2w)^2, then cos(pi q / 2)^2           (Smith & Topin 2018)
    constant    p / w, then 1
    halving     p / w, then 2^-floor(h p)    with h halvings                 (as BinaryNet's recipes)
"""

from math import cos, floor, pi, sin

from lowbit.train.settings import Schedule

_START = 1 / 25  # of one-cycle, as torch has it


def factor(schedule: Schedule, progress: float) -> float:
    """Return what the rate is multiplied with, in [0, 1].

    Args:
        schedule: which.
        progress: part of all steps that is done, in [0, 1).
    """
    if progress < schedule.warmup:
        rise = progress / schedule.warmup
        return _START + (1 - _START) * sin(pi * rise / 2) ** 2 if schedule.name == "one-cycle" else rise
    match schedule.name:
        case "constant":
            return 1.0
        case "halving":
            return float(0.5 ** floor((schedule.halvings + 1) * progress))
    return cos(pi / 2 * (progress - schedule.warmup) / (1 - schedule.warmup)) ** 2
