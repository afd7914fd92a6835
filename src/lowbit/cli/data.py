"""``lowbit data``: get data sets and convert them."""

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.command import Application
from lowbit.cli.console import NORMALIZE_HELP, JsonFlag, TrainSplitOption, parse_normalize, print_json, say

data = Application(name="data", help="Get data sets and convert them.", no_args_is_help=True)


@data.command("convert")
def convert(
    source: Annotated[str, typer.Argument(help="A path, or the name of a data set.")],
    target: Annotated[Path, typer.Argument(help="The .h5 to write, in the layout of Samsung ONE.")],
    split: TrainSplitOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, show_default="all", help="The most samples to use.")
    ] = None,
    input_name: Annotated[str, typer.Option("--input-name", help="The network's input.")] = "input",
    normalize: Annotated[
        str | None, typer.Option("--normalize", show_default="none", help=NORMALIZE_HELP)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write samples as HDF5 in ONE's layout: group `value`, then `<record>/<input>`.

    Example: `lowbit data convert digits train.h5 --split train`
    """
    from lowbit.data import load, write_one_hdf5

    samples = load(source, split=split or "train", limit=limit, normalize=parse_normalize(normalize))
    write_one_hdf5(samples, target, input_name)
    if as_json:
        print_json({"output": str(target), "samples": len(samples.samples)})
        return
    say(f"{target}: {len(samples.samples)} samples of shape {samples.samples.shape[1:]}")


@data.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="mnist, fashion or cifar10.")],
    address: Annotated[
        str, typer.Option("--from", help="Address of the folder that has the files: https://…")
    ],
    target: Annotated[Path, typer.Option("--to", help="Where the data set gets a folder of its own.")],
    as_json: JsonFlag = False,
) -> None:
    """Get a data set from an address and check it; other commands find it with --data or LOWBIT_DATA.

    Example: `lowbit data fetch mnist --from https://storage.googleapis.com/cvdf-datasets/mnist --to data`

    The checksums are those of the published files, wherever they come from. Fashion-MNIST is also at
    https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion, CIFAR-10 at
    https://www.cs.toronto.edu/~kriz.
    """
    from lowbit.data import fetch as get

    folder = get(name, address, target)
    if as_json:
        print_json({"output": str(folder)})
        return
    say(f"{folder}: {name}, every checksum right")
    say(f"Next: LOWBIT_DATA={target} lowbit eval NETWORK --data {name}", "dim")
