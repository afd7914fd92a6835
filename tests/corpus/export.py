"""Exports the networks of torch by both exporters; what is there already stays.

Needs torch, onnxscript for the newer exporter, and torchvision for the usual architectures, but not lowbit.

usage: python -m tests.corpus.export FOLDER [NAME …]
"""

import sys
from pathlib import Path

from tests.corpus.torch_networks import EXPORTERS, NETWORKS, TorchNetwork, export


def known() -> dict[str, TorchNetwork]:
    """Return all networks, those of torchvision where it is installed."""
    try:
        from tests.corpus import torchvision_networks
    except ImportError:
        return NETWORKS
    return {**NETWORKS, **torchvision_networks.NETWORKS}


def main() -> int:
    """Export what is missing; the exit code says whether an exporter failed."""
    folder, *names = sys.argv[1:]
    networks, failed = known(), 0
    for name in names or networks:
        for exporter in EXPORTERS:
            path = Path(folder) / f"{name}-{exporter}.onnx"
            if path.exists():
                continue
            try:
                export(networks[name], path, exporter)
            except Exception as error:  # an exporter's own trouble is no reason to stop
                failed = 1
                sys.stderr.write(f"{path.name}: {type(error).__name__}: {error}"[:300] + "\n")
    return failed


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    sys.exit(main())
