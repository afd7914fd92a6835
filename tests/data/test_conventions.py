"""What a network makes of samples: every type, range and layout, for networks of every input."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.api import load_samples
from lowbit.data import Dataset, NetworkInput, load, remember_normalize, remembered_normalize
from lowbit.data.dataset import Raw, make_dataset
from lowbit.errors import DataError, LowbitError, ModelFormatError, NumericError, UnsupportedError
from lowbit.ir import Graph, Node, Value
from lowbit.ir.input_type import INTEGERS, InputType

RANDOM = np.random.default_rng(20261129)
DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
CODED = [
    InputType(dtype, scale, low + zero)
    for dtype, low in (("int8", -128), ("uint8", 0))
    for scale, zero in ((1 / 255, 0), (0.0123, 77), (1.0, 0), (2 / 255, 128), (0.5, 255))
]
PLAIN = [InputType(dtype) for dtype in INTEGERS]


def network(shape: tuple[int, ...] = (6,), kind: InputType | None = None, classes: int = 3) -> Graph:
    """A network of one layer over all that comes in."""
    graph, size = Graph("net", ("x",), ("y",)), int(np.prod(shape))
    graph.add(Value("x", "float32", ("n", *shape)))
    graph.add(Value("flat", "float32", ("n", size)))
    graph.add_constant("w", RANDOM.standard_normal((classes, size)).astype(np.float32))
    graph.add_constant("b", RANDOM.standard_normal(classes).astype(np.float32))
    graph.add(Value("y", "float32", ("n", classes)))
    graph.nodes.append(Node("Flatten", ("x",), ("flat",), {"axis": 1}, "flatten"))
    graph.nodes.append(Node("Gemm", ("flat", "w", "b"), ("y",), {"transB": 1}, "fc"))
    if kind is not None:
        kind.remember(graph)
    return graph


def integers(dtype: str, low: int, high: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return RANDOM.integers(max(low, limits.min), min(high, limits.max), (7, 6), endpoint=True).astype(dtype)


RANGES = [(0, 255), (-128, 127), (0, 1), (-1000, 1000), (-(2**62), 2**62)]


@pytest.mark.parametrize("dtype,limits", [*itertools.product(DTYPES, RANGES)])
def test_integers_for_reals(dtype: str, limits: tuple[int, int]) -> None:
    """Only bytes have a meaning of their own; others need a scale, and then it is the whole rule."""
    array, graph = integers(dtype, *limits), network()
    if dtype == "uint8":
        found = load_samples(graph, array)
        np.testing.assert_array_equal(found.samples, array.astype(np.float32) / np.float32(255))
        assert "uint8 divided by 255" in found.notes
    else:
        for take in (
            lambda: load_samples(graph, array),
            lambda: load(array),
            lambda: lowbit.quantize(graph, array, bits=4),
        ):
            with pytest.raises(DataError, match=f"do not fit.*{dtype}, from.*--scale"):
                take()
    scaled = load_samples(graph, array, scale=0.25)
    np.testing.assert_array_equal(scaled.samples, array.astype(np.float32) * np.float32(0.25))
    assert "multiplied by 0.25" in scaled.notes


@pytest.mark.parametrize("dtype,kind", [*itertools.product(DTYPES, PLAIN)], ids=str)
def test_integers_for_a_network_of_integers(dtype: str, kind: InputType) -> None:
    """They are what they are; what its own runtime could not be given is counted and said."""
    array = integers(dtype, -200, 300)
    found = load_samples(network(kind=kind), array)
    np.testing.assert_array_equal(found.samples, array.astype(np.float32))
    low, high = kind.range
    outside = sum(not low <= int(value) <= high for value in array.reshape(-1))
    assert found.outside == outside == load_samples(network(kind=kind), found).outside
    assert any("are outside" in note for note in found.notes) == bool(outside)


@pytest.mark.parametrize("kind", PLAIN, ids=str)
def test_reals_and_pictures_for_a_network_of_integers(kind: InputType) -> None:
    graph, pixels = network(kind=kind), integers("uint8", 0, 255)
    whole = load_samples(graph, pixels.astype(np.float64))
    np.testing.assert_array_equal(whole.samples, pixels)
    pictures = make_dataset(Raw(pixels, pictures=True), "pictures", network=NetworkInput.of(graph))
    np.testing.assert_array_equal(pictures.samples, pixels)
    np.testing.assert_array_equal(load_samples(graph, load(pixels)).samples, pixels)
    np.testing.assert_array_equal(load_samples(graph, pixels / 255, scale=255).samples, pixels)
    for fractions in (pixels / 255 * 0.9 + 0.01, pixels + 0.25):
        with pytest.raises(DataError, match=f"do not fit.*integers .{kind.dtype}.*fractions.*--scale 255"):
            load_samples(graph, fractions)


@pytest.mark.parametrize("dtype,kind", [*itertools.product(DTYPES, CODED)], ids=str)
def test_integers_for_a_network_of_codes(dtype: str, kind: InputType) -> None:
    """int8 and uint8 are codes, of one another moved by 128; wider integers say nothing."""
    graph, array = network(kind=kind), integers(dtype, -128, 255)
    if dtype not in ("int8", "uint8"):
        with pytest.raises(DataError, match=f"do not fit.*codes of 8 bits.*{dtype}"):
            load_samples(graph, array)
        return
    move = {("int8", "uint8"): 128, ("uint8", "int8"): -128}.get((dtype, kind.dtype), 0)
    levels = (array.astype(np.int64) + move - kind.zero_point) * float(kind.scale or 0)
    np.testing.assert_allclose(load_samples(graph, array).samples, levels, rtol=1e-6)
    np.testing.assert_array_equal(load_samples(graph, levels).samples, levels.astype(np.float32))


def test_a_line_says_what_was_done(caplog: pytest.LogCaptureFixture) -> None:
    """Of a caller's array nothing is rescaled in silence, in Python as on the command line."""
    array = RANDOM.integers(0, 256, (30, 6)).astype(np.uint8)
    for normalize in (None, (0.5, 0.5)):
        caplog.clear()
        lowbit.evaluate(network(), (array, np.zeros(30)), normalize=normalize)
        assert any("uint8 divided by 255" in record.getMessage() for record in caplog.records)
        assert {record.levelname for record in caplog.records} == {"WARNING"}
    for silent, scale in ((array.astype(np.float32), None), (array, 1 / 255)):
        caplog.clear()
        lowbit.evaluate(network(), (silent, np.zeros(30)), scale=scale)
        assert not caplog.records


