"""Flags as typed records: a field for each flag, declared once, and commands that take records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, Self, TypeVar, cast, get_type_hints

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_FLAG = "flag"
"""Key of a field's metadata: the flag that fills it."""


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


@dataclass(frozen=True, slots=True)
class Flag:
    """How a flag is declared.

    Attributes:
        section: Heading of the help that it stands under.
        spelled: "--name", or "--name/--no_name" for a switch.
        settings: What else `click.option` takes.
    """

    section: str
    spelled: str
    settings: Mapping[str, Any]


def flag(section: str, spelled: str, **settings: Any) -> Any:
    """A field of a record of flags.

    A flag without a default, that is not given, leaves None; a repeated one an empty tuple.

    Args:
        section: Heading of the help that it stands under.
        spelled: "--name", or "--name/--no_name" for a switch.
        settings: What else `click.option` takes.
    """
    metadata = {_FLAG: Flag(section, spelled, settings)}
    if settings.get("default") is not None or settings.get("required"):
        return field(metadata=metadata)
    absent: Any = None
    if settings.get("multiple"):
        absent = ()
    elif settings.get("is_flag"):
        absent = False
    return field(default=absent, metadata=metadata)


def _records_in(annotated: Any) -> Mapping[str, type[Flags]]:
    """The records of flags among the parameters of a function or the fields of a class."""
    hints = get_type_hints(annotated)
    return {name: kind for name, kind in hints.items() if Flags in getattr(kind, "__mro__", ())}


@dataclass(frozen=True, slots=True)
class Flags:
    """A record of flags.

    A dataclass, frozen and by keyword only; each of its fields is made by `flag` or is another
    such record, whose flags the help lists in its place.
    """

    @classmethod
    def declared(cls) -> Iterator[tuple[str, Flag]]:
        """Its flags, each with the name of the parameter that click makes of it."""
        held = _records_in(cls)
        for item in fields(cls):
            if item.name in held:
                yield from held[item.name].declared()
            else:
                yield item.name, item.metadata[_FLAG]

    @classmethod
    def filled(cls, values: Mapping[str, Any]) -> Self:
        """A record with its part of the values that click found."""
        held = _records_in(cls)
        return cls(
            **{
                item.name: held[item.name].filled(values)
                if item.name in held
                else values[item.name]
                for item in fields(cls)
            }
        )


def takes_flags(command: Command) -> Command:
    """Give a command the flags of its records, and call it with the records filled in.

    Which records these are, and in what order the help lists them, its parameters say.
    """
    records = _records_in(command)
    declared = dict(pair for record in records.values() for pair in record.declared())

    @wraps(command)
    def run(*arguments: Any, **values: Any) -> Any:
        filled = {name: record.filled(values) for name, record in records.items()}
        others = {name: value for name, value in values.items() if name not in declared}
        return command(*arguments, **filled, **others)

    for name, each in reversed(declared.items()):
        settings = {"cls": SectionedOption, "section": each.section, **each.settings}
        run = click.option(each.spelled, name, **settings)(run)
    return cast("Command", run)
