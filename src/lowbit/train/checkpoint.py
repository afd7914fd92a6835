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
from lowbit.state import canonical, digest, entry, parsed
from lowbit.untrusted import read_file, write_atomic

_LIMIT = 1 << 36
_FACTS, _CHECKSUM = "lowbit", "sha256"
FRESH = "Start the run again with --fresh."


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Write tensors by name, JSON-ready facts beside them, and a checksum of both.

    Raises:
        WriteError: the file cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = memoryview(save(plain, {_FACTS: json.dumps(facts)}))
    header, numbers = _header(content, str(path)), _numbers(content)
    header["__metadata__"][_CHECKSUM] = digest(header, numbers)
    text = canonical(header)
    text += b" " * (-len(text) % 8)  # numbers begin at a multiple of eight
    write_atomic(path, (len(text).to_bytes(8, "little"), text, bytes(numbers)))


def read_tensors(
    path: str | os.PathLike[str], needed: tuple[str, ...] = ("recipe",)
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors by name and facts, among them those that are needed.

    A file without a checksum, of an earlier lowbit, is read all the same.

    Raises:
        FileError: the file is missing, damaged, or none of ours.
    """
    content = read_file(path, limit=_LIMIT)
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise _none_of_ours(path, str(error)) from error
    header = _header(memoryview(content), str(path))
    metadata = entry(header, "__metadata__", dict, str(path), FRESH)
    checksum = metadata.pop(_CHECKSUM, None)
    if checksum is not None and checksum != digest(header, _numbers(memoryview(content))):
        raise _none_of_ours(path, "another checksum than it was written with")
    facts = parsed(entry(metadata, _FACTS, str, str(path), FRESH), str(path), _KIND, FRESH)
    if absent := [name for name in needed if not isinstance(facts.get(name), dict)]:
        raise _none_of_ours(path, f"no {' and no '.join(absent)}")
    return tensors, facts


def _header(content: memoryview, where: str) -> dict[str, Any]:
    """Return the table of tensors and the metadata of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    return parsed(bytes(content[8 : 8 + length]), where, _KIND, FRESH)


def _numbers(content: memoryview) -> memoryview:
    return content[8 + int.from_bytes(content[:8], "little") :]


def _none_of_ours(path: str | os.PathLike[str], found: str) -> ModelFormatError:
    expected = "safetensors with lowbit's facts"
    return ModelFormatError(
        f"this is no {_KIND}", where=str(path), expected=expected, found=found, remedy=FRESH
    )


_KIND = "file of tensors that a training run wrote"


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
            remedy=FRESH,
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
