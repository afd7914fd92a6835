"""What commands print for scripts."""

import json
import sys
from typing import Any

from lowbit.cli.terminal import printing
from lowbit.version import __version__

SCHEMA = 1


def print_json(result: dict[str, Any]) -> None:
    """Print a result for scripts, or what went wrong (``error``): one JSON object on standard output.

    All have ``schema``, which changes when a field goes away or means another thing, and lowbit's version.
    """
    with printing():
        envelope = {"schema": SCHEMA, "lowbit": __version__}
        sys.stdout.write(json.dumps(envelope | result).replace("\x7f", "\\u007f") + "\n")
