"""What TensorFlow calls things: paths of scopes, ending in an operator, joined where operators were made one.

``model/relu/Relu;model/conv/BiasAdd;model/conv/Conv2D1`` is what a convolution with an activation gives. A
layer is called after the scope of the operator that reads its weights, here ``model/conv``.
"""

import re

_READS_WEIGHTS = re.compile(
    r"(depthwise|separable_conv2d|convolution|conv_transpose|Conv[123]D\w*|DepthwiseConv2dNative"
    r"|conv[123]d_transpose|MatMul|BatchMatMul\w*|Tensordot)(\d*|[_:].*)$"
)


def layer_of_path(name: str) -> str:
    """Return ``model/conv`` for ``model/norm/mul;model/conv/Conv2D``, or "" for a name that says no layer.

    Args:
        name: of the tensor of weights.
    """
    for path in name.split(";"):
        words = path.split("/")
        ends = [place for place, word in enumerate(words) if place and _READS_WEIGHTS.match(word)]
        if ends:
            return "/".join(words[: ends[-1]])
    return ""


def first_path(name: str) -> str:
    """Return the first of the paths that a name joins; it is the one of the operator that came last."""
    return name.split(";")[0] or name