SHAPES = [
    (3, 8, 8),
    (3, 8, 5),
    (8, 8, 3),
    (5, 8, 3),
    (1, 8, 8),
    (8, 8, 1),
    (8, 8),
    (64,),
    (1, 64),
    (192,),
    (4, 16),
]


@pytest.mark.parametrize("given,taken", [*itertools.product(SHAPES, SHAPES)], ids=str)
def test_shapes_and_layouts(given: tuple[int, ...], taken: tuple[int, ...]) -> None:
    """Samples either fit, with every element in its place, or are refused by name; never reordered."""
    array = RANDOM.random((4, *given), np.float32)
    bare, aim = (tuple(length for length in shape if length != 1) for shape in (given, taken))
    channels_last = len(given) == 3 and given[-1] == 3 and given[0] > 4
    row = (
        np.prod(given) == np.prod(taken)
        and 1 in (len(bare), len(aim))
        and not (channels_last and len(taken) == 1)
    )
    if bare == aim or row:
        np.testing.assert_array_equal(load_samples(network(taken), array).samples, array.reshape(4, *taken))
        return
    with pytest.raises(DataError, match="samples do not fit the network") as caught:
        load_samples(network(taken), array)
    if given != taken and sorted(given) == sorted(taken) and len(given) == 3:
        assert "ranspose" in caught.value.remedy
    if (given[-1:], taken[:1]) == ((3,), (3,)) and (given[2], given[0], given[1]) == taken:
        assert "NHWC" in caught.value.found and "NCHW" in caught.value.expected
    if (taken[-1:], given[:1]) == ((3,), (3,)) and (given[1], given[2], given[0]) == taken:
        assert "NCHW" in caught.value.found and "NHWC" in caught.value.expected


def test_pictures_of_a_known_layout_turn() -> None:
    pixels = RANDOM.integers(0, 256, (4, 3, 8, 5)).astype(np.uint8)
    wanted = NetworkInput.of(network((8, 5, 3)))
    found = make_dataset(Raw(pixels, pictures=True), "pictures", network=wanted)
    np.testing.assert_array_equal(found.samples, pixels.transpose(0, 2, 3, 1).astype(np.float32) / 255)
    assert "channels moved to the last axis" in found.notes
    assert found.fit_to(wanted) is found


class Device:
    """What a tensor of another device does when NumPy asks for its numbers."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("can't convert this tensor to numpy")


NO_SAMPLES = {
    "ragged": [[1.0, 2.0], [3.0]],
    "ragged arrays": [np.zeros(3), np.zeros(4)],
    "objects": np.array([{}, None], object),
    "strings": np.array([["a", "b"]]),
    "bytes": np.array([[b"a"]]),
    "complex": np.zeros((2, 6), complex),
    "dates": np.zeros((2, 6), "datetime64[s]"),
    "records": np.zeros(2, [("a", "f4"), ("b", "i4")]),
    "masked": np.ma.masked_greater(np.arange(12.0).reshape(2, 6), 5),
    "elsewhere": Device(),
    "empty": np.zeros((0, 6)),
    "no elements": np.zeros((3, 0)),
    "a number": 5.0,
    "nothing": None,
    "a set": {1, 2},
    "too long": np.zeros((2, 7)),
    "too short": np.zeros((2, 5)),
    "flat": np.zeros(6),
}


@pytest.mark.parametrize("kind", NO_SAMPLES)
def test_what_is_no_samples_is_refused_everywhere(kind: str) -> None:
    samples, graph = NO_SAMPLES[kind], network()
    for take in (
        lambda: lowbit.quantize(graph, samples, bits=4),  # type: ignore[arg-type]
        lambda: lowbit.evaluate(graph, samples),  # type: ignore[arg-type]
        lambda: load_samples(graph, samples),  # type: ignore[arg-type]
    ):
        with pytest.raises(DataError, match=r"array|net"):
            take()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_nan_and_infinity_name_the_sample(bad: float) -> None:
    from lowbit.scores import score

    samples, graph = RANDOM.random((9, 6)), network()
    samples[5, 2] = samples[7, 0] = bad
    narrow = np.where(np.abs(samples) > 1e38, np.inf, samples).astype(np.float32)
    dataset = Dataset(narrow, np.zeros(9, np.int64), "mine")
    for take in (
        lambda: lowbit.quantize(graph, samples, bits=4),
        lambda: lowbit.evaluate(graph, (samples, np.zeros(9))),
        lambda: lowbit.evaluate(graph, dataset),
        lambda: score(graph, narrow),
        lambda: score(graph, narrow, "reference"),
    ):
        with pytest.raises(NumericError, match=r"sample 5 holds NaN or infinity.*2 of 9"):
            take()


def test_scores_that_overflow_are_no_classes() -> None:
    with pytest.raises(NumericError, match="scores of sample 1"):
        samples = np.array([[1.0] * 6, [3e38] * 6], np.float32)
        graph = network()
        graph.update("w", data=np.full((3, 6), 1e30, np.float32))
        lowbit.evaluate(graph, (samples, np.zeros(2)))


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros(8),
        np.zeros((9, 3)),
        np.full(9, 0.5),
        np.full(9, np.nan),
        np.full(9, -1),
        np.full(9, 3),
        np.full(9, 2**63, np.uint64),
        np.full(9, np.inf),
        np.array(["a"] * 9),
        np.zeros(9, complex),
    ],
)
def test_labels(labels: np.ndarray) -> None:
    with pytest.raises(DataError, match="labels"):
        lowbit.evaluate(network(), (RANDOM.random((9, 6)), labels))


@pytest.mark.parametrize("dtype", ["bool", *DTYPES, "float32"])
def test_good_labels(dtype: str) -> None:
    found = lowbit.evaluate(network(), (RANDOM.random((9, 6)), np.ones((9, 1), dtype)))
    assert found["samples"] == 9 and found["outside"] == 0


def test_what_a_scale_or_a_normalization_makes_too_large_is_refused() -> None:
    samples = np.full((3, 6), 1e30)
    for words in ({"scale": 1e30}, {"normalize": (0.0, 1e-30)}, {"normalize": (-3e38, 1e-1)}):
        with pytest.raises(NumericError, match="sample 0"):
            load(samples, **words)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf, 1e300, 1e-300, 10**400, "1/255", [1.0], 1j])
def test_impossible_scales(scale: float) -> None:
    with pytest.raises(DataError, match="scale is impossible"):
        load(np.ones((2, 6)), scale=scale)


@pytest.mark.parametrize(
    "text", ["abc", "", "1,2,3", "0.5", "nan,1", "0,0", "0,-1", "inf,1", "0,1e400", "0;1", "0,1e-400"]
)
def test_what_is_no_normalization(text: str) -> None:
    graph = network()
    graph.metadata["normalize"] = text
    for take in (
        lambda: lowbit.evaluate(graph, (np.ones((2, 6)), np.zeros(2))),
        lambda: remembered_normalize(graph),
    ):
        with pytest.raises(ModelFormatError, match=r"normalize.*--normalize"):
            take()
    assert remembered_normalize(graph, (0.5, 2.0)) == (0.5, 2.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "float32",
        "int8 1 2",
        "int8 0x1.0p-7 300",
        "uint8 0x1.0p-7 -1",
        "int16 0x1.0p-7 0",
        "uint8 0x1.0p+999 0",
        "x" * 99,
    ],
)
def test_notes_on_the_input_are_not_believed(text: str) -> None:
    graph = network()
    graph.metadata["lowbit.input"] = text
    with pytest.raises(ModelFormatError, match=r"lowbit\.input"):
        load_samples(graph, np.ones((2, 6)))


@pytest.mark.parametrize("kind", [*PLAIN, *CODED], ids=str)
def test_notes_on_the_input_come_back(kind: InputType, tmp_path: Path) -> None:
    for suffix in (".onnx", ".circle", ".txt"):
        lowbit.write(network(kind=kind), tmp_path / f"net{suffix}")
        assert InputType.of(lowbit.read(tmp_path / f"net{suffix}")) == kind


@pytest.mark.parametrize("dtype", [*DTYPES, "bool", "complex64", "float64", "float16", ">f4"])
def test_data_sets_made_by_hand(dtype: str) -> None:
    """Only reals are taken: integers could mean anything, and were once taken for reals."""
    from lowbit.scores import score

    graph, samples = network(), RANDOM.integers(0, 9, (9, 6)).astype(dtype)
    dataset = Dataset(samples, np.zeros(9, np.int64), "mine")
    takes = (lambda: lowbit.evaluate(graph, dataset), lambda: score(graph, samples))
    for take in takes:
        if np.dtype(dtype).kind == "f":
            assert take()
        else:
            with pytest.raises(DataError, match="a data set of float32"):
                take()


def test_errors_are_ours_for_any_array() -> None:
    """Random types, shapes and contents: samples that fit, or an error of ours."""
    kinds = [None, *PLAIN, *CODED]
    for seed in range(300):
        random = np.random.default_rng(seed)
        shape = tuple(random.integers(0, 9, random.integers(0, 5)))
        dtype = random.choice(
            ["f2", "f4", "f8", "i1", "u1", "i2", "u4", "i8", "b1", "c8", "U2", "O", ">i2", ">f8"]
        )
        content = random.standard_normal(shape) * 10.0 ** random.integers(-3, 12)
        with np.errstate(all="ignore"):
            array = np.asarray(content).astype(dtype)
        graph = network(SHAPES[seed % len(SHAPES)], kinds[seed % len(kinds)])
        try:
            found = load_samples(graph, array)
            assert np.isfinite(found.samples).all() and found.samples.dtype == np.float32
        except LowbitError as error:
            assert error.where and error.expected


def test_a_network_without_an_input_takes_nothing() -> None:
    graph, samples = Graph("constants", (), ("y",)), RANDOM.random((9, 3), np.float32)
    graph.add_constant("k", RANDOM.random((1, 3), np.float32))
    graph.add(Value("y", "float32", (1, 3)))
    graph.nodes.append(Node("Relu", ("k",), ("y",), {}, "relu"))
    for take in (
        lambda: load_samples(graph, samples),
        lambda: lowbit.quantize(graph, samples, bits=2),
        lambda: lowbit.evaluate(graph, Dataset("nine", samples, np.zeros(9, np.int64))),
    ):
        with pytest.raises(UnsupportedError, match="has no input"):
            take()


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_every_channel_has_a_mean_of_its_own(last: bool) -> None:
    pictures = np.random.default_rng(0).random((4, 3, 5, 6)).astype(np.float32)
    means, deviations = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    wanted = np.stack([(pictures[:, c] - means[c]) / deviations[c] for c in range(3)], axis=1)
    given, right = (np.moveaxis(each, 1, -1) if last else each for each in (pictures, wanted))
    found = load(given, normalize=(means, deviations))
    np.testing.assert_allclose(found.samples, right, rtol=1e-6, atol=1e-6)
    assert "(0.1, 0.2, 0.3)" in found.notes[-1]


def test_a_file_remembers_the_means_of_channels() -> None:
    graph = network()
    remember_normalize(graph, ((0.1, 0.2), (0.5, 0.25)))
    assert graph.metadata["normalize"] == "0.1,0.2,0.5,0.25"
    assert remembered_normalize(graph) == ((0.1, 0.2), (0.5, 0.25))
    remember_normalize(graph, (0.1, 0.5))
    assert remembered_normalize(graph) == (0.1, 0.5)


@pytest.mark.parametrize(
    ("means", "deviations"), [((0.1,) * 2, (0.5,) * 2), ((0.1,) * 3, (0.5,) * 2), ((0.0,) * 3,) * 2]
)
def test_channels_that_do_not_fit_are_refused(means: object, deviations: object) -> None:
    with pytest.raises(DataError, match=r"do not fit|impossible"):
        load(np.zeros((2, 3, 5, 5), np.float32), normalize=(means, deviations))
