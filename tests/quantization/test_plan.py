"""Plans: TOML, overrides, and what is refused."""

import pytest

from lowbit.errors import FileError, PlanError
from lowbit.quantization import Plan


def test_a_file_says_what_arguments_say(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        'bits = 2\nsamples = 99\n[layers.fc2]\nscheme = "affine"\nbits = 8\nactivation_bits = 7\n'
    )
    plan = Plan.read(path)
    assert (plan.weight_bits, plan.activation_bits, plan.samples) == (2, 2, 99)
    special = plan.for_layer("fc2")
    assert (special.scheme, special.weight_bits, special.activation_bits, special.samples) == (
        "affine",
        8,
        7,
        99,
    )
    assert plan.for_layer("fc1").weight_bits == 2
    assert Plan.read(path, weight_bits=1).weight_bits == 1
    assert Plan.read(None, weight_bits=4) == Plan(weight_bits=4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bits = 0", "bits out of range.*1 to 4 for lq.*found 0"),
        ('scheme = "lq"\nbits = 5', "1 to 4 for lq"),
        ('scheme = "affine"\nbits = 1', "2 to 8 for affine"),
        ('scheme = "affine"\nbits = 9', "2 to 8 for affine"),
        ("bits = 2.5", "wrong type"),
        ("bits = true", "wrong type"),
        ('bits = "2"', "wrong type"),
        ("symmetric = 1", "wrong type"),
        ("weight_offset = 1", "wrong type"),
        ("weigth_bits = 2", "unknown setting.*weight_bits"),
        ('scheme = "int4"', "unknown scheme.*lq or pow2 or affine or float"),
        ('method = "magic"', "unknown method"),
        ("samples = 0", "samples is too small"),
        ("seed = -1", "seed is too small"),
        ("damping = 0.0", "damping"),
        ("damping = nan", "damping"),
        ("layers = 3", "wrong type"),
        ("[layers]\nfc1 = 3", r"no table.*layers\.fc1"),
        ('scheme = "pow2"\nbits = 4\n[layers.fc1]\nbits = 7', r"layers\.fc1\.weight_bits: bits out of range"),
        ("percentile = 30.0", "percentile is out of range"),
        ("[layers.fc1]\nbit = 2", r"layers\.fc1: unknown setting.*bits"),
        ("[layers.fc1]\nsamples = 2", r"layers\.fc1: this is said once"),
        ("bits = ", "not TOML"),
        (b"\xff\xfe", "not TOML"),
    ],
)
def test_what_is_impossible_is_refused_with_a_reason(text, message):
    with pytest.raises(PlanError, match=message if "no table" not in message else "no table"):
        Plan.from_toml(text)


def test_a_layer_that_is_not_there_is_named_with_its_likes():
    plan = Plan(layers={"fc_1": {"weight_bits": 2}})
    with pytest.raises(PlanError, match=r"layers\.fc_1.*expected fc1 or fc2"):
        plan.resolved(["fc1", "fc2", "softmax"])
    plan.resolved(["fc_1"])


def test_a_missing_file_is_no_plan_error(tmp_path):
    with pytest.raises(FileError):
        Plan.read(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("settings", "weights", "activations"),
    [
        ({"weight_bits": 1}, True, True),
        ({"weight_bits": 2}, False, True),
        ({"weight_bits": 1, "method": "plain"}, False, False),
        ({"weight_bits": 1, "weight_offset": False, "activation_offset": False}, False, False),
        ({"weight_bits": 3, "method": "plain", "weight_offset": True, "activation_offset": True}, True, True),
    ],
)
def test_offsets_are_automatic_unless_said(settings, weights, activations):
    plan = Plan(**settings)
    assert (plan.uses_weight_offset, plan.uses_activation_offset) == (weights, activations)


@pytest.mark.parametrize("bits", range(1, 9))
def test_bits_without_a_scheme_mean_the_scheme_that_has_them(bits):
    wanted = "lq" if bits <= 4 else "affine"
    assert Plan(weight_bits=bits, activation_bits=bits).scheme == wanted
    assert Plan.from_toml(f"bits = {bits}").scheme == wanted
    assert Plan(weight_bits=bits, activation_bits=32).scheme == wanted
    assert Plan(weight_bits=2, layers={"fc": {"bits": bits}}).for_layer("fc").scheme == wanted
    assert Plan(scheme="affine", weight_bits=8, activation_bits=8).for_layer("fc").scheme == "affine"
    assert f"weights={wanted}:{bits} activations={wanted}:{bits} " in str(
        Plan(weight_bits=bits, activation_bits=bits)
    )
