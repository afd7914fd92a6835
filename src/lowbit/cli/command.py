"""What all commands do alike: an input is never written over unasked, and a place to write is tried first.

Whatever reads networks or samples takes the options that all networks and samples have.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperOption

from lowbit.errors import WriteError
from lowbit.untrusted import require_writable

if TYPE_CHECKING:
    from lowbit.data import Framing

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OUTPUTS = ("output", "output_model", "plot", "target")
"""Names of parameters that are files to write; all others are inputs where there is such a file."""

_NETWORKS = ("model", "models", "network")
"""Names of parameters that are networks to read."""

_SAMPLES = "normalize"
"""The name of a parameter of commands that read samples."""

_FOLDER_COMMANDS = ("hdl", "train", "tune", "fetch")
"""Their output is a folder, which they make before other work."""


class Command(TyperCommand):
    """A command that writes over a file it reads only with ``--force``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if any(parameter.name in _OUTPUTS for parameter in self.params):
            about = "Write over an input where the output is one."
            self.params.append(TyperOption(param_decls=["--force"], is_flag=True, help=about))
        if any(parameter.name in _NETWORKS for parameter in self.params):
            about = "Lengths that an ONNX file leaves open: x=1,3,8,8. May be repeated."
            self.params.append(TyperOption(param_decls=["--input-shape"], multiple=True, help=about))
        self._cuts_parts = any(parameter.name == "crop" for parameter in self.params)
        if any(parameter.name == _SAMPLES for parameter in self.params):
            self._add("resize", "Of pictures: the shorter side, such as 256, or 32x48: rows, columns.")
            self._add("crop", "Of pictures, then: the middle, such as 224, or 32x48: rows, columns.")
            self._add("colours", "Of pictures: grey or rgb, which all become.")

    def _add(self, name: str, about: str) -> None:
        """Add an option, where the command has no more of its own to say of it."""
        if not any(parameter.name == name for parameter in self.params):
            self.params.append(TyperOption(param_decls=[f"--{name}"], help=about))

    def invoke(self, ctx: Any) -> Any:
        """Check the paths, then run the command."""
        from lowbit.data import asked_framing  # what help and --version need not wait for
        from lowbit.formats.input_shapes import fixed_inputs, parse_shape

        if not ctx.params.pop("force", False):
            for name in _OUTPUTS:
                _require_other(ctx.params.get(name), _inputs(ctx.params))
        for name in _OUTPUTS if ctx.info_name not in _FOLDER_COMMANDS else ():
            if isinstance(ctx.params.get(name), str | Path):
                require_writable(ctx.params[name])
        shapes = dict(map(parse_shape, ctx.params.pop("input_shape", None) or ()))
        with fixed_inputs(shapes), asked_framing(self._framing(ctx.params)):
            return super().invoke(ctx)

    def _framing(self, parameters: dict[str, Any]) -> "Framing | None":
        """Take out what is said of pictures; a part X,Y,W,H is the command's own."""
        from lowbit.data import Framing

        crop = parameters.get("crop")
        if self._cuts_parts and (crop is None or "," in crop or not crop):
            crop = None
        elif self._cuts_parts:
            parameters["crop"] = None
        else:
            parameters.pop("crop", None)
        return Framing.of(parameters.pop("resize", None), crop, parameters.pop("colours", None))


class Application(typer.Typer):
    """A group of such commands."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[_Function], _Function]:
        """Return what makes a command of a function."""
        return super().command(name, cls=Command, **options)


def _inputs(parameters: dict[str, Any]) -> list[Path]:
    """Return the files among the values that are no outputs."""
    values = [value for name, value in parameters.items() if name not in _OUTPUTS]
    flat = [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]
    return [Path(item) for item in flat if isinstance(item, str | Path) and _is_file(Path(item))]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte: none of a file
        return False


def _require_other(output: Any, inputs: list[Path]) -> None:
    if not isinstance(output, str | Path) or not _is_file(Path(output)):
        return
    same = [path for path in inputs if path.samefile(output)]
    if same:
        raise WriteError(
            "the output is an input, which would be lost",
            where=str(output),
            expected="another file",
            found=str(same[0]),
            remedy="Choose another path, or say --force.",
        )
