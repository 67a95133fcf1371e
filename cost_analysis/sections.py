"""Flags and commands whose help is grouped under headings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class SectionedOption(click.Option):
    """An option that the help lists under a heading."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        """An option of a section of the help."""
        super().__init__(*args, **kwargs)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help groups its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", "Other"), []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)


def section_option(section: str, *names: str, **kwargs: Any) -> Callable[[Command], Command]:
    """`click.option` under a heading of the help."""
    return click.option(*names, cls=SectionedOption, section=section, **kwargs)


def chain(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several flags as one decorator, listed in this order."""

    def decorate(command: Command) -> Command:
        """Give a command these flags."""
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate
