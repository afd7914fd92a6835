"""Calibrated networks learn on, without labels: block by block, or as a whole. Needs the extra ``train``."""

from lowbit.errors import MissingExtra

try:
    import torch  # noqa: F401 - the first of the imports below that could fail
except ImportError as error:
    raise MissingExtra("torch", "train") from error

from lowbit.reconstruction.learn import COURSES, Course, Learner

__all__ = ["COURSES", "Course", "Learner"]
