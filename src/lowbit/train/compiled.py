"""``torch.compile`` for a run: what it cannot translate ends the run with its reason, and is never left out.

A module that asks for another translation in every step would soon run untranslated, with a line in a log;
here that is an error, too.

The first step of an epoch is taken as it is written. In that of a process every quantizer begins with the
values that it sees, and asks whether it has begun. A question about numbers cuts what is translated: forward
of three layers, of which one has learned bases, was eleven parts, each translated and built on its own; after
a step it is one.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lowbit.errors import UnsupportedError

_OF_THE_COMPILER = ("torch._dynamo", "torch._inductor", "torch._functorch")


def compiled(module: nn.Module) -> nn.Module:
    """Return a module whose forward and backward are translated when they are first taken."""
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    logging.getLogger("torch._dynamo").setLevel(
        logging.ERROR
    )  # where a graph ends is nothing that a user can do about
    made: nn.Module = torch.compile(module)  # type: ignore[assignment]
    return made


@contextmanager
def as_written(wanted: bool) -> Iterator[None]:
    """Let what is compiled run untranslated, if wanted."""
    with torch.compiler.set_stance("force_eager" if wanted else "default"):
        yield


@contextmanager
def translating(wanted: bool) -> Iterator[None]:
    """Turn what the compiler raises into an error of ours.

    Raises:
        UnsupportedError: it cannot translate the module, or finds no compiler of C++.
    """
    try:
        with warnings.catch_warnings():
            if wanted:
                warnings.filterwarnings(
                    "ignore", category=FutureWarning, module="torch"
                )  # of torch about torch
            yield
    except Exception as error:
        if not wanted or not type(error).__module__.startswith(_OF_THE_COMPILER):
            raise
        raise UnsupportedError(
            "torch.compile cannot translate the module",
            where="compile",
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            remedy="Leave --compile away (compile = false): the numbers are the same, but for rounding.",
        ) from error
