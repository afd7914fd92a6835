"""Drawings of what `lowbit.analysis` and `lowbit.sweep` found, by matplotlib. Each returns a figure.

draw_distributions    all weights before and after
draw_levels           levels over the histogram of a neuron's weights
draw_fraction_bits    accuracy and divergence over the bits behind the point
draw_bits             accuracy over bits, scheme beside scheme
draw_front            accuracy against size and latency
draw_hidden           hidden codes under their pictures
draw_embedding        t-SNE
draw_confusions       confusion matrices side by side
draw_mixtures         mixed bits against uniform ones
draw_search           what trials of settings reached, and what their differences come from
"""

from lowbit.drawing.curves import draw_bits, draw_fraction_bits, draw_front
from lowbit.drawing.distributions import draw_distributions
from lowbit.drawing.inside import draw_embedding, draw_hidden
from lowbit.drawing.matrices import draw_confusions
from lowbit.drawing.mixtures import draw_mixtures
from lowbit.drawing.neurons import draw_levels
from lowbit.drawing.searches import draw_search
from lowbit.drawing.style import check_suffix, save

__all__ = [
    "check_suffix",
    "draw_bits",
    "draw_confusions",
    "draw_distributions",
    "draw_embedding",
    "draw_fraction_bits",
    "draw_front",
    "draw_hidden",
    "draw_levels",
    "draw_mixtures",
    "draw_search",
    "save",
]
