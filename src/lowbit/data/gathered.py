"""Samples of an iterator: batches are taken one after another, until there are enough.

What a data loader gives is taken as it is: a batch, a batch with its labels behind it, or a dictionary of
batches by input.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import DataError

Array = npt.NDArray[np.generic]


def is_stream(samples: object) -> bool:
    """Return whether something gives batches one after another, and is no array or list of numbers."""
    taken_whole = isinstance(samples, str | bytes | list | tuple | Mapping) or hasattr(samples, "__array__")
    return isinstance(samples, Iterable) and not taken_whole


def gathered(batches: Iterable[Any], most: int, names: tuple[str, ...] = ()) -> Array | dict[str, Array]:
    """Return the first samples of an iterator, and take no batch more than they need.

    Args:
        batches: arrays ``[n, ...]``, tuples that begin with one, or dictionaries of arrays.
        most: how many samples are wanted.
        names: of the inputs, whose arrays are taken out of dictionaries; all are, when not given.

    Raises:
        DataError: it gives nothing, or batches of samples that differ.
    """
    parts: list[dict[str, Array]] = []
    count = 0
    for batch in batches:
        parts.append(_arrays(batch, names))
        count += len(next(iter(parts[-1].values()), ()))
        if count >= most:
            break
    if not count:
        raise DataError(
            "the iterator gives no samples", where="samples", expected="batches [n, ...]", found="nothing"
        )
    try:
        joined = {name: np.concatenate([part[name] for part in parts])[:most] for name in parts[0]}
    except (ValueError, KeyError) as error:
        raise DataError(
            "batches of the iterator do not go together",
            where="samples",
            expected="samples of one shape",
            found=str(error)[:160],
        ) from error
    return joined.get("", joined)


def _arrays(batch: Any, names: tuple[str, ...]) -> dict[str, Array]:
    if isinstance(batch, Mapping):
        return {name: _array(batch[name]) for name in batch if not names or name in names}
    first = batch[0] if isinstance(batch, list | tuple) and len(batch) else batch
    return {"": _array(first)}


def _array(batch: Any) -> Array:
    array = np.asarray(batch.detach().cpu() if hasattr(batch, "detach") else batch)
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        raise DataError(
            "a batch of the iterator is no array of numbers",
            where="samples",
            expected="batches [n, ...]",
            found=f"{type(batch).__name__} ({array.dtype}, {list(array.shape)})",
        )
    return array
