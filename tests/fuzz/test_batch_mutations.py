"""Mutated batches of CIFAR-10, and random opcodes: pictures or an error of ours; nothing is called."""

import random

from lowbit.data.batch import read_batch
from lowbit.errors import FileError
from tests.data.cifar10_files import CLASSES, PIXELS, batch
from tests.fuzz.test_onnx_mutations import mutate

MUTATIONS = 2000
OPCODES = [bytes([code]) for code in b"(}]NKMJUT\x85\x86\x87tqrhjcRbaesu\x89."]


def test_mutations() -> None:
    good, generator, refused = batch(PIXELS[:1], CLASSES[:1]), random.Random(20261120), 0  # noqa: S311
    structure = good.index(b"T" + (3072).to_bytes(4, "little"))  # pixels say nothing wrong
    for _ in range(MUTATIONS):
        content = mutate(good[: structure + 5], generator) + good[structure + 5 :]
        try:
            pixels, classes = read_batch(content, "mutated")
            assert pixels.ndim == 2 and classes.ndim == 1
        except FileError as error:
            assert "mutated" in str(error)
            refused += 1
    assert 0 < refused < MUTATIONS, "mutations that change nothing, or everything, prove nothing"


def test_random_programs() -> None:
    generator = random.Random(7)  # noqa: S311
    for _ in range(MUTATIONS):
        program = b"".join(
            generator.choice(OPCODES) + generator.randbytes(generator.randrange(3)) for _ in range(60)
        )
        try:
            read_batch(b"\x80\x02" + program, "random")
        except FileError as error:
            assert "random" in str(error)


def test_values_that_hold_themselves() -> None:
    """Lists of lists of lists through the memo: nothing is expanded."""
    doubling = b"]q\x00" + b"".join(b"(h%ch%ct" % (i, i) + b"q%c" % (i + 1) for i in range(60)) + b"."
    for content in (doubling, b"]q\x00h\x00a.", b"}q\x00U\x04datah\x00s."):
        try:
            read_batch(b"\x80\x02" + content, "circle")
        except FileError as error:
            assert "circle" in str(error)
