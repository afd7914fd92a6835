"""Learned bases of weights and of activations.

Weights: QEM, or, to restore a layer's output, QEM on the target and then basis and codes in turn; the real
basis is snapped to scale * small integers at the end.

Activations: a learned basis is deployed as scale * small integers. With at most 4 bits and sum m_i <= 21
there are few integer bases, so all of them are tried: for each, scale and offset come from least squares in
turn with the codes, and the best one stays. Nothing is lost by snapping afterwards.
"""

from itertools import combinations_with_replacement
from math import gcd

import numpy as np
import numpy.typing as npt

from lowbit.schemes.affine.fit import encoding_of_range
from lowbit.schemes.encoding import SMALLEST
from lowbit.schemes.fitting import Fit, Observed, Problem, Settings, qem
from lowbit.schemes.fitting.grids import LevelGrid
from lowbit.schemes.fitting.restore import SWEEPS, Planes, feed_back
from lowbit.schemes.learned_basis.encoding import (
    ACTIVATION_BOUND,
    WEIGHT_BOUND,
    LearnedBasis,
    of_integers,
    snap_weights,
)
from lowbit.schemes.specification import Specification

Array = npt.NDArray[np.float64]

STEPS = 20
OFFSET_STEPS = 8  # a coefficient alone, of one bit, is this many steps of its offset
_FLATTEST = 1 / 64  # least ratio of two coefficients: keeps a basis positive where a bit is of no use


class LearnedBasisFit(Fit):
    """Learned bases."""

    def weights(
        self, weights: Array, form: Specification, settings: Settings, importance: Array | None = None
    ) -> LearnedBasis:
        """Return the snapped basis of every row of weights `[o, n]`."""
        return snapped_basis(_fit(weights, form, settings, importance))

    def restored(
        self, problem: Problem, form: Specification, settings: Settings
    ) -> tuple[LearnedBasis, Array]:
        """Return a snapped basis, and values `[d, o]` near its levels, refined in turn."""
        fit = _fit(problem.target.T, form, settings, np.diag(problem.metric))
        table, coefficients = qem.signs(form.bits), fit.basis
        if settings.uses_weight_offset:
            table = np.column_stack([table, np.ones(len(table))])
            coefficients = np.column_stack([fit.basis, fit.offset])
        values = feed_back(problem, LevelGrid(np.sort(coefficients @ table.T, axis=1))).T
        planes = Planes(problem, _codes(values, coefficients @ table.T), table)
        for _ in range(settings.rounds):
            coefficients = planes.refit()
            levels = coefficients @ table.T
            values = np.take_along_axis(levels, planes.codes, axis=1)
            residual = planes.residual(coefficients)
            LevelGrid(np.sort(levels, axis=1)).descend(problem.metric, values, residual, SWEEPS)
            planes.follow(_codes(values, levels))
        shift = coefficients[:, form.bits] if settings.uses_weight_offset else fit.offset
        basis = np.sort(np.abs(coefficients[:, : form.bits]), axis=1)
        return snapped_basis(qem.Fit(basis, shift, fit.error)), values.T

    def activations(self, observed: Observed, form: Specification, settings: Settings) -> LearnedBasis:
        """Return the best basis of small integers; values are brought to a usual size first, exactly."""
        sums = observed.sums
        exponent = -int(np.frexp(np.abs(sums[1] / sums[0]).max())[1])
        points = qem.Points.binned(np.ldexp(sums, np.array([[0], [exponent], [exponent], [2 * exponent]])))
        offset, restarts = settings.uses_activation_offset, 2 * settings.restarts
        free = qem.fit(
            points, form.bits, offset=offset, update=_update(settings), restarts=restarts, seed=settings.seed
        )
        found = _integer_basis(points, free, offset)
        return LearnedBasis(np.ldexp(found.basis, -exponent), np.ldexp(found.offset, -exponent), found.top)

    def constant(self, value: float, form: Specification, settings: Settings) -> LearnedBasis:
        """Return the planes of the uniform grid from zero to the value."""
        ends = np.array([min(value, 0.0)]), np.array([max(value, 0.0)])
        return encoding_of_range(*ends, form.bits, symmetric=False).to_learned_basis()


