"""Restore a layer's float output after quantization, in the metric of the inputs that the layer really gets.

The float layer gives Y = W X + b. The quantized one sees coded inputs X~ and has weights W^ on a grid. With
centred covariances over the samples, H = cov(X~, X~) + d I and d = damping * mean diagonal:

    target   W* = (cov(Y, X~) + d W) H^-1         the best free weights for inputs as they really arrive
    error    sum_o (w^_o - w*_o) H (w^_o - w*_o)^T

1. QEM on W*, columns weighted by diag(H), gives the first basis of every output.
2. Codes by error feedback: column by column the nearest level, e = (w_j - w^_j) / U_jj, and the columns
   still to come take w -= e U_j, with U the upper Cholesky factor of H^-1.
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

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.schemes.fitting.grids import Grid

Array = npt.NDArray[np.float64]
RIDGE = 1e-9
SWEEPS = 3  # of coordinate descent, between two fits of a grid
BLOCK = 32  # columns that are worked on before the others hear of it: turns most work into matrix products


@dataclass(frozen=True)
class Problem:
    """Weights to come near to, and the metric that says what nearness is.

    Attributes:
        target: W* transposed, `[d, o]`.
        metric: H, `[d, d]`, symmetric and positive definite.
    """

    target: Array
    metric: Array

    @classmethod
    def of(cls, covariance: Array, cross: Array, weights: Array, damping: float) -> "Problem":
        """Return the problem of one layer.

        Args:
            covariance: of the inputs as they arrive, `[d, d]`.
            cross: covariance of these inputs with the float outputs, `[d, o]`.
            weights: the float weights, `[o, d]`.
            damping: how strongly the float weights are kept, in mean diagonals of `covariance`.
        """
        ridge = damping * (float(np.trace(covariance)) / len(covariance) or 1.0)  # 1 where nothing varies
        metric = covariance + ridge * np.eye(len(covariance))
        return cls(np.asarray(np.linalg.solve(metric, cross + ridge * weights.T), np.float64), metric)

    def error(self, values: Array) -> Array:
        """Return the error of every output, `[o]`, for weights `values [d, o]`."""
        difference = values - self.target
        return np.asarray(np.einsum("do,do->o", difference, self.metric @ difference))


def feed_back(problem: Problem, grid: Grid) -> Array:
    """Return grid values `[d, o]`, column by column; each column's error is handed to those after it."""
    factor = _upper_cholesky_of_inverse(problem.metric)
    wanted, values = problem.target.copy(), np.empty_like(problem.target)
    for start in range(0, len(wanted), BLOCK):
        block = range(start, min(start + BLOCK, len(wanted)))
        errors = np.empty((len(block), wanted.shape[1]))
        for row, j in enumerate(block):
            values[j] = grid.nearest(wanted[j])
            errors[row] = (wanted[j] - values[j]) / factor[j, j]
            wanted[j : block.stop] -= factor[j, j : block.stop, None] * errors[row]
        wanted[block.stop :] -= factor[block.start : block.stop, block.stop :].T @ errors
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


def _upper_cholesky_of_inverse(metric: Array) -> Array:
    """Return U, upper triangular with U^T U = metric^-1."""
    return np.ascontiguousarray(np.linalg.cholesky(np.linalg.inv(metric)).T)
