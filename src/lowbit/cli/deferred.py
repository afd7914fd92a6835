"""Commands that are imported and made when they are asked for: one command starts without all others."""

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_command_from_info, get_group_from_info
from typer.models import CommandInfo, TyperInfo

from lowbit.cli.command import Command

_SHOWN: dict[str, Any] = {"pretty_exceptions_short": True, "rich_markup_mode": "markdown"}


class Commands(UserDict[str, Any]):
    """Commands by name.

    Args:
        places: ``module:function``, or a module's group, by the name of its command.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        super().__init__()
        self.data = dict(places)

    def __getitem__(self, name: str) -> Any:
        """Return a command, which is made the first time."""
        found = self.data[name]
        if isinstance(found, str):
            module, _, member = found.partition(":")
            found = self.data[name] = _made(name, getattr(import_module(module), member))
        return found


def _made(name: str, member: Any) -> Any:
    if isinstance(member, typer.Typer):
        return get_group_from_info(TyperInfo(member, name=name), suggest_commands=True, **_SHOWN)
    return get_command_from_info(CommandInfo(name, cls=Command, callback=member), **_SHOWN)


class DeferredApplication(typer.Typer):
    """An application of such commands, which is made once."""

    def __init__(self, places: Mapping[str, str], **options: Any) -> None:
        class Group(TyperGroup):
            def __init__(self, *, commands: object = None, **given: Any) -> None:
                made = cast(dict[str, Any], Commands(places))  # read as one, never written to
                super().__init__(commands=made, **given)

        super().__init__(cls=Group, rich_markup_mode=_SHOWN["rich_markup_mode"], **options)
        self._made: Any = None

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run the words of the command line."""
        self._made = self._made or get_command(self)
        return self._made(*arguments, **options)
