"""QEM, quantization-error minimisation: the best levels o + sum_i a_i s_i of weighted points.

Signs s_i are -1 or +1. Two steps alternate, and each can only lower the error sum_n w_n (t_n - level(x_n))^2:

    encode   code_n = the nearest level of x_n (thresholds are midpoints of neighbouring levels)
    update   a = (B W B^T + d I)^-1 (B W t + d a_old), B the signs of the codes    (least squares), or
             a = a - rate (1/N) sum_n [((b_n, a) - t_n) b_n + decay a]             (gradient descent)

The ridge d is relative (1e-5 of the mean diagonal): with two equal coefficients the system is singular. An
offset is one more coefficient whose sign is always +1. A negative coefficient is flipped and the basis
sorted, which leaves the set of levels as it is. The optimum is local, so QEM starts several times and keeps
the best fit of every row.

Codes never appear: points are sorted once, a code's points are then an interval, and everything the update
needs is the mass and the moment of an interval, a difference of two prefix sums. One step costs
O(2^k log N) per row.

Sources: Zhang et al., LQ-Nets (ECCV 2018), algorithm 1; gradient descent with regularisation: formula 1.14 of
Bronnikov's thesis on LQ quantization in ONE.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Update = Literal["least-squares", "gradient"]

RIDGE = 1e-5
GRADIENT_STEPS, GRADIENT_RATE, GRADIENT_DECAY = 20, 0.2, 1e-4


@dataclass(frozen=True)
class Points:
    """Weighted points of every row, sorted, with prefix sums.

    Attributes:
        values: what is encoded, `[c, n]` ascending.
        mass: sums of the weights of the first 0, 1, ... n points, `[c, n + 1]`.
        moment: sums of weight times target, `[c, n + 1]`.
        power: sum of weight times target squared, `[c]`.
    """

    values: Array
    mass: Array
    moment: Array
    power: Array

    @classmethod
    def of(cls, values: Array, weights: Array | None = None, targets: Array | None = None) -> "Points":
        """Return the points of `values [c, n]`.

        Args:
            values: what is encoded.
            weights: how much each point counts, `[n]` or `[c, n]`, not negative; 1 when not given.
            targets: what a level should come near to, `[c, n]`; the values themselves when not given.
        """
        order = np.argsort(values, axis=1, kind="stable")
        in_order = np.take_along_axis(np.asarray(values, np.float64), order, 1)
        goal = in_order if targets is None else np.take_along_axis(np.asarray(targets, np.float64), order, 1)
        if weights is None:
            weight = np.ones_like(in_order)
        else:
            weight = np.take_along_axis(np.broadcast_to(weights, order.shape), order, 1).astype(np.float64)
        return cls(in_order, _prefix(weight), _prefix(weight * goal), (weight * goal * goal).sum(1))

    @classmethod
    def binned(cls, sums: Array) -> "Points":
        """Return one row of points from `[4, n]`: counts, sums of values, targets and squared targets."""
        count, values, targets, squares = sums
        mean = values / count
        order = np.argsort(mean, kind="stable")
        return cls(
            mean[None, order], _prefix(count[None, order]), _prefix(targets[None, order]), squares.sum()[None]
        )

    def repeated(self, rows: int) -> "Points":
        """Return the first row as many times, without copying it."""
        return Points(
            np.broadcast_to(self.values[:1], (rows, self.values.shape[1])),
            np.broadcast_to(self.mass[:1], (rows, self.mass.shape[1])),
            np.broadcast_to(self.moment[:1], (rows, self.moment.shape[1])),
            np.broadcast_to(self.power[:1], (rows,)),
        )

    def error(self, ascending: Array) -> Array:
        """Return sum w (t - level)^2 of every row, `[c]`, for ascending levels `[c, l]`."""
        mass, moment = self.intervals(midpoints(ascending))
        return np.asarray(self.power + (ascending * (ascending * mass - 2 * moment)).sum(axis=1))

    def beyond(self, low: Array, high: Array) -> Array:
        """Return at least how much error there is outside of a range, `[c]`, for its ends `[c, 1]`.

        Of m points whose targets are s in all, sum (t - end)^2 >= (s - m end)^2 / m.
        """
        mass, moment = self.intervals(np.concatenate([low, high], axis=1))
        gaps = mass[:, 0] * low[:, 0] - moment[:, 0], moment[:, 2] - mass[:, 2] * high[:, 0]
        squares = np.maximum(np.stack(gaps), 0.0) ** 2
        return np.asarray((squares / np.maximum(mass[:, ::2].T, np.finfo(np.float64).tiny)).sum(axis=0))

    def intervals(self, thresholds: Array) -> tuple[Array, Array]:
        """Return mass and moment of the points between ascending `thresholds [c, t]`, each `[c, t + 1]`.

        A point equal to a threshold belongs to the interval below it.
        """
        counts = _count_at_most(self.values, thresholds)
        return _differences(self.mass, counts), _differences(self.moment, counts)


@dataclass(frozen=True)
class Fit:
    """A basis `[c, k]`, ascending, not negative; an offset `[c]`; the error sum w (t - level)^2 `[c]`."""

    basis: Array
    offset: Array
    error: Array


def fit(
    points: Points,
    bits: int,
    *,
    offset: bool = False,
    update: Update = "least-squares",
    steps: int = 25,
    restarts: int = 8,
    seed: int = 0,
) -> Fit:
    """Return the best of `restarts + 1` runs for every row.

    The first run starts from a geometric basis, the others from random ones. Equal arguments give equal
    results.
    """
    random = np.random.default_rng(seed)
    others = range(restarts if bits > 1 or offset else 0)
    starts = [
        _first_start(points, bits, offset),
        *(_random_start(points, bits, offset, random) for _ in others),
    ]
    if len(points.power) == 1:  # all runs at once
        found = _run(points.repeated(len(starts)), np.concatenate(starts), offset, update, steps, apart=True)
        at = slice(least := int(np.argmin(found.error)), least + 1)
        return Fit(found.basis[at], found.offset[at], found.error[at])
    best, *rest = (_run(points, start, offset, update, steps) for start in starts)
    for other in rest:
        better = other.error < best.error
        best = Fit(
            np.where(better[:, None], other.basis, best.basis),
            np.where(better, other.offset, best.offset),
            np.where(better, other.error, best.error),
        )
    return best


def signs(bits: int) -> Array:
    """Return the signs of every code, `[2^bits, bits]`: bit i of the code as -1 or +1."""
    return np.where((np.arange(2**bits)[:, None] >> np.arange(bits)) & 1, 1.0, -1.0)


def levels(basis: Array, offset: Array) -> Array:
    """Return the level of every code in code order, `[c, 2^k]`."""
    return basis @ signs(basis.shape[1]).T + offset[:, None]


def midpoints(ascending: Array) -> Array:
    """Return the thresholds between neighbouring levels, `[c, levels - 1]`."""
    return (ascending[:, 1:] + ascending[:, :-1]) / 2


def _run(
    points: Points, start: Array, offset: bool, update: Update, steps: int, *, apart: bool = False
) -> Fit:
    """Alternate from `start [c, k + 1]` (basis, offset) until no error is less.

    Args:
        apart: whether rows are runs of their own: each ends when its own error is no less.
    """
    bits = start.shape[1] - 1
    table = np.column_stack([signs(bits), np.ones(2**bits)])
    free = slice(None) if offset else slice(0, bits)
    best, least, rows, state = start.copy(), np.full(len(start), np.inf), np.arange(len(start)), start
    for step in range(steps + 1):
        level = state @ table.T
        order = np.argsort(level, axis=1, kind="stable")
        ascending = np.take_along_axis(level, order, 1)
        mass, moment = points.intervals(midpoints(ascending))
        error = points.power + (ascending * (ascending * mass - 2 * moment)).sum(1)
        improved = error < least[rows]
        better = rows[improved]
        best[better], least[better] = state[improved], error[improved]
        if step == steps or not len(better):
            break
        if apart and len(better) < len(rows):
            rows, points, state = better, points.repeated(len(better)), state[improved]
            order, mass, moment = order[improved], mass[improved], moment[improved]
        state = state.copy()
        state[:, free] = _updated(table[order][:, :, free], mass, moment, state[:, free], update)
        state[:, :bits] = np.sort(np.abs(state[:, :bits]), axis=1)
    return Fit(best[:, :bits], best[:, bits], np.maximum(least, 0))


def _updated(rows: Array, mass: Array, moment: Array, old: Array, update: Update) -> Array:
    """Return the new coefficients `[c, k]`; `rows [c, 2^k, k]` are the signs of the intervals."""
    square = np.einsum("cli,cl,clj->cij", rows, mass, rows, optimize=True)
    right = np.einsum("cli,cl->ci", rows, moment)
    if update == "gradient":
        return _descended(square, right, mass.sum(1), old)
    ridge = RIDGE * np.trace(square, axis1=1, axis2=2) / square.shape[1]
    square = square + ridge[:, None, None] * np.eye(square.shape[1])
    return np.asarray(np.linalg.solve(square, (right + ridge[:, None] * old)[:, :, None])[:, :, 0])


def _descended(square: Array, right: Array, mass: Array, old: Array) -> Array:
    new = old
    for _ in range(GRADIENT_STEPS):
        slope = (np.einsum("cij,cj->ci", square, new) - right) / mass[:, None]
        new = new - GRADIENT_RATE * (slope + GRADIENT_DECAY * new)
    return new


def _first_start(points: Points, bits: int, offset: bool) -> Array:
    """Return a geometric basis around zero, or around the mean, `[c, k + 1]`."""
    mean = points.moment[:, -1] / points.mass[:, -1] if offset else np.zeros(len(points.power))
    spread = np.sqrt(np.maximum(points.power / points.mass[:, -1] - mean**2, 1e-30))
    return np.column_stack([spread[:, None] * 0.8 * 2.0 ** (np.arange(bits) - bits + 1), mean])


def _random_start(points: Points, bits: int, offset: bool, random: np.random.Generator) -> Array:
    """Return a basis of random ratios between neighbours, around a random point when there is an offset."""
    start = _first_start(points, bits, offset)
    count = len(start)
    ratios = random.uniform(0.35, 0.95, (count, bits))
    ratios[:, -1] = random.uniform(0.5, 2.0, count)
    top = start[:, bits - 1 : bits]
    basis = top * np.cumprod(ratios[:, ::-1], axis=1)[:, ::-1]
    shift = random.normal(0, 0.5, count) * top[:, 0] if offset else np.zeros(count)
    return np.column_stack([basis, start[:, bits] + shift])


def _prefix(terms: Array) -> Array:
    return np.concatenate([np.zeros((len(terms), 1)), np.cumsum(terms, axis=1)], axis=1)


def _count_at_most(ascending: Array, thresholds: Array) -> npt.NDArray[np.int64]:
    """Return per row how many values are <= each threshold: a binary search in all rows at once."""
    if len(ascending) == 1 or not ascending.strides[0]:  # one row, however often
        return np.searchsorted(ascending[0], thresholds, side="right")
    size, before = ascending.shape[1], _row_starts(ascending) - 1
    count = np.zeros(thresholds.shape, np.int64)
    for power in reversed(range(size.bit_length())):
        more = count + (1 << power)
        values = np.take(ascending, before + np.minimum(more, size))
        count = np.where((more <= size) & (values <= thresholds), more, count)
    return count


def _row_starts(rows: Array) -> npt.NDArray[np.int64]:
    """Return where rows `[c, n]` begin among all elements, `[c, 1]`."""
    return np.arange(len(rows), dtype=np.int64).reshape(-1, 1) * np.int64(rows.shape[1])


def _differences(prefix: Array, counts: npt.NDArray[np.int64]) -> Array:
    repeated = len(prefix) > 1 and not prefix.strides[0]
    inner = prefix[0][counts] if repeated else np.take(prefix, _row_starts(prefix) + counts)
    return np.diff(np.concatenate([np.zeros((len(prefix), 1)), inner, prefix[:, -1:]], axis=1), axis=1)
