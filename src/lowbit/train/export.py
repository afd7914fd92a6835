"""From a trained module to the files that others read.

``model.onnx``, and ``model.circle`` where its schemes allow; ``model.txt`` where ONNX cannot say it.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lowbit.data import Framing, remember_class_names, remember_framing
from lowbit.errors import UnsupportedError
from lowbit.formats import write_model
from lowbit.nn import to_graph


@dataclass(frozen=True)
class Remembered:
    """What files say of their samples, so that all who read them do the same to theirs.

    Attributes:
        normalize: mean and deviation, or means and then deviations of channels; nothing for none.
        framing: how pictures become what the network takes.
        classes: their names, by number.
    """

    normalize: tuple[float, ...] = ()
    framing: Framing | None = None
    classes: tuple[str, ...] = ()


def write_networks(
    module: nn.Module, shape: tuple[int, ...], folder: Path, remembered: Remembered
) -> dict[str, str]:
    """Write the files and return, by format, why one could not be written.

    Args:
        module: trained, on the CPU.
        shape: of one sample.
        folder: of the run.
        remembered: what the files say of their samples.
    """
    graph, refused = to_graph(module, shape), {}
    if remembered.normalize:
        graph.metadata["normalize"] = ",".join(map(repr, remembered.normalize))
    if remembered.framing is not None:
        remember_framing(graph, remembered.framing)
    remember_class_names(graph, remembered.classes)
    for suffix in ("onnx", "circle"):
        try:
            write_model(graph, folder / f"model.{suffix}")
        except UnsupportedError as error:
            refused[suffix] = str(error)
    if "onnx" in refused:
        write_model(graph, folder / "model.txt")
    return refused
