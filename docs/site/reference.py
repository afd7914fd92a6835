"""References as Markdown, made of the code: parameters of commands, docstrings, classes of errors."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lowbit
from lowbit.errors import ExitCode, LowbitError

MODULES = (
    "lowbit",
    "lowbit.data",
    "lowbit.zoo",
    "lowbit.nn",
    "lowbit.analysis",
    "lowbit.report",
    "lowbit.verification",
    "lowbit.forecast",
    "lowbit.backends",
    "lowbit.schemes",
    "lowbit.ui",
)
"""Modules whose public names are shown: those of ``__all__``."""

SECTIONS = ("Args", "Returns", "Raises", "Attributes", "Yields")


def write_references(folder: Path) -> None:
    """Write the three pages."""
    folder.mkdir(parents=True)
    (folder / "commands.md").write_text("".join(commands()))
    (folder / "python.md").write_text("".join(python()))
    (folder / "errors.md").write_text("".join(errors()))


def write_demo(path: Path, wide: Path) -> None:
    """Write the page that runs a network, which the site links to."""
    from lowbit.ui import write_page

    write_page(path, lowbit.pretrained("mnist-lst1-q6.7"), against=lowbit.read(wide))


def commands() -> Iterator[str]:
    """Yield what every command takes, in the words of its ``--help``."""
    import typer

    from lowbit.cli import app

    yield "# Commands\n\nMade of what `lowbit COMMAND --help` says. Exit codes: "
    yield ", ".join(f"{code.value} {code.text}" for code in ExitCode) + ".\n"
    yield from _group(typer.main.get_command(app), "lowbit")


def _group(group: Any, before: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield f"\n## {before} {name}\n\n{_prose(command.help or '')}\n"
            yield from _group(command, f"{before} {name}")
            continue
        arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
        options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
        usage = " ".join([before, name, *(_usage(argument) for argument in arguments), "[OPTIONS]"])
        yield f"\n## {before} {name}\n\n```text\n{usage}\n```\n\n{_prose(command.help or '')}\n\n"
        yield "| | what | default |\n|---|---|---|\n"
        for parameter in (*arguments, *options):
            yield f"| {_flags(parameter)} | {_cell(parameter.help or '')} | {_default(parameter)} |\n"


def _usage(argument: Any) -> str:
    name = argument.name.upper()
    return name if argument.required else f"[{name}]"


def _flags(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if isinstance(getattr(parameter, "show_default", None), str):
        return _cell(parameter.show_default)
    value = parameter.default
    empty = value is None or value is False or value == "" or value == () or callable(value)
    return "" if empty else f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", r"\<").replace("*", r"\*")


def python() -> Iterator[str]:
    """Yield every public name of the modules, with what its docstring says."""
    yield "# Python\n\nMade of docstrings. Names of `lowbit` itself keep their meaning: see "
    yield "[what stays as it is](../docs/stability.md).\n"
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        yield f"\n## {module_name}\n\n{_prose(inspect.getdoc(module) or '')}\n"
        for name in sorted(module.__all__, key=str.lower):
            found = getattr(module, name)
            if inspect.isclass(found) or inspect.isroutine(found):
                yield from _entry(f"{module_name}.{name}", found)


def _entry(name: str, found: Any, level: str = "###") -> Iterator[str]:
    yield f"\n{level} {name}\n\n```python\n{_signature(name, found)}\n```\n\n"
    yield _prose(inspect.getdoc(found) or "") + "\n"
    if not inspect.isclass(found):
        return
    for key, member in vars(found).items():
        plain = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if key.startswith("_") or not inspect.isfunction(plain) or not inspect.getdoc(plain):
            continue
        if isinstance(member, property):
            yield f"\n**{key}**: {_prose(inspect.getdoc(plain) or '')}\n"
        else:
            yield from _entry(f"{found.__name__}.{key}", plain, "####")


def _signature(name: str, found: Any) -> str:
    """Return a call with its defaults; what each argument is, its docstring says."""
    short = name.rsplit(".", 1)[-1]
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return short
    bare = [one.replace(annotation=one.empty) for key, one in signature.parameters.items() if key != "self"]
    return short + str(signature.replace(parameters=bare, return_annotation=signature.empty))


def errors() -> Iterator[str]:
    """Yield every error, its code and what a command ends with."""
    yield "# Errors\n\nEvery message says where, what was expected, what was found and what to do: "
    yield "`CODE where: message; expected …; found …. Remedy`. In Python it is an exception of "
    yield "`lowbit.errors` with these as attributes; a command prints it, or with `--json` gives it as an "
    yield "object, and ends with the exit code.\n\n"
    yield "| code | exit code | exception |\n|---|---|---|\n"
    kinds = list(_kinds(LowbitError))
    for kind in kinds:
        yield f"| [{kind.code}](#{kind.code.lower()}) | {kind.exit_code.value} | `{kind.__name__}` |\n"
    for kind in kinds:
        code = kind.exit_code
        yield f"\n## {kind.code}\n\n`lowbit.errors.{kind.__name__}`, exit code {code.value} ({code.text}). "
        yield f"{_prose(inspect.getdoc(kind) or '')}\n"


def _kinds(kind: type[LowbitError]) -> Iterator[type[LowbitError]]:
    for below in kind.__subclasses__():
        if below.__module__ == "lowbit.errors":
            yield below
            yield from _kinds(below)


def _prose(text: str) -> str:
    """Return a docstring as Markdown: sections as lists, what is indented as code."""
    lines: list[str] = []
    section, code = "", False
    for line in text.splitlines():
        heading = re.fullmatch(rf"({'|'.join(SECTIONS)}):", line)
        indented = line.startswith("    ") and not section
        if code and line and not indented:
            code, lines = False, [*lines[:-1], "```", ""] if not lines[-1] else [*lines, "```"]
        if heading:
            section = heading[1]
            lines += [f"**{heading[1]}**", ""]
        elif indented:
            if not code:
                lines.append("```text")
            code = True
            lines.append(line[4:])
        elif section in ("Returns", "Yields") and line.startswith("    "):
            lines.append(_plain(line.strip()))
        elif section and line.startswith("    ") and not line.startswith("     "):
            lines.append("* " + re.sub(r"^([\w*, .]+): ", r"`\1`: ", _plain(line.strip())))
        elif section and line.startswith("     "):
            lines.append("  " + _plain(line.strip()))
        else:
            section = section if not line else ""
            lines.append(_plain(line))
    return "\n".join([*lines, "```"] if code else lines)


def _plain(line: str) -> str:
    """Return a line with Markdown's own signs escaped outside of code."""
    parts = re.split(r"(``.+?``|`[^`]+`)", line)
    return "".join(part if n % 2 else re.sub(r"([<|\[\]*])", r"\\\1", part) for n, part in enumerate(parts))
