"""A module of somebody's own: a class or function of a Python file that they name.

    mynet.py:Net                     called without arguments
    mynet.py:Net(width=16)           with these, which are literals, by name, and nothing that is evaluated

The file is imported, since that is what was asked for, from the command line or by a recipe. No checkpoint
and no file of data ever says which code is to be run.
"""

import ast
import difflib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from lowbit.errors import FileError, PlanError
from lowbit.state import digest
from lowbit.untrusted import read_file

_LARGEST_FILE = 1 << 24
_MARK = ".py:"


def is_own(network: str) -> bool:
    """Return whether a network is a module of a file, and none of the zoo."""
    return _MARK in network or network.endswith(".py")


@dataclass(frozen=True)
class OwnNetwork:
    """Which module, and what it is called with.

    Attributes:
        path: of the Python file.
        name: of the class or function in it.
        arguments: by name.
    """

    path: Path
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, arguments: Mapping[str, Any] | None = None) -> "OwnNetwork":
        """Return what a text such as ``mynet.py:Net(width=16)`` means; `arguments` win.

        Raises:
            PlanError: it says no name, or arguments that are no literals by name.
        """
        file, _, call = text.partition(_MARK)
        path = Path(file + ".py" if call else text)
        name, written = _call(call, text)
        if not name:
            expected = f"{path}:NAME, of a class or a function without its own arguments"
            raise PlanError(
                "which module of the file is meant", where=text, expected=expected, found="no name"
            )
        return cls(path, name, {**written, **(arguments or {})})

    @property
    def text(self) -> str:
        """How it is said without arguments: ``mynet.py:Net``."""
        return f"{self.path}:{self.name}"

    def code(self) -> str:
        """Return a hash of the file.

        Raises:
            FileError: it cannot be read.
        """
        return digest(read_file(self.path, limit=_LARGEST_FILE))

    def parameters(self) -> tuple[str, ...]:
        """Return the names of what the class or function can be called with; errors are those of `build`."""
        try:
            return tuple(inspect.signature(self._found(_imported(self.path))).parameters)
        except (TypeError, ValueError):
            return ()

    def build(self) -> nn.Module:
        """Import the file, call the class or function, and return the module; torch draws its weights.

        Raises:
            FileError: there is no such file.
            PlanError: it fails, has no such name, wants other arguments, or gives no module.
        """
        made = self._called(self._found(_imported(self.path)))
        if isinstance(made, nn.Module):
            return made
        raise PlanError(
            "it gives no module",
            where=self.text,
            expected="torch.nn.Module",
            found=type(made).__name__,
            remedy="Return the module.",
        )

    def _found(self, module: ModuleType) -> Any:
        named = {name: value for name, value in vars(module).items() if not name.startswith("_")}
        if callable(found := named.get(self.name)) and not isinstance(found, nn.Module):
            return found
        if found is not None:
            raise PlanError(
                "this is neither a class nor a function",
                where=self.text,
                expected="what gives a new module, so that a seed draws its weights",
                found=type(found).__name__,
                remedy="Name its class, or a function that makes it.",
            )
        own = [name for name, value in named.items() if getattr(value, "__module__", "") == module.__name__]
        near = difflib.get_close_matches(self.name, own, n=3, cutoff=0.4) or own[:5]
        raise PlanError(
            "the file has no such class or function",
            where=self.text,
            expected=" or ".join(near) or "some class or function",
            found=repr(self.name),
        )

    def _called(self, make: Any) -> Any:
        try:
            signature = inspect.signature(make)
        except (TypeError, ValueError):
            signature = None
        if signature is not None:
            self._check_arguments(signature)
        try:
            return make(**self.arguments)
        except Exception as error:  # whatever the user's code raises
            said = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
            raise PlanError(
                "the module cannot be made",
                where=f"{self.text}({said})",
                expected="a call without an error",
                found=_last(error, self.path),
            ) from error

    def _check_arguments(self, signature: inspect.Signature) -> None:
        """Refuse a call that lacks arguments or has others, all of them at once."""
        known = signature.parameters
        open_ = any(each.kind is each.VAR_KEYWORD for each in known.values())
        named = [
            name
            for name, each in known.items()
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        ]
        lacking = [name for name in named if known[name].default is inspect.Parameter.empty]
        lacking = [name for name in lacking if name not in self.arguments]
        foreign = [name for name in self.arguments if name not in named and not open_]
        if not (lacking or foreign):
            return
        facts = [f"nothing for {', '.join(lacking)}"] if lacking else []
        facts += [f"{', '.join(foreign)}, which it has not"] if foreign else []
        wanted = lacking or named[:1] or ["width"]
        raise PlanError(
            "the module is called with other arguments than it takes",
            where=self.text,
            expected=f"({', '.join(str(known[name]) for name in named)})",
            found="; ".join(facts),
            remedy=f"Give them by name: '{self.text}({wanted[0]}=…)', --set {wanted[0]}=…, "
            "or in a recipe the table arguments.",
        )


def _call(text: str, whole: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments of ``Net(width=16)``; literals alone, and nothing is evaluated."""
    name, bracket, _ = text.partition("(")
    if not bracket:
        return name.strip(), {}
    try:
        call = ast.parse(text, mode="eval").body
        literal = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args
        if not literal or not isinstance(call, ast.Call):
            raise ValueError("arguments without names, or another form")  # noqa: TRY301
        return name.strip(), {str(each.arg): literal_of(each.value) for each in call.keywords if each.arg}
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise PlanError(
            "arguments are literals by name",
            where=whole,
            expected="such as Net(width=16, norm='batch')",
            found=str(error).splitlines()[0][:120],
            remedy="What has to be computed goes into a function of the file, which is named in its place.",
        ) from error


def literal_of(value: ast.expr | str) -> Any:
    """Return a number, text, truth value, list or dictionary of those as Python writes it.

    Raises:
        ValueError, SyntaxError: it is anything else.
    """
    return ast.literal_eval(value)


def _imported(path: Path) -> ModuleType:
    """Return the module of a file, whose neighbours it may import as if it were run."""
    read_file(path, limit=_LARGEST_FILE)  # the errors of files
    spec = importlib.util.spec_from_file_location(f"own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileError("this is no Python file", where=str(path), expected="a file .py")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent.resolve())
    sys.path.insert(0, folder)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's code raises
        raise PlanError(
            "the file cannot be imported",
            where=str(path),
            expected="an import without an error",
            found=_last(error, path),
        ) from error
    finally:
        sys.path.remove(folder)
    return module


def _last(error: Exception, path: Path) -> str:
    """Return what was raised, and the last line of the file that was on the way."""
    frames, here = traceback.extract_tb(error.__traceback__), path.resolve()
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == here]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    place = f" in line {lines[-1]}" if lines else ""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}{place}"
