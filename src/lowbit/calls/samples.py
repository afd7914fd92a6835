"""Samples as a network takes them, by the conventions of `lowbit.data.dataset`."""

import logging
import os
from collections.abc import Mapping

import numpy.typing as npt

from lowbit.data import (
    Dataset,
    Framing,
    Inputs,
    NetworkInput,
    Normalize,
    inputs_of,
    read_inputs,
    remembered_class_names,
    remembered_framing,
    remembered_normalize,
)
from lowbit.data import load as load_data
from lowbit.data.dataset import RESCALED, Choose
from lowbit.errors import DataError
from lowbit.ir import Graph

_log = logging.getLogger("lowbit")


def load_samples(
    graph: Graph,
    data: str | npt.ArrayLike | Dataset,
    split: str = "test",
    normalize: Normalize = None,
    scale: float | None = None,
    framing: Framing | None = None,
    choose: Choose | None = None,
) -> Dataset:
    """Return data as a network takes it: its shape and type, normalized as its file remembers.

    Args:
        graph: the network.
        data: a name, a path, an array, or a data set, which is neither scaled nor normalized again.
        split: train or test.
        normalize: instead of what the file remembers.
        scale: what every number is multiplied by, instead of the conventions of `lowbit.data.dataset`.
        framing: how pictures become the size that it takes, instead of what the file remembers.
        choose: which samples are wanted, where not all are; see `lowbit.data.load`.

    Raises:
        DataError: samples do not fit the network.
        NumericError: NaN or infinity in a sample.
        ModelFormatError: what the network's file remembers is not understood.
    """
    network = NetworkInput.of(graph)
    if isinstance(data, Dataset):
        dataset = data.fit_to(network)
    else:
        chosen = remembered_normalize(graph, normalize)
        frame = remembered_framing(graph, framing) if isinstance(data, str | os.PathLike) else framing
        dataset = load_data(
            data, split, normalize=chosen, scale=scale, network=network, framing=frame, choose=choose
        ).numbered_as(remembered_class_names(graph))
    callers = not isinstance(data, str | Dataset)
    for note in dataset.notes:
        level = logging.WARNING if callers and note.startswith(RESCALED) else logging.INFO
        _log.log(level, "%s: %s", dataset.name, note)
    if dataset.outside:
        _log.warning("%s: %d values are beyond the network's range", dataset.name, dataset.outside)
    return dataset


def load_inputs(
    graph: Graph,
    data: str | npt.ArrayLike | Dataset | Mapping[str, npt.ArrayLike],
    split: str = "test",
    normalize: Normalize = None,
    scale: float | None = None,
    framing: Framing | None = None,
    choose: Choose | None = None,
) -> Inputs:
    """Return data as a network takes it: an array for each input, in its shape and type.

    Args:
        graph: the network.
        data: of one input as for `load_samples`; of several a dictionary of arrays by their names, with
            ``labels`` where there are any, a tuple of arrays in the order of the graph, or an ``.npz``.
        split, normalize, scale, framing, choose: of one input; arrays of several are taken as they are.

    Raises:
        DataError: samples do not fit the network, naming the input.
        NumericError: NaN or infinity in a sample.
        ModelFormatError: what the network's file remembers is not understood.
    """
    if len(graph.inputs) < 2 and not isinstance(data, Mapping):
        return inputs_of(graph, load_samples(graph, data, split, normalize, scale, framing, choose))
    if normalize is not None or scale is not None:
        raise DataError(
            "arrays of several inputs are taken as they are",
            where=graph.name,
            expected="neither normalize nor scale",
            found="normalize" if normalize is not None else "scale",
            remedy="Give the numbers that the network takes.",
        )
    if isinstance(data, str | os.PathLike):
        return read_inputs(graph, data)
    return inputs_of(graph, data)
