"""Tensors and facts in one safetensors file, written whole or not at all; nothing in it can run.

A checkpoint holds all that the next step depends on: weights, optimizer, moving average, the state of
random generators, and which epoch comes next.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from lowbit.errors import ModelFormatError
from lowbit.untrusted import read_file, write_atomic

_LIMIT = 1 << 36
_FACTS = "lowbit"


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Write tensors by name, and JSON-ready facts beside them.

    Raises:
        WriteError: the file cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(plain, {_FACTS: json.dumps(facts)}))


def read_tensors(
    path: str | os.PathLike[str], needed: tuple[str, ...] = ("recipe",)
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors by name and facts, among them those that are needed.

    Raises:
        FileError: the file is missing, damaged, or none of ours.
    """
    content = read_file(path, limit=_LIMIT)
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        facts = json.loads(header["__metadata__"][_FACTS])
        return tensors, {name: facts[name] for name in needed}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(
            "this is no file of tensors that a training run wrote",
            where=str(path),
            expected="safetensors with lowbit's facts",
            found=str(error),
            remedy="Start the run again with --fresh.",
        ) from error


def training_state(
    module: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None
) -> dict[str, Tensor]:
    """Return every tensor that the next step depends on, the generators of torch among them."""
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{index}.{name}": slot for name, slot in slots.items() if isinstance(slot, Tensor)
        }
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    return tensors


def restore_training(
    tensors: Mapping[str, Tensor],
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: nn.Module | None,
) -> None:
    """Put back what `training_state` returned.

    Raises:
        ModelFormatError: it is not what these modules have.
    """
    try:
        module.load_state_dict(_below(tensors, "module."))
        _restore_optimizer(_below(tensors, "optimizer."), optimizer)
        if average is not None:
            average.load_state_dict(_below(tensors, "average."))
        torch.set_rng_state(tensors["random.cpu"])
        if torch.cuda.is_available() and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
    except (RuntimeError, KeyError, ValueError, IndexError) as error:
        raise ModelFormatError(
            "the checkpoint does not fit the network",
            found=str(error).splitlines()[0],
            remedy="Start the run again with --fresh.",
        ) from error


def _restore_optimizer(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        like = weights[int(index)]
        # In the layout of the weights: torch adds tensors of one layout faster.
        placed = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
        slots.setdefault(int(index), {})[name] = placed
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
