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
   nearest to w^_j - r_j / H_jj. Neither can raise the error.
4. The basis is snapped to scale * integers, then codes and scales are refined again: what is deployed is
   what was optimised.
5. Bias b^ = mean(Y) - W^ mean(X~).

Arrays inside are transposed, `[inputs, outputs]`: one step works on a contiguous column of all outputs.

Sources: error feedback: Frantar et al., GPTQ (ICLR 2023); a target for inputs that are themselves
quantized: Li et al., GPTAQ (2025); coordinate descent: Behdin et al., QuantEase (2023).
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lowbit.schemes.fitting.grids import Grid

Array = npt.NDArray[np.float64]
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
            values[j] = grid.nearest(target[j] + pull / factor[j, j])
            errors[j] = target[j] - values[j]
    return values


def descend(problem: Problem, values: Array, grid: Grid, sweeps: int) -> Array:
    """Return `values [d, o]` after cyclic coordinate descent; the error of no output rises."""
    values, metric = values.copy(), problem.metric
    residual = metric @ (values - problem.target)
    for _ in range(sweeps):
        before = values.copy()
        for start in range(0, len(values), BLOCK):
            block = slice(start, min(start + BLOCK, len(values)))
            local, inner = residual[block].copy(), metric[block, block]
            old = values[block].copy()
            for row in range(len(old)):
                new = grid.nearest(values[start + row] - local[row] / inner[row, row])
                local += inner[:, row, None] * (new - values[start + row])
                values[start + row] = new
            residual += metric[:, block] @ (values[block] - old)
        if np.array_equal(before, values):
            break
    return values


def refit(problem: Problem, planes: Array) -> Array:
    """Return the coefficients `[o, k]` with least error for `planes [k, d, o]`: W^ = sum_i a_i planes_i."""
    count, inputs, outputs = planes.shape
    weighted = (problem.metric @ planes.transpose(1, 0, 2).reshape(inputs, -1)).reshape(
        inputs, count, outputs
    )
    square = np.einsum("ido,djo->oij", planes, weighted, optimize=True)
    right = np.einsum("dio,do->oi", weighted, problem.target, optimize=True)
    # Never quite zero, so that an output of zeros, which affine grids allow, has a solution.
    ridge = RIDGE * np.trace(square, axis1=1, axis2=2) / count + np.finfo(np.float64).tiny
    square += ridge[:, None, None] * np.eye(count)
    return np.asarray(np.linalg.solve(square, right[:, :, None])[:, :, 0])
