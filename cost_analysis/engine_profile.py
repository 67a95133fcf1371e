"""An engine as the text of its profile, for a fit that writes profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from cost_analysis.system import ENGINE_SHARES, ENGINE_TIMES, AttentionKernels, Engine, Spread


def engine_text(engine: Engine, uncertainty: Mapping[str, float]) -> str:
    """The TOML of an engine's profile.

    Args:
        engine: The engine.
        uncertainty: Standard error of the logarithm of each coefficient, shown beside it.
    """
    lines = [f'description = "{engine.description}"', f'engine_class = "{engine.engine_class}"']
    if engine.words:
        lines.append(f"words = {_texts(engine.words)}")
    lines += [f"{name} = {str(getattr(engine, name)).lower()}" for name in _SWITCHES]
    lines += [_line(name, getattr(engine, name), uncertainty.get(name)) for name in _NUMBERS]
    lines += [f'source = """{engine.source}"""', "", "[attention]"]
    for item in fields(AttentionKernels):
        value = getattr(engine.attention, item.name)
        if value or item.name != "filling_blocks":  # a fact of the few that it holds for
            lines.append(_line(item.name, value, uncertainty.get(f"attention.{item.name}")))
    if engine.spread is not None:
        lines += ["", "[spread]", *_spread_lines(engine.spread)]
    return "\n".join(lines) + "\n"


_NUMBERS = (*ENGINE_SHARES, *ENGINE_TIMES)
_SWITCHES = ("device_shares", "soft_roofs")


def _line(name: str, value: float, error: float | None) -> str:
    is_time = name in (*ENGINE_TIMES, "floor") and value  # no time at all has no unit
    figure = f'"{value * 1e6:.3g} us"' if is_time else f"{value:.3g}"
    return f"{name} = {figure}" + (f"  # ±{error:.0%}" if error is not None else "")


def _texts(texts: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"


def _spread_lines(spread: Spread) -> list[str]:
    numbers = ("low", "high", "other_low", "other_high")
    lines = [f"{name} = {getattr(spread, name):.3g}" for name in numbers]
    return [*lines, f"devices = {_texts(spread.devices)}"]
