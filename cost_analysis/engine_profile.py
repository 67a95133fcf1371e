"""An engine as the text of its profile, for a fit that writes profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from cost_analysis.system import ENGINE_SHARES, ENGINE_TIMES, AttentionKernels, Engine, Spread

if TYPE_CHECKING:
    from tomlkit.items import Item, Table


def engine_text(engine: Engine, uncertainty: Mapping[str, float]) -> str:
    """The TOML of an engine's profile.

    Args:
        engine: The engine.
        uncertainty: Standard error of the logarithm of each coefficient, shown beside it.
    """
    import tomlkit

    profile = tomlkit.document()
    profile["description"] = engine.description
    profile["engine_class"] = engine.engine_class
    if engine.words:
        profile["words"] = list(engine.words)
    for name in _SWITCHES:
        profile[name] = getattr(engine, name)
    for name in _NUMBERS:
        profile[name] = _figure(name, getattr(engine, name), uncertainty.get(name))
    source = " ".join(engine.source.split())  # as it is read; early tomlkit spoils its line ends
    profile["source"] = tomlkit.string(source, multiline=True)
    profile.add(tomlkit.nl())
    profile["attention"] = _attention_table(engine.attention, uncertainty)
    if engine.spread is not None:
        profile.add(tomlkit.nl())
        profile["spread"] = _spread_table(engine.spread)
    return tomlkit.dumps(profile)


_NUMBERS = (*ENGINE_SHARES, *ENGINE_TIMES)
_SWITCHES = ("device_shares", "soft_roofs")


def _figure(name: str, value: float, error: float | None = None) -> Item:
    """A coefficient to three digits, a time in microseconds, and its uncertainty as a comment."""
    import tomlkit

    time = name in (*ENGINE_TIMES, "floor") and value  # no time at all has no unit
    item = tomlkit.string(f"{value * 1e6:.3g} us") if time else tomlkit.value(f"{value:.3g}")
    if error is not None:
        item.comment(f"±{error:.0%}")
        item.trivia.comment_ws = "  "
    return item


def _attention_table(attention: AttentionKernels, uncertainty: Mapping[str, float]) -> Table:
    import tomlkit

    table = tomlkit.table()
    for item in fields(AttentionKernels):
        value = getattr(attention, item.name)
        if value or item.name != "filling_blocks":  # a fact of the few that it holds for
            error = uncertainty.get(f"attention.{item.name}")
            table[item.name] = _figure(item.name, value, error)
    return table


def _spread_table(spread: Spread) -> Table:
    import tomlkit

    table = tomlkit.table()
    for name in ("low", "high", "other_low", "other_high"):
        table[name] = _figure(name, getattr(spread, name))
    table["devices"] = list(spread.devices)
    return table
