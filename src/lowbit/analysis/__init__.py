"""What a low-bit network is, cost and lost. Results are frozen data; `lowbit.drawing` makes pictures of them.

layer_errors        how far two runs are apart, layer by layer
first_divergence    where two backends part: node, input, channel
weight_distribution all weights before and after, in one histogram
weight_divergence   Kullback-Leibler divergence of weights before and after
level_use           which levels are used, and how evenly
neuron_levels       the weights of a neuron and its levels
sensitivity         which layer's bits cost accuracy
layer_bytes         what every layer holds and must move
confusion           which class is taken for which
hidden, tsne        what is inside, as pictures and in the plane
"""

from lowbit.analysis.comparison import Divergence, first_divergence
from lowbit.analysis.confusion_matrix import Confusion, confusion
from lowbit.analysis.hidden_codes import Embedding, Hidden, hidden, tsne
from lowbit.analysis.kullback_leibler import (
    WeightDistribution,
    WeightDivergence,
    divergence,
    weight_distribution,
    weight_divergence,
)
from lowbit.analysis.layer_error import LayerError, layer_errors
from lowbit.analysis.layer_sensitivity import LayerSensitivity, sensitivity
from lowbit.analysis.levels import LevelUse, level_use
from lowbit.analysis.neuron import NeuronLevels, neuron_levels
from lowbit.analysis.summary import LayerSummary, summarize
from lowbit.analysis.traces import trace
from lowbit.analysis.traffic import LayerBytes, layer_bytes
from lowbit.analysis.weights import LayerWeights, all_weights, layer_weights

__all__ = [
    "Confusion",
    "Divergence",
    "Embedding",
    "Hidden",
    "LayerBytes",
    "LayerError",
    "LayerSensitivity",
    "LayerSummary",
    "LayerWeights",
    "LevelUse",
    "NeuronLevels",
    "WeightDistribution",
    "WeightDivergence",
    "all_weights",
    "confusion",
    "divergence",
    "first_divergence",
    "hidden",
    "layer_bytes",
    "layer_errors",
    "layer_weights",
    "level_use",
    "neuron_levels",
    "sensitivity",
    "summarize",
    "trace",
    "tsne",
    "weight_distribution",
    "weight_divergence",
]
