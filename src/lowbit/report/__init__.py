"""One page that says what a low-bit network is, what it cost and what it lost."""

from lowbit.report.findings import Accuracy, Findings, Network, Speed, examine

__all__ = ["Accuracy", "Findings", "Network", "Speed", "examine"]
