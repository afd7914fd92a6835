"""What a low-bit network is, cost and lost. Results are frozen data; `lowbit.drawing` makes pictures of them.

layer_errors        how far two runs are apart, layer by layer
weight_divergence   Kullback-Leibler divergence of weights before and after
level_use           which levels are used, and how evenly
layer_bytes         what every layer holds and must move
confusion           which class is taken for which
"""

from lowbit.analysis.confusion_matrix import Confusion, confusion
from lowbit.analysis.kullback_leibler import WeightDivergence, divergence, weight_divergence
from lowbit.analysis.layer_error import LayerError, layer_errors
from lowbit.analysis.levels import LevelUse, level_use
from lowbit.analysis.traces import BACKENDS, trace
from lowbit.analysis.traffic import LayerBytes, layer_bytes
from lowbit.analysis.weights import LayerWeights, all_weights, layer_weights

__all__ = [
    "BACKENDS",
    "Confusion",
    "LayerBytes",
    "LayerError",
    "LayerWeights",
    "LevelUse",
    "WeightDivergence",
    "all_weights",
    "confusion",
    "divergence",
    "layer_bytes",
    "layer_errors",
    "layer_weights",
    "level_use",
    "trace",
    "weight_divergence",
]
