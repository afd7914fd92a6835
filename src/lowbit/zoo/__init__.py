"""Networks, each declared once: as a graph with random or given weights, float or binary."""

from lowbit.zoo.architecture import Architecture, Placed, flat, parameter_count, parameters, place
from lowbit.zoo.binary_graph import binary_graph
from lowbit.zoo.float_graph import float_graph
from lowbit.zoo.networks import NETWORKS, network
from lowbit.zoo.trained import TRAINED, trained
from lowbit.zoo.weights import random_weights

__all__ = [
    "NETWORKS",
    "TRAINED",
    "Architecture",
    "Placed",
    "binary_graph",
    "flat",
    "float_graph",
    "network",
    "parameter_count",
    "parameters",
    "place",
    "random_weights",
    "trained",
]
