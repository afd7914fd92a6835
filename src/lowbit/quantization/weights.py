"""Weights as codes: nearest to the float weights, or restoring the float output."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.errors import NumericError
from lowbit.quantization.plan import Plan
from lowbit.schemes.coded import CodedWeights, joined
from lowbit.schemes.fitting import Problem, grid_of
from lowbit.schemes.fitting.restore import SWEEPS, least_squares

__all__ = ["CodedWeights", "check_weights", "joined", "nearest", "restored"]

Array = npt.NDArray[np.float64]
GRID_ROUNDS = 2


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
    dead, form = np.asarray(~weights.any(axis=1)), plan.weight_form
    alive = np.where(dead[:, None], 1.0, weights)
    encoding = form.fit.weights(alive, form, plan)
    return CodedWeights(encoding, encoding.encode(alive)).silenced(dead)


def restored(problem: Problem, plan: Plan) -> CodedWeights:
    """Return the codes and encoding that solve `problem`: the float output restored."""
    dead = np.asarray(~problem.target.any(axis=0))
    alive = replace(problem, target=np.where(dead, 1.0, problem.target))
    return _restored(alive, plan).silenced(dead)


def _restored(problem: Problem, plan: Plan) -> CodedWeights:
    form = plan.weight_form
    encoding, found = form.fit.restored(problem, form, plan)
    coded = CodedWeights(encoding, encoding.encode(found.T))
    values = np.ascontiguousarray(coded.values(), np.float64)
    products = values @ problem.metric
    for _ in range(GRID_ROUNDS):
        residual = products - problem.goal
        grid_of(coded.encoding).descend(problem.metric, values, residual, SWEEPS)
        products = residual + problem.goal
        coded = CodedWeights(coded.encoding, coded.encoding.encode(values))
        scaled = _rescaled(values, products, problem, coded)
        if scaled is not coded:
            by = scaled.encoding.integer_scale() / coded.encoding.integer_scale()
            coded, products = scaled, products * by[:, None]
            values = np.ascontiguousarray(coded.values(), np.float64)
    return coded


def _rescaled(values: Array, products: Array, problem: Problem, coded: CodedWeights) -> CodedWeights:
    """Return weights with the scale of least error for their codes; integers stay as they are."""
    if coded.encoding.channels != len(values):
        return coded
    square = np.einsum("od,od->o", values, products)
    right = np.einsum("od,do->o", products, problem.target)
    factor = least_squares(square[:, None, None], right[:, None])[:, 0]
    encoding = coded.encoding.scaled(np.where((factor > 0.1) & (factor < 10), factor, 1.0))
    return coded if encoding is None else replace(coded, encoding=encoding)
