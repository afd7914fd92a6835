"""What a network says of one picture, and the float network beside it."""

from lowbit.prediction.chart import draw_prediction
from lowbit.prediction.predict import Prediction, class_names, predict, sample_of_data, sample_of_picture

__all__ = [
    "Prediction",
    "class_names",
    "draw_prediction",
    "predict",
    "sample_of_data",
    "sample_of_picture",
]
