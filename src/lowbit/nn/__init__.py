"""Layers to train at low bits, and the networks of the zoo as modules. Needs the extra ``train``."""

from lowbit.errors import MissingExtra

try:
    import torch  # noqa: F401 - the first of the imports below that could fail
except ImportError as error:
    raise MissingExtra("torch", "train") from error

from lowbit.nn.network import Network

__all__ = ["Network"]
