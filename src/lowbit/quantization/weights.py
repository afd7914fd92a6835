"""Weights on a grid, learned or affine: nearest to the float weights, or restoring the float output."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import NumericError
from lowbit.quantization import qem
from lowbit.quantization.affine import weight_encoding
from lowbit.quantization.plan import Plan
from lowbit.quantization.powers import power_of_two_encoding
from lowbit.quantization.restore import Problem, descend, feed_back, refit
from lowbit.schemes import WEIGHT_BOUND, Affine, LearnedBasis, PowerOfTwo, snap_weights
from lowbit.schemes.encoding import Codes

Array = npt.NDArray[np.float64]
SWEEPS = 3
GRID_ROUNDS = 2
OFFSET_STEPS = 8  # a coefficient alone, of one bit, is this many steps of its offset
_FLATTEST = 1 / 64  # least ratio of two coefficients: keeps a basis positive where a bit is of no use
_TINIEST = 1e-30


Weights = LearnedBasis | Affine | PowerOfTwo
"""Encodings of weights."""


@dataclass(frozen=True, eq=False)
class CodedWeights:
    """Codes `[o, n]` and what they mean, per output."""

    encoding: Weights
    codes: Codes

    def values(self) -> Array:
        """Return the levels of the codes, `[o, n]`."""
        levels = np.broadcast_to(self.encoding.levels(), (len(self.codes), 1 << self.encoding.bits))
        return np.take_along_axis(levels, self.codes.astype(np.intp), axis=1)


def check_weights(weights: Array, where: str) -> None:
    """Check that weights `[o, n]` can be quantized.

    Raises:
        NumericError: a weight is NaN or infinite.
    """
    if not np.isfinite(weights).all():
        output, column = np.argwhere(~np.isfinite(weights))[0]
        raise NumericError(
            "a weight is not finite",
            where=where,
            expected="finite weights",
            found=f"{weights[output, column]} at [{output}, {column}]",
            remedy="Repair or retrain the network.",
        )


def nearest(weights: Array, plan: Plan) -> CodedWeights:
    """Return the codes and encoding nearest to the float weights `[o, n]`."""
    dead = np.asarray(~weights.any(axis=1))
    return silenced(_nearest(np.where(dead[:, None], 1.0, weights), plan), dead, plan)


def _nearest(weights: Array, plan: Plan) -> CodedWeights:
    if plan.scheme == "affine":
        encoding: Weights = weight_encoding(weights, plan)
    elif plan.scheme == "pow2":
        encoding = power_of_two_encoding(weights, plan.weight_bits)
    else:
        encoding = snapped_basis(_fit(weights, plan))
    return CodedWeights(encoding, encoding.encode(weights))


def restored(problem: Problem, plan: Plan) -> CodedWeights:
    """Return the codes and encoding that solve `problem`: the float output restored."""
    dead = np.asarray(~problem.target.any(axis=0))
    return silenced(_restored(replace(problem, target=np.where(dead, 1.0, problem.target)), plan), dead, plan)


def silenced(coded: CodedWeights, dead: npt.NDArray[np.bool_], plan: Plan) -> CodedWeights:
    """Return weights whose `dead [o]` outputs are all zero.

    Every scheme has a level of zero, except a learned basis of one bit without an offset: its levels are
    then next to it. Scales are next to nothing, so that planes of floats cancel to nothing as well.
    """
    encoding, codes = coded.encoding, coded.codes.copy()
    if not dead.any():
        return coded
    if isinstance(encoding, PowerOfTwo):
        codes[dead] = 0
    elif isinstance(encoding, Affine):
        codes[dead] = np.broadcast_to(encoding.zero_point, len(codes))[dead, None]
        alone = dead if encoding.channels == len(dead) else dead.all(keepdims=True)
        encoding = replace(encoding, scale=np.where(alone, np.float32(_TINIEST), encoding.scale))
    else:
        encoding, code = _with_zero_rows(encoding, dead, plan.uses_weight_offset)
        codes[dead] = code
    return CodedWeights(encoding, codes)


def _with_zero_rows(old: LearnedBasis, dead: npt.NDArray[np.bool_], offset: bool) -> tuple[LearnedBasis, int]:
    """Return a basis with rows of integers 1, 1, 2, 4, …, and the code that makes them zero."""
    bits = old.bits
    integers = np.array([1, *(1 << np.arange(bits - 1))])
    units = int(offset and bits == 1)
    row = of_integers(np.full(1, _TINIEST), integers[None], np.full(1, units))
    basis, shift, top = old.basis.copy(), old.offset.copy(), old.top.copy()
    basis[dead], shift[dead], top[dead] = row.basis[0], row.offset[0], row.top[0]
    return LearnedBasis(basis, shift, top), (1 << (bits - 1)) - 1


def _restored(problem: Problem, plan: Plan) -> CodedWeights:
    importance = np.diag(problem.metric)
    if plan.scheme == "affine":
        encoding: Weights = weight_encoding(problem.target.T, plan, importance)
        values = feed_back(problem, _grid(encoding))
    elif plan.scheme == "pow2":
        encoding = power_of_two_encoding(problem.target.T, plan.weight_bits, importance)
        values = feed_back(problem, _grid(encoding))
    else:
        encoding, values = _restored_basis(problem, plan, importance)
    for _ in range(GRID_ROUNDS):
        values = descend(problem, values, _grid(encoding), SWEEPS)
        coded = CodedWeights(encoding, encoding.encode(values.T))
        encoding = _rescaled(problem, coded)
        coded = replace(coded, encoding=encoding)
        values = coded.values().T
    return coded


def joined(parts: list[CodedWeights]) -> CodedWeights:
    """Return the weights of several groups as one, rows after rows."""
    if len(parts) == 1:
        return parts[0]
    codes, encodings = np.concatenate([part.codes for part in parts]), [part.encoding for part in parts]
    bases = [encoding for encoding in encodings if isinstance(encoding, LearnedBasis)]
    if bases:
        columns = ([getattr(basis, name) for basis in bases] for name in ("basis", "offset", "top"))
        return CodedWeights(LearnedBasis(*map(np.concatenate, columns)), codes)
    powers = [encoding for encoding in encodings if isinstance(encoding, PowerOfTwo)]
    if powers:
        return CodedWeights(PowerOfTwo(powers[0].bits, np.concatenate([p.scale for p in powers])), codes)
    affine = [encoding for encoding in encodings if isinstance(encoding, Affine)]
    repeats = [len(part.codes) // encoding.channels for part, encoding in zip(parts, affine, strict=True)]
    scale, zero_point = (
        np.concatenate([np.repeat(getattr(e, name), n) for e, n in zip(affine, repeats, strict=True)])
        for name in ("scale", "zero_point")
    )
    return CodedWeights(Affine(affine[0].bits, scale, zero_point), codes)


class _LevelGrid:
    """A grid of few levels `[o, l]`, ascending."""

    def __init__(self, levels: Array) -> None:
        self._levels = np.ascontiguousarray(levels.T)
        self._thresholds = np.ascontiguousarray(qem.midpoints(levels).T)
        self._outputs = np.arange(len(levels))

    def nearest(self, values: Array) -> Array:
        return np.asarray(self._levels[(values > self._thresholds).sum(axis=0), self._outputs])


class _AffineGrid:
    """A uniform grid: rounding, whatever the number of levels."""

    def __init__(self, encoding: Affine) -> None:
        self._scale, self._zero, self._most = (
            encoding.integer_scale(),
            encoding.zero_point,
            (1 << encoding.bits) - 1,
        )

    def nearest(self, values: Array) -> Array:
        codes = np.clip(np.rint(values / self._scale) + self._zero, 0, self._most)
        return np.asarray(self._scale * (codes - self._zero))


def _grid(encoding: Weights) -> _LevelGrid | _AffineGrid:
    if isinstance(encoding, Affine):
        return _AffineGrid(encoding)
    return _LevelGrid(np.sort(encoding.levels(), axis=1))


def _fit(weights: Array, plan: Plan, importance: Array | None = None) -> qem.Fit:
    """Return the basis of every row of `weights [o, n]`; rows are brought to one size first, exactly."""
    update: qem.Update = "gradient" if plan.update == "gradient" else "least-squares"
    exponent = np.frexp(np.abs(weights).max(axis=1, keepdims=True))[1]
    fit = qem.fit(
        qem.Points.of(np.ldexp(weights, -exponent), importance),
        plan.weight_bits,
        offset=plan.uses_weight_offset,
        update=update,
        restarts=plan.restarts,
        seed=plan.seed,
    )
    return qem.Fit(np.ldexp(fit.basis, exponent), np.ldexp(fit.offset, exponent[:, 0]), fit.error)


def _restored_basis(problem: Problem, plan: Plan, importance: Array) -> tuple[LearnedBasis, Array]:
    """Return a snapped basis, and values `[d, o]` near its levels, refined in turn."""
    fit = _fit(problem.target.T, plan, importance)
    values = feed_back(problem, _LevelGrid(_sorted_levels(fit)))
    for _ in range(plan.rounds):
        fit = _refitted(problem, values, fit, plan.uses_weight_offset)
        values = descend(problem, values, _LevelGrid(_sorted_levels(fit)), SWEEPS)
    return snapped_basis(fit), values


def _refitted(problem: Problem, values: Array, fit: qem.Fit, offset: bool) -> qem.Fit:
    """Return the basis with least error for the codes that `values [d, o]` have under `fit`."""
    bits = fit.basis.shape[1]
    levels = qem.levels(fit.basis, fit.offset)
    order = np.argsort(levels, axis=1)
    thresholds = qem.midpoints(np.take_along_axis(levels, order, 1))
    ranks = sum((values > step for step in thresholds.T), np.zeros(values.shape, np.intp))
    codes = np.take_along_axis(order, ranks.T, axis=1)
    planes = qem.signs(bits)[codes].transpose(2, 1, 0)
    if offset:
        planes = np.concatenate([planes, np.ones((1, *values.shape))])
    solution = refit(problem, planes)
    shift = solution[:, bits] if offset else np.zeros(len(solution))
    return qem.Fit(np.sort(np.abs(solution[:, :bits]), axis=1), shift, fit.error)


def _sorted_levels(fit: qem.Fit) -> Array:
    return np.sort(qem.levels(fit.basis, fit.offset), axis=1)


def snapped_basis(fit: qem.Fit, bound: int = WEIGHT_BOUND) -> LearnedBasis:
    """Return a basis as weights have it: scales times small integers, the offset a multiple of the scale.

    Args:
        fit: real basis and offset.
        bound: the largest integer of a level.
    """
    basis = np.maximum(fit.basis, np.maximum(fit.basis[:, -1:] * _FLATTEST, _TINIEST))
    if fit.offset.any():
        return _snapped_with_offset(basis, fit.offset, bound)
    free = np.zeros(len(basis), np.int32)
    return snap_weights(LearnedBasis(basis.astype(np.float32), fit.offset.astype(np.float32), free), bound)


def _snapped_with_offset(basis: Array, offset: Array, bound: int) -> LearnedBasis:
    """Return m_i and P as large as sum_i m_i + |P| <= bound allows, so that every level fits int8."""
    bits = basis.shape[1]
    basis = np.maximum(basis, np.abs(offset)[:, None] / (bound - 2 * bits))
    integers, units = np.ones_like(basis), np.rint(offset / basis[:, -1])
    for top in range(1, (OFFSET_STEPS if bits == 1 else bound) + 1):
        m, shift = np.rint(top * basis / basis[:, -1:]), np.rint(top * offset / basis[:, -1])
        fits = (m[:, 0] > 0) & (m.sum(axis=1) + np.abs(shift) <= bound)
        integers, units = np.where(fits[:, None], m, integers), np.where(fits, shift, units)
    scale = basis[:, -1] / integers[:, -1]
    return of_integers(scale, integers, units)


def _rescaled(problem: Problem, coded: CodedWeights) -> Weights:
    """Return the encoding with the scale of least error for its codes; integers stay as they are."""
    old = coded.encoding
    if old.channels != len(coded.codes):
        return old
    factor = refit(problem, coded.values().T[None])[:, 0]
    factor = np.where((factor > 0.1) & (factor < 10), factor, 1.0)
    if not isinstance(old, LearnedBasis):
        return replace(old, scale=(old.scale * factor).astype(np.float32))
    # From the integers, so that rounding to float32 keeps every ratio.
    return of_integers(old.scale * factor, old.multipliers, old.integer_weight_offset())


def of_integers(scale: Array, integers: npt.NDArray[Any], units: npt.NDArray[Any]) -> LearnedBasis:
    """Return the encoding of scale * integers, its offset a multiple of the scale as float32 leaves it."""
    basis, top = (scale[:, None] * integers).astype(np.float32), integers[:, -1].astype(np.int32)
    offset = units * (basis[:, -1].astype(np.float64) / top)
    return LearnedBasis(basis, offset.astype(np.float32), top)
