"""The table of `docs/onnx-operators.md`: what becomes of ONNX's backend tests, by operator."""

from collections import Counter

import onnx

from tests.conformance.onnx_backend import NETWORKS_ON_ENGINE, OPERATORS, TYPES, outcomes

NOTES = {
    "AveragePool": "any number of spatial axes; ceil_mode and auto_pad become pads",
    "BatchNormalization": "inference",
    "Conv": "any number of spatial axes, groups, dilations; auto_pad becomes pads",
    "ConstantOfShape": "becomes a constant",
    "Dropout": "inference",
    "MaxPool": "no indices; any number of spatial axes; ceil_mode and auto_pad become pads",
    "Pad": "constant pads and axes; constant, edge, reflect, wrap",
    "Attention": "as ONNX's own function, and so are all that have one",
    "Resize": "nearest, linear, cubic; all but tf_crop_and_resize",
    "Softmax": "before opset 13: one axis",
}


def table() -> str:
    """Return the document."""
    results = list(outcomes().values())
    passed = [one for one in results if one.passed]
    on_engine = sum(one.on_engine for one in passed)
    columns = [
        _by_operator(passed),
        _by_operator([one for one in passed if one.on_engine]),
        _by_operator([one for one in results if one.refusal]),
    ]
    kinds = ", ".join(TYPES)
    lines = [
        "# ONNX operators",
        "",
        "Made by `scripts/onnx-operators`; a test compares it with what runs.",
        "",
        f"{len(results)} backend tests of onnx {onnx.__version__} use only these operators, on {kinds}: "
        f"{len(passed)} of them pass on the reference evaluator, {on_engine} on the engine too; "
        f"{len(results) - len(passed)} are refused with a message that says why. None is skipped.",
        "The nine networks that onnx ships (AlexNet to ZFNet) run as well, "
        f"{len(NETWORKS_ON_ENGINE)} of them on the engine too ({', '.join(NETWORKS_ON_ENGINE)}).",
        "",
        "| operator | passed | on the engine | refused | notes |",
        "|---|---:|---:|---:|---|",
    ]
    for operator in sorted(OPERATORS):
        counts = " | ".join(str(column[operator]) for column in columns)
        lines.append(f"| {operator} | {counts} | {NOTES.get(operator, '')} |")
    return "\n".join(lines) + "\n"


def _by_operator(chosen: list) -> Counter[str]:
    return Counter(operator for one in chosen for operator in one.case.operators)


if __name__ == "__main__":
    print(table(), end="")  # noqa: T201
