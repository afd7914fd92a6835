"""What a network will be at few bits, before it is quantized: bytes, time, memory, look-up tables, and risk.

    found = forecast("net.onnx", samples, targets=["cpu", "c99:flash=64K,ram=16K"])
    found.recommended.plan                    # of all settings the smallest that keeps enough classes
    found.mixed("bytes", 20_000).plan         # each layer at bits of its own, within 20,000 bytes

Sizes and times are not modelled. A network of the right form is made with quickly fitted numbers
(`lowbit.forecast.outline`), and weighed, compiled, planned for hardware, and timed. Risk is measured a layer
at a time on a few samples (`lowbit.forecast.risk`), and a plan's is the sum of its layers' (to first order).
"""

from lowbit.forecast.allocation import Allocation
from lowbit.forecast.forecast import Forecast, Outlook, forecast
from lowbit.forecast.purposes import PURPOSES, Cost, Purpose, purpose
from lowbit.forecast.risk import Risks

__all__ = [
    "PURPOSES",
    "Allocation",
    "Cost",
    "Forecast",
    "Outlook",
    "Purpose",
    "Risks",
    "forecast",
    "purpose",
]
