"""Restore a layer's float output after quantization, in the metric of the inputs that the layer really gets.

The float layer gives Y = W X + b. The quantized one sees coded inputs X~ and has weights W^ on a grid. With
centred covariances over the samples, H = cov(X~, X~) + d I and d = damping * mean diagonal:

    target   W* = (cov(Y, X~) + d W) H^-1         the best free weights for inputs as they really arrive
    error    sum_o (w^_o - w*_o) H (w^_o - w*_o)^T

1. QEM on W*, columns weighted by diag(H), gives the first basis of every output.
2. Codes by error feedback: column by column the level nearest to w_j + sum_{k<j} L_jk / L_jj (w_k - w^_k),
   where H = L^T L and L is lower triangular. That is GPTQ, which writes it with the factor of H^-1: by L,
   columns whose errors are known pull on the next one, and no inverse is taken (Babai's nearest plane;
   Chen et al., The Geometry of LLM Quantization, 2025).
3. In turn, a few times: the basis that minimises the error for these codes, (S H S^T) a = S H w*, S the
   signs; and coordinate descent on the codes: with r = (w^ - w*) H the best value of column j is the level
   nearest to w^_j - r_j / H_jj. Neither can raise the error. Descent begins at the new levels of the same
   codes, and the products S H are kept as codes change: few do, so whole products of matrices are seldom.
4. The basis is snapped to scale * integers, then codes and scales are refined again: what is deployed is
   what was optimised.
5. Bias b^ = mean(Y) - W^ mean(X~).

Error feedback works on transposed arrays, `[inputs, outputs]`: a step is a contiguous column of all outputs.
Descent takes the outputs one by one, `[outputs, inputs]`.

Sources: error feedback: Frantar et al., GPTQ (ICLR 2023); a target for inputs that are themselves
quantized: Li et al., GPTAQ (2025); coordinate descent: Behdin et al., QuantEase (2023).
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lowbit.schemes.fitting import _descent
from lowbit.schemes.fitting.grids import Grid

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]
RIDGE = 1e-9
SWEEPS = 3  # of coordinate descent, between two fits of a grid
SOLVED = 128
"""Rows of a triangle that are solved at once."""

BLOCK = 32  # columns that are worked on before the others hear of it: turns most work into matrix products


@dataclass(frozen=True)
class Problem:
    """Weights to come near to, and the metric that says what nearness is.

    Attributes:
        target: W* transposed, `[d, o]`.
        metric: H, `[d, d]`, symmetric and positive definite.
        factor: L, lower triangular, with metric = L^T L; made of it when not given.
    """

    target: Array
    metric: Array
    factor: Array = field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        if len(self.factor) != len(self.metric):
            object.__setattr__(self, "factor", factor_of(self.metric))

    @classmethod
    def of(cls, covariance: Array, cross: Array, weights: Array, damping: float) -> "Problem":
        """Return the problem of one layer.

        Args:
            covariance: of the inputs as they arrive, `[d, d]`; it becomes the metric in its place.
            cross: covariance of these inputs with the float outputs, `[d, o]`.
            weights: the float weights, `[o, d]`.
            damping: how strongly the float weights are kept, in mean diagonals of `covariance`.
        """
        ridge = damping * (float(np.trace(covariance)) / len(covariance) or 1.0)  # 1 where nothing varies
        covariance[np.diag_indices_from(covariance)] += ridge
        factor = factor_of(covariance)
        return cls(solve(factor, cross + ridge * weights.T), covariance, factor)

    @cached_property
    def goal(self) -> Array:
        """What the metric makes of the target, `[o, d]`."""
        return np.ascontiguousarray(self.target.T @ self.metric)

    def error(self, values: Array) -> Array:
        """Return the error of every output, `[o]`, for weights `values [d, o]`."""
        difference = values - self.target
        return np.asarray(np.einsum("do,do->o", difference, self.metric @ difference))


def factor_of(metric: Array) -> Array:
    """Return L, lower triangular, with metric = L^T L: the Cholesky factor of what is turned end for end."""
    return np.ascontiguousarray(np.linalg.cholesky(metric[::-1, ::-1]).T[::-1, ::-1])


def solve(factor: Array, right: Array) -> Array:
    """Return x `[d, o]` with L^T L x = right, block by block: NumPy solves no triangles."""
    values = np.array(right, np.float64)
    starts = range(0, len(values), SOLVED)
    for start in reversed(starts):  # L^T y = right
        block, behind = slice(start, start + SOLVED), slice(start + SOLVED, None)
        values[block] -= factor[behind, block].T @ values[behind]
        values[block] = np.linalg.solve(factor[block, block].T, values[block])
    for start in starts:  # L x = y
        block, before = slice(start, start + SOLVED), slice(0, start)
        values[block] -= factor[block, before] @ values[before]
        values[block] = np.linalg.solve(factor[block, block], values[block])
    return values


def feed_back(problem: Problem, grid: Grid) -> Array:
    """Return grid values `[d, o]`, column by column; each column's error is handed to those after it."""
    factor, target = problem.factor, problem.target
    values, errors = np.empty_like(target), np.empty_like(target)
    for start in range(0, len(target), BLOCK):
        stop = min(start + BLOCK, len(target))
        wanted = factor[start:stop, :start] @ errors[:start]
        for row, j in enumerate(range(start, stop)):
            pull = wanted[row] + factor[j, start:j] @ errors[start:j]
            values[j] = grid.nearest(target[j] + pull / factor[j, j], j)
            errors[j] = target[j] - values[j]
    return values


class Planes:
    """Weights as sums of planes, W^ = sum_i a_i S_i, with the products S_i H that say what they are worth.

    Args:
        problem: of the layer.
        codes: of the weights, `[o, d]`.
        table: what every code has in every plane, `[codes, planes]`.
    """

    def __init__(self, problem: Problem, codes: Codes, table: Array) -> None:
        self._problem, self._table, self.codes = problem, np.ascontiguousarray(table, np.float64), codes
        self._products = np.empty((len(codes), table.shape[1], codes.shape[1]))
        for index, column in enumerate(self._table.T):
            self._products[:, index] = column[codes] @ problem.metric

    def follow(self, codes: Codes) -> None:
        """Take other codes, `[o, d]`."""
        _descent.follow(self._problem.metric, self._table, self.codes, codes, self._products)
        self.codes = codes

    def refit(self) -> Array:
        """Return the coefficients `[o, planes]` with least error for these codes."""
        planes = self._table.T[:, self.codes]
        square = np.einsum("iod,ojd->oij", planes, self._products, optimize=True)
        right = np.einsum("ojd,do->oj", self._products, self._problem.target, optimize=True)
        return least_squares(square, right)

    def residual(self, coefficients: Array) -> Array:
        """Return (W^ - W*) H for coefficients `[o, planes]`, `[o, d]`."""
        made = np.einsum("oi,oid->od", coefficients, self._products, optimize=True)
        return np.ascontiguousarray(made - self._problem.goal)


def least_squares(square: Array, right: Array) -> Array:
    """Return the solution `[o, k]` of systems `[o, k, k]`, a trace of ridge added."""
    count = square.shape[1]
    # Never quite zero, so that an output of zeros, which affine grids allow, has a solution.
    ridge = RIDGE * np.trace(square, axis1=1, axis2=2) / count + np.finfo(np.float64).tiny
    ridged = square + ridge[:, None, None] * np.eye(count)
    return np.asarray(np.linalg.solve(ridged, right[:, :, None])[:, :, 0])
