"""Every pair of encodings in every shape with every end: reference, files, ONNX Runtime and engine agree.

`scripts/test` takes each pair twice; this takes all of them, some 17,000 networks, at night: about half an
hour of one core. It ends with exit code 1 and the first cases that differ.

usage: python benchmarks/pairs.py [--part 1/4]
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.conformance.backends import onnxruntime, reference
from tests.conformance.pairs import Case, every_case, network
from tests.conformance.test_pairs import SUFFIXES, differences, through
from tests.engine.test_pairs import test_the_engine_equals_the_reference as check_engine

SHOWN = 20


def faults(case: Case, folder: Path) -> Iterator[str]:
    """Yield where a case does not give what the reference does."""
    graph, x = network(case), case.samples()
    wanted = reference(graph, x)
    for suffix in SUFFIXES:
        if differences(graph, case, through(suffix, graph, x, folder), wanted, x):
            yield f"{case} read back from {suffix}"
    if differences(graph, case, onnxruntime(graph, x), wanted, x):
        yield f"{case} in ONNX Runtime"
    try:
        check_engine(case)
    except AssertionError as error:
        yield f"{case} in the engine: {str(error).strip().splitlines()[0]}"


def main() -> int:
    """Run a part of all cases and say what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", default="1/1", help="which of how many parts")
    part, parts = (int(number) for number in parser.parse_args().part.split("/"))
    found: list[str] = []
    count = 0
    np.seterr(all="raise", under="ignore", over="ignore")
    with TemporaryDirectory() as folder:
        for case in islice(every_case(), part - 1, None, parts):
            count += 1
            for fault in faults(case, Path(folder)):
                print(fault, flush=True)
                found.append(fault)
            if len(found) >= SHOWN:
                break
    print(f"{count} cases, {len(found)} that differ")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
