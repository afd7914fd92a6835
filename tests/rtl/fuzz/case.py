"""An engine with pictures, and what it has to send."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.rtl.design import Design
from lowbit.rtl.report import Bench


@dataclass(frozen=True, eq=False)
class Case:
    """A design, pictures with the reference's scores, and the sums at full width where they are known."""

    name: str
    design: Design
    bench: Bench
    sums: npt.NDArray[np.int64] | None = None

    def differ(self, scores: npt.NDArray[np.int64], classes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return for each picture whether anything that the hardware sent for it is wrong."""
        wrong = (self.design.real_scores(scores) != self.bench.scores).any(axis=1)
        wrong |= classes != self.design.real_class(scores)
        if self.sums is not None:
            wrong |= (scores != self.sums).any(axis=1) | (classes != self.sums.argmax(axis=1))
        return np.asarray(wrong)
