"""Where the format's maps differ from the graph's: axes [n, h, w, c] against [n, c, h, w], and padding.

``SAME`` pads so that there are ceil(length / stride) windows, the odd zero behind:

    total = max((ceil(length / stride) - 1) stride + (kernel - 1) dilation + 1 - length, 0)
    before = floor(total / 2),   after = total - before

A file keeps maps in its own layout as long as operators on maps follow each other; a TRANSPOSE stands only
where something else reads them. The reader takes those transposes away again.
"""

from collections.abc import Sequence

from lowbit.formats.circle.schema import SAME, VALID

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
"""How axes move from the format's maps to the graph's, and back."""

Lengths = Sequence[int]


def same_pads(lengths: Lengths, kernel: Lengths, strides: Lengths, dilations: Lengths) -> tuple[int, ...]:
    """Return the pads of ``SAME`` as the graph writes them: top, left, bottom, right."""
    before, after = [], []
    for length, taps, stride, dilation in zip(lengths, kernel, strides, dilations, strict=True):
        reach = (-(-length // stride) - 1) * stride + (taps - 1) * dilation + 1
        total = max(reach - length, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    return (*before, *after)


def padding_of(
    pads: Lengths, lengths: Lengths, kernel: Lengths, strides: Lengths, dilations: Lengths
) -> int | None:
    """Return the value of ``Padding`` that means these pads, or None where there is none."""
    if not any(pads):
        return VALID
    return SAME if tuple(pads) == same_pads(lengths, kernel, strides, dilations) else None
