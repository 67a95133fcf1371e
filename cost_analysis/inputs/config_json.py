"""The fields of a model's `config.json`, read one by one and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from cost_analysis.common.arrays import single_count
from cost_analysis.common.checks import whole_number
from cost_analysis.common.errors import InputError, shown


class Config:
    """The fields of a configuration, and the file that they are from."""

    def __init__(self, content: dict[str, Any], where: str) -> None:
        """A configuration.

        Args:
            content: Its fields.
            where: Its name in errors.
        """
        self.content = content
        self.where = where
        self.assumed: dict[str, Any] = {}

    def size(self, name: str, default: int | None = None, *, lowest: int = 1) -> int:
        """A whole number; a default that is used is remembered in `assumed`.

        Args:
            name: The field.
            default: What transformers takes where it is left out; None means that it must be there.
            lowest: The least that is allowed.

        Raises:
            InputError: It is missing, or not a whole number within the limits.
        """
        if name not in self.content and default is not None:
            self.assumed[name] = default
            return default
        value = self.content.get(name)
        if value is None:
            self.refuse(f"{name} is missing")
        try:
            return single_count(whole_number(name, value, lowest))
        except InputError as error:
            self.refuse(str(error))

    def optional_size(self, name: str, default: int | None, *, lowest: int = 1) -> int | None:
        """A whole number, or None where it is null, which differs from being left out.

        Args:
            name: The field.
            default: What transformers takes where it is left out.
            lowest: The least that is allowed.

        Raises:
            InputError: Neither null nor a whole number within the limits.
        """
        if name not in self.content and default is None:
            return None
        if name in self.content and self.content[name] is None:
            return None
        return self.size(name, default, lowest=lowest)

    def switch(self, name: str, default: bool) -> bool:
        """True or false; `default` is what transformers takes where it is left out."""
        value = self.content.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(f"{name} is {shown(value)}; it must be true or false")
        return bool(value)

    def names(self, name: str, allowed: Sequence[str]) -> list[str] | None:
        """A list of names that are all known, or None where it is left out."""
        value = self.content.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self.refuse(f"{name} is {shown(value)}; it must be a list")
        for item in value:
            if item not in allowed:
                self.refuse(f"{name} holds {shown(item)}; known are {', '.join(allowed)}")
        return list(value)

    def places(self, name: str, most: int) -> frozenset[int]:
        """A list of the places of layers, counted from 0; none where it is left out."""
        value = self.content.get(name)
        if value is None:
            return frozenset()
        if not isinstance(value, list):
            self.refuse(f"{name} is {shown(value)}; it must be a list")
        for item in value:
            if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item < most:
                self.refuse(f"{name} holds {shown(item)}; each must be from 0 to {most - 1}")
        return frozenset(value)

    def part(self, name: str) -> Config:
        """A configuration inside this one."""
        value = self.content.get(name)
        if not isinstance(value, dict):
            self.refuse(f"{name} is {shown(value)}; it must be an object")
        return Config(value, f"{self.where}, {name}")

    def expect(self, name: str, *values: object) -> None:
        """Refuse a field whose value is not supported.

        Args:
            name: The field.
            values: Those that are; the first is the one that transformers takes by default.
        """
        value = self.content.get(name, values[0])
        if not any(value is known or value == known for known in values):
            self.refuse(f"{name} is {shown(value)}, which is not supported")

    def refuse(self, sentence: str) -> NoReturn:
        """Refuse the configuration."""
        raise InputError(f"{self.where}: {sentence}")
