"""One network as da4ml's Verilog: run by benchmarks/unroll.py, in an environment that has da4ml.

    python benchmarks/unroll_da4ml.py INTEGERS.json FOLDER

The integers are those that lowbit unrolls: signed inputs, weights, biases in units of the sums, a rounding
to a rank: sums are shifted to the right; negative ones become 0, large ones the largest rank.
"""

import json
import sys
from pathlib import Path

import numpy as np
from da4ml.codegen import RTLModel
from da4ml.trace import FixedVariableArrayInput, HWConfig, comb_trace


def main(integers: Path, folder: Path) -> None:
    """Trace the network, check it on samples, and write the Verilog and what da4ml says of it."""
    network = json.loads(integers.read_text())
    inputs = FixedVariableArrayInput(network["inputs"], hwconf=HWConfig(1, -1, -1))
    x = inputs.quantize(1, 7, 0)
    for layer in network["layers"]:
        x = x @ np.array(layer["weights"], np.float64) + np.array(layer["bias"], np.float64)
        if layer["shift"] is not None:
            # In units of 2**shift a rank of 6 bits has 6 bits before the point and none behind it.
            x = (x * 2.0 ** -layer["shift"]).quantize(0, layer["bits"], 0, "SAT", "TRN")
    solution = comb_trace(inputs, x)
    samples = np.array(network["samples"], np.float64)
    found = solution.predict(samples)
    if not np.array_equal(found.reshape(len(samples), -1), np.array(network["scores"], np.float64)):
        sys.exit("da4ml computes other scores")
    RTLModel(solution, "da4ml_core", folder, flavor="verilog").write()
    said = {"cost": solution.cost, "depth": max(solution.latency), "adders": len(solution.ops)}
    (folder / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
