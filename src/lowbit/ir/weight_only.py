"""The arithmetic of weight-only layers: ``Linear`` and ``Convolution`` whose input is float32.

With levels w_on of the weights, whatever their encoding:

    y_o = f(float32(sum_n w_on x_n + bias_o))

and where the weights are planes, w_on = P_o + sum_j a_oj s_jon, a_oj = scale_o * m_oj, s = +-1, so that

    y_o = f(float32(sum_j a_oj (sum_n s_jon x_n) + P_o sum_n x_n + bias_o))

The reference sums in float64. Floats have no exact sums, so a backend that sums in float32, in any order and
in either form, agrees for finite x and before f up to the classic bound (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, eq. 4.4), with a few units more for the roundings of a_oj and of the end:

    |y - y_reference| <= (n + 16) 2^-24 (A_o sum_n |x_n| + |bias_o|)

where A_o is the largest |w_o| that its codes can have, for planes |P_o| + sum_j a_oj.

What the memory holds is k bits for each weight; float activations cost nothing in accuracy (Jeon et al.,
BiQGEMM, 2020, for the case and for look-up tables of partial sums). Padding of a convolution is true zero.
"""

import numpy as np
import numpy.typing as npt

from lowbit.ir.deployed import codes_of, row_length
from lowbit.ir.graph import Value
from lowbit.schemes import decoded

Floats = npt.NDArray[np.float64]

_UNIT, _EXTRA = 2.0**-24, 16


def weight_levels(weights: Value) -> Floats:
    """Return ``w_on``, the levels of constant weights, float64 ``[o, n]``."""
    assert weights.encoding is not None
    return decoded(weights.encoding, codes_of(weights))


def tolerance(weights: Value, bias: npt.ArrayLike, magnitudes: npt.ArrayLike) -> Floats:
    """Return by how much float32 sums may differ from the reference.

    Args:
        weights: of the layer.
        bias: ``[o]``.
        magnitudes: ``sum_n |x_n|`` of what an output reads, ``[...]``.

    Returns:
        float64 ``[..., o]``.
    """
    assert weights.encoding is not None
    offset, outputs = weights.encoding.integer_offset(), int(weights.shape[0])
    reach = np.abs(weights.encoding.levels() - offset[:, None]).max(axis=1) + np.abs(offset)
    reach = reach.reshape(outputs, -1).max(axis=1) if weights.encoding.group else reach
    total = np.asarray(magnitudes, np.float64)[..., None] * reach + np.abs(np.asarray(bias, np.float64))
    return np.asarray((row_length(weights) + _EXTRA) * _UNIT * total)
