"""The command line: one thin module per command, each a call of the Python interface."""

import sys
from typing import Annotated

import typer

from lowbit.cli.analyze import analyze
from lowbit.cli.bench import bench
from lowbit.cli.boundary import guarded
from lowbit.cli.command import Application
from lowbit.cli.compile import compile_network
from lowbit.cli.convert import convert
from lowbit.cli.data import data
from lowbit.cli.evaluate import evaluate
from lowbit.cli.hdl import hdl
from lowbit.cli.inspect import inspect
from lowbit.cli.plan import plan
from lowbit.cli.plot import plot
from lowbit.cli.predict import predict
from lowbit.cli.quantize import quantize
from lowbit.cli.report import report
from lowbit.cli.reproduce import reproduce
from lowbit.cli.run import run
from lowbit.cli.sweep import sweep
from lowbit.cli.terminal import say
from lowbit.cli.train import train
from lowbit.cli.tune import tune
from lowbit.cli.ui import ui
from lowbit.cli.verify import verify
from lowbit.cli.zoo import zoo
from lowbit.errors import ExitCode
from lowbit.version import __version__

app = Application(
    name="lowbit",
    help="Networks of 1 to 8 bits: quantize, run, measure, look inside.",
    epilog=f"Exit codes: {', '.join(f'{code.value} {code.text}' for code in ExitCode)}.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)
app.command()(plan)
app.command()(quantize)
app.command("eval")(evaluate)
app.command()(run)
app.command()(predict)
app.command()(bench)
app.command()(inspect)
app.command()(analyze)
app.command()(verify)
app.command()(sweep)
app.command()(report)
app.command()(ui)
app.command()(convert)
app.command("compile")(compile_network)
app.command()(train)
app.command()(tune)
app.command()(hdl)
app.command()(zoo)
app.command()(reproduce)
app.add_typer(plot)
app.add_typer(data)


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
