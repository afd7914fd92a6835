"""``lquantizer``: the command line of the published system, on ours.

    lquantizer --input_model model.circle --output_model answer.circle --input_data train.hdf5 --encode_bits 3

(Bronnikov 2021, the thesis behind the LQ operator in Samsung ONE.)
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.boundary import guarded
from lowbit.cli.command import Application
from lowbit.cli.console import kilobytes, say

app = Application(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def lquantizer(
    input_model: Annotated[Path, typer.Option("--input_model", help="Float network (.circle).")],
    output_model: Annotated[Path, typer.Option("--output_model", help="Where to write the low-bit network.")],
    input_data: Annotated[Path, typer.Option("--input_data", help="HDF5 in ONE's layout.")],
    encode_bits: Annotated[
        int, typer.Option("--encode_bits", help="Bits of weights and inputs, 1 to 4.")
    ] = 3,
) -> None:
    """Quantize fully connected layers with a learned basis.

    Example: `lquantizer --input_model model.circle --output_model answer.circle --input_data train.hdf5
    --encode_bits 3`
    """
    from lowbit import api
    from lowbit.quantization import Plan

    chosen = Plan().adjusted(bits=encode_bits)
    result = api.quantize_file(input_model, output_model, str(input_data), chosen)
    say(f"{output_model}: {kilobytes(result.bytes_after)}, {result.report.samples} samples")


def main() -> None:
    """Run the published command line."""
    sys.exit(guarded(app))
