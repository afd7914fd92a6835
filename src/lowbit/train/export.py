"""From a trained module to the files that others read."""

from pathlib import Path

from torch import nn

from lowbit.formats import write_model
from lowbit.nn import Network
from lowbit.nn.quantizer import Quantizer
from lowbit.zoo import float_graph, parameters


def write_networks(module: nn.Module, folder: Path) -> None:
    """Write ``model.onnx`` of a float network."""
    assert isinstance(module, Network)
    if any(isinstance(part, Quantizer) for part in module.modules()):
        return
    state = module.state_dict()
    weights = {name: state[name].cpu().numpy() for name in parameters(module.architecture)}
    write_model(float_graph(module.architecture, weights), folder / "model.onnx")
