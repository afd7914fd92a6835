"""Weights as codes and what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.schemes.encoding import Codes, Encoding, Floats, Rows, decoded


@dataclass(frozen=True, eq=False)
class CodedWeights:
    """Codes `[o, n]` and what they mean, for all outputs or per output."""

    encoding: Encoding
    codes: Codes

    def values(self) -> Floats:
        """Return the levels of the codes, `[o, n]`."""
        return decoded(self.encoding, self.codes)

    def silenced(self, rows: Rows) -> "CodedWeights":
        """Return the weights with those of some outputs zero, or next to nothing."""
        return CodedWeights(*self.encoding.silent(self.codes, rows)) if rows.any() else self


def joined(parts: Sequence[CodedWeights]) -> CodedWeights:
    """Return the weights of several groups as one, rows after rows."""
    if len(parts) == 1:
        return parts[0]
    rows, encodings = [len(part.codes) for part in parts], [part.encoding for part in parts]
    codes = np.concatenate([part.codes for part in parts])
    return CodedWeights(type(encodings[0]).joined(encodings, rows), codes)
