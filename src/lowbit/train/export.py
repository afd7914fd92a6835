"""From a trained module to the files that others read.

``model.onnx``, and ``model.circle`` where its schemes allow; ``model.txt`` where ONNX cannot say it.
"""

from pathlib import Path

from torch import nn

from lowbit.errors import UnsupportedError
from lowbit.formats import write_model
from lowbit.nn import to_graph


def write_networks(
    module: nn.Module, shape: tuple[int, ...], folder: Path, normalize: tuple[float, ...] = ()
) -> dict[str, str]:
    """Write the files and return, by format, why one could not be written.

    Args:
        module: trained, on the CPU.
        shape: of one sample.
        folder: of the run.
        normalize: mean and deviation of its inputs, which the files remember; nothing for none.
    """
    graph, refused = to_graph(module, shape), {}
    if normalize:
        graph.metadata["normalize"] = ",".join(map(repr, normalize))
    for suffix in ("onnx", "circle"):
        try:
            write_model(graph, folder / f"model.{suffix}")
        except UnsupportedError as error:
            refused[suffix] = str(error)
    if "onnx" in refused:
        write_model(graph, folder / "model.txt")
    return refused
