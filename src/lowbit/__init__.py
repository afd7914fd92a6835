"""lowbit: neural networks of 1 to 8 bits that are small, fast and real.

    import lowbit

    graph = lowbit.read("mlp.onnx")
    small, report = lowbit.quantize(graph, samples, bits=2)
    lowbit.write(small, "mlp.circle")
    probabilities = lowbit.load("mlp.circle").run(images)

Every command has a call, in `lowbit.measuring` those that measure. Names below are imported on first use, so
that ``import lowbit`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lowbit.version import __version__

if TYPE_CHECKING:
    from lowbit.api import evaluate, inspect, load, predict, quantize, read, write
    from lowbit.ir import Graph
    from lowbit.measuring import (
        analyze,
        compare_speed,
        plan_ahead,
        try_settings,
        verify,
        write_report,
    )
    from lowbit.networks import pretrained
    from lowbit.plan import Plan
    from lowbit.rtl.hardware import hardware

_PUBLIC = {
    "Graph": "lowbit.ir",
    "Plan": "lowbit.plan",
    "analyze": "lowbit.measuring",
    "compare_speed": "lowbit.measuring",
    "evaluate": "lowbit.api",
    "hardware": "lowbit.rtl.hardware",
    "inspect": "lowbit.api",
    "load": "lowbit.api",
    "plan_ahead": "lowbit.measuring",
    "predict": "lowbit.api",
    "pretrained": "lowbit.networks",
    "quantize": "lowbit.api",
    "read": "lowbit.api",
    "try_settings": "lowbit.measuring",
    "verify": "lowbit.measuring",
    "write": "lowbit.api",
    "write_report": "lowbit.measuring",
}

__all__ = [
    "Graph",
    "Plan",
    "__version__",
    "analyze",
    "compare_speed",
    "evaluate",
    "hardware",
    "inspect",
    "load",
    "plan_ahead",
    "predict",
    "pretrained",
    "quantize",
    "read",
    "try_settings",
    "verify",
    "write",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'lowbit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