def _fit(weights: Array, form: Specification, settings: Settings, importance: Array | None = None) -> qem.Fit:
    """Return the basis of every row of `weights [o, n]`; rows are brought to one size first, exactly."""
    exponent = np.frexp(np.abs(weights).max(axis=1, keepdims=True))[1]
    fit = qem.fit(
        qem.Points.of(np.ldexp(weights, -exponent), importance),
        form.bits,
        offset=settings.uses_weight_offset,
        update=_update(settings),
        restarts=settings.restarts,
        seed=settings.seed,
    )
    return qem.Fit(np.ldexp(fit.basis, exponent), np.ldexp(fit.offset, exponent[:, 0]), fit.error)


def _update(settings: Settings) -> qem.Update:
    return "gradient" if settings.update == "gradient" else "least-squares"


def _codes(values: Array, levels: Array) -> npt.NDArray[np.uint8]:
    """Return the codes of values `[o, d]` that are levels `[o, codes]`."""
    order = np.argsort(levels, axis=1)
    thresholds = qem.midpoints(np.take_along_axis(levels, order, 1))
    ranks = sum((values > step[:, None] for step in thresholds.T), np.zeros(values.shape, np.intp))
    return np.take_along_axis(order, ranks, axis=1).astype(np.uint8)


def snapped_basis(fit: qem.Fit, bound: int = WEIGHT_BOUND) -> LearnedBasis:
    """Return a basis as weights have it: scales times small integers, the offset a multiple of the scale.

    Args:
        fit: real basis and offset.
        bound: the largest integer of a level.
    """
    basis = np.maximum(fit.basis, np.maximum(fit.basis[:, -1:] * _FLATTEST, SMALLEST))
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


def _integer_basis(points: qem.Points, free: qem.Fit, offset: bool) -> LearnedBasis:
    """Return the best basis of scale * integers, started from the free one."""
    integers = _integer_bases(free.basis.shape[1])
    ascending = np.sort(integers @ qem.signs(integers.shape[1]).T, axis=1)
    points = points.repeated(len(integers))
    scale = (integers @ free.basis[0]) / (integers * integers).sum(axis=1)
    shift = np.full(len(integers), free.offset[0])
    for _ in range(STEPS):
        mass, moment = points.intervals(qem.midpoints(scale[:, None] * ascending + shift[:, None]))
        scale, shift = _line(ascending, mass, moment, scale, offset)
    best = int(np.argmin(points.error(scale[:, None] * ascending + shift[:, None])))
    basis = scale[best] * integers[best]
    return LearnedBasis(basis[None], shift[best : best + 1], integers[best, -1:].astype(np.int32))


def _integer_bases(bits: int) -> Array:
    """Return all ascending integer bases within the bound, without common divisor, `[c, bits]`."""
    candidates = combinations_with_replacement(range(1, ACTIVATION_BOUND + 1), bits)
    return np.array([m for m in candidates if sum(m) <= ACTIVATION_BOUND and gcd(*m) == 1], np.float64)


def _line(integers: Array, mass: Array, moment: Array, scale: Array, offset: bool) -> tuple[Array, Array]:
    """Return scale and shift `[c]` of the line from integers to targets; a flat row keeps its scale."""
    total, first = mass.sum(axis=1), (mass * integers).sum(axis=1)
    second, goal = (mass * integers**2).sum(axis=1), (moment * integers).sum(axis=1)
    if not offset:
        usable = (goal > 0) & (second > 0)
        return np.where(usable, goal / np.where(usable, second, 1.0), scale), np.zeros(len(scale))
    spread = total * second - first**2
    rise = total * goal - first * moment.sum(axis=1)
    usable = (spread > 1e-9 * total * second) & (rise > 0)
    scale = np.where(usable, rise / np.where(usable, spread, 1.0), scale)
    return scale, (moment.sum(axis=1) - scale * first) / total


FIT = LearnedBasisFit()
