"""One task of a sweep: make a network, count what it gets right, and weigh it. Runs in any process."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lowbit.analysis import layer_bytes, weight_divergence
from lowbit.errors import LowbitError
from lowbit.ir import Graph
from lowbit.ir.text import to_text
from lowbit.scores import score, top
from lowbit.sweep.settings import Setting


class Task(NamedTuple):
    """What a worker gets; plain data.

    Attributes:
        graph: the float network.
        setting: what to make of it.
        calibration: unlabelled samples, or None where none are needed.
        samples: to count over ``[n, ...]``.
        labels: ``[n]``.
        keep: whether the network is given back, to be timed.
    """

    graph: Graph
    setting: Setting
    calibration: npt.NDArray[np.float32] | None
    samples: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    keep: bool


def measure(*fields: Any) -> dict[str, Any]:
    """Return ``top1``, ``divergence`` and ``bytes``, or ``error`` where this setting cannot be made.

    With `Task.keep`, ``network`` is the network's text form.

    Args:
        fields: those of a `Task`, one by one, so that workers share the arrays.
    """
    task = Task(*fields)
    try:
        low = task.setting.apply(task.graph, task.calibration)
        scores = score(low, task.samples).values
        found: dict[str, Any] = {
            "top1": float(top(scores, task.labels, 1).mean()),
            "divergence": weight_divergence(task.graph, low)[0].divergence,
            "bytes": sum(layer.bytes for layer in layer_bytes(low)),
        }
        return {**found, "network": to_text(low)} if task.keep else found
    except LowbitError as error:
        return {"error": str(error)}
