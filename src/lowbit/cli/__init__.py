"""The command line: one thin module per command, each a call of the Python interface."""

import sys
from typing import Annotated

import typer

from lowbit.cli.boundary import guarded
from lowbit.cli.deferred import DeferredApplication
from lowbit.cli.terminal import say
from lowbit.errors import ExitCode
from lowbit.version import __version__

PLACES = {
    "plan": "lowbit.cli.plan:plan",
    "quantize": "lowbit.cli.quantize:quantize",
    "eval": "lowbit.cli.evaluate:evaluate",
    "run": "lowbit.cli.run:run",
    "predict": "lowbit.cli.predict:predict",
    "bench": "lowbit.cli.bench:bench",
    "inspect": "lowbit.cli.inspect:inspect",
    "analyze": "lowbit.cli.analyze:analyze",
    "verify": "lowbit.cli.verify:verify",
    "sweep": "lowbit.cli.sweep:sweep",
    "report": "lowbit.cli.report:report",
    "ui": "lowbit.cli.ui:ui",
    "convert": "lowbit.cli.convert:convert",
    "compile": "lowbit.cli.compile:compile_network",
    "train": "lowbit.cli.train:train",
    "tune": "lowbit.cli.tune:tune",
    "hdl": "lowbit.cli.hdl:hdl",
    "zoo": "lowbit.cli.zoo:zoo",
    "reproduce": "lowbit.cli.reproduce:reproduce",
    "plot": "lowbit.cli.plot:plot",
    "data": "lowbit.cli.data:data",
}
"""Where each command is, in the order of ``--help``."""

app = DeferredApplication(
    PLACES,
    name="lowbit",
    help="Networks of 1 to 8 bits: quantize, run, measure, look inside.",
    epilog=f"Exit codes: {', '.join(f'{code.value} {code.text}' for code in ExitCode)}.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"lowbit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Networks of 1 to 8 bits: quantize, run, measure, look inside."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(guarded(app))
