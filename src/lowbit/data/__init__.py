"""Samples and labels from arrays, `.npy`, `.npz`, HDF5 in ONE's layout, Parquet, folders, and by name.

Every source is as hostile as a model: sizes are checked before memory is taken, nothing is unpickled,
and no file leads to another.
"""

from lowbit.data.class_names import remember_class_names, remembered_class_names
from lowbit.data.dataset import Dataset, Normalize
from lowbit.data.download import fetch
from lowbit.data.framing import Framing, asked_framing, remember_framing, remembered_framing
from lowbit.data.hdf5 import write_one_hdf5
from lowbit.data.inputs import Inputs, inputs_of, read_inputs
from lowbit.data.network_input import NetworkInput
from lowbit.data.normalize import remember_normalize, remembered_normalize
from lowbit.data.npz import write_npz
from lowbit.data.picture_folder import empty_classes
from lowbit.data.sources import NAMES, load, splits_of

__all__ = [
    "NAMES",
    "Dataset",
    "Framing",
    "Inputs",
    "NetworkInput",
    "Normalize",
    "asked_framing",
    "empty_classes",
    "fetch",
    "inputs_of",
    "load",
    "read_inputs",
    "remember_class_names",
    "remember_framing",
    "remember_normalize",
    "remembered_class_names",
    "remembered_framing",
    "remembered_normalize",
    "splits_of",
    "write_npz",
    "write_one_hdf5",
]
