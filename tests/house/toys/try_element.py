"""Plan, simulate and write hardware of the toy element; the folder to write in is the argument."""

import sys
from pathlib import Path
from random import Random

import numpy as np
from tests.rtl.array.networks import network_and_bench, quantized
from tests.rtl.array.test_engine import foldings, stream

import lowbit
from lowbit.cli import app
from lowbit.errors import UsageError
from lowbit.formats import write_model
from lowbit.quantization import Plan
from lowbit.rtl.array.budget import estimate
from lowbit.rtl.array.plan import Folding, LayerPlan, plan_array

folder = Path(sys.argv[1])
graph = quantized(Plan(weights="pow2:2", activations="lq:2"))
network, bench = network_and_bench(graph, 3)
for kind in (None, "toy_ternary"):
    array = plan_array(network, foldings(network, Random(2)), "generic", kind)  # noqa: S311
    units = [unit for unit in array.units if isinstance(unit, LayerPlan)]
    assert {unit.operands.kind for unit in units} == {"toy_ternary"}, units
stream(array, bench, gap=0.1, stall=0.2)
assert all(estimate(unit.layer, unit.operands, Folding(1, 1)).dsp == 0 for unit in units)

assert lowbit.hardware(graph, pe="toy_ternary").report.units[0]["element"] == "toy_ternary"
try:
    lowbit.hardware(graph, pe="toy")
except UsageError as error:
    assert "toy_ternary, xnor" in str(error) or "toy_ternary" in error.expected
else:
    raise AssertionError("not refused")

write_model(graph, folder / "net.onnx")
np.save(folder / "x.npy", bench.pictures)
words = ["hdl", folder / "net.onnx", "-o", folder / "net", "--engine", "array", "--pe", "toy_ternary"]
app(list(map(str, words)), standalone_mode=False)
assert (folder / "net").is_dir()
