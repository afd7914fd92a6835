"""Samples and labels from arrays, `.npy`, `.npz`, HDF5 in ONE's layout, Parquet, folders, and by name.

Every source is as hostile as a model: sizes are checked before memory is taken, nothing is unpickled,
and no file leads to another.
"""

from lowbit.data.dataset import Dataset, Normalize
from lowbit.data.download import fetch
from lowbit.data.framing import Framing, asked_framing, remember_framing, remembered_framing
from lowbit.data.hdf5 import write_one_hdf5
from lowbit.data.inputs import Inputs, inputs_of, read_inputs
from lowbit.data.network_input import NetworkInput
from lowbit.data.normalize import remember_normalize, remembered_normalize
from lowbit.data.npz import write_npz
from lowbit.data.sources import NAMES, load

__all__ = [
    "NAMES",
    "Dataset",
    "Framing",
    "Inputs",
    "NetworkInput",
    "Normalize",
    "asked_framing",
    "fetch",
    "inputs_of",
    "load",
    "read_inputs",
    "remember_framing",
    "remember_normalize",
    "remembered_framing",
    "remembered_normalize",
    "write_npz",
    "write_one_hdf5",
]
