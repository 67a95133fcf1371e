"""How far a fit of the latency model is off on rows that it has not seen, and what follows.

A fold is a source, a model or a device: all its rows are left out, the engines are fitted to the
others, and the fold is predicted. The 80 % interval of a prediction comes from these errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cost_analysis.latency_fit import EngineFit, fit_engines
from cost_analysis.measurements import Measurement
from cost_analysis.predictions import Floats, engine_of
from cost_analysis.system import Engine, Spread

IN_SAMPLE = "in the sample"
FOLDS: dict[str, Callable[[Measurement], str]] = {
    "held out by source": lambda row: row.texts["source_id"],
    "held out by model": lambda row: row.texts["model"],
    "held out by device": lambda row: row.device.name,
}
"""What is left out together."""

Errors = dict[str, Floats]
"""ln(predicted / measured) of the same rows: in the sample, and by each of `FOLDS`."""

TENTHS = (0.1, 0.9)
"""Quantiles of measured / predicted that end an 80 % interval."""


def fold_errors(measurements: Sequence[Measurement], fit: EngineFit) -> Errors:
    """The errors of a fit on its rows, and of fits that have not seen a row's fold."""
    held = {how: held_out_errors(measurements, group) for how, group in FOLDS.items()}
    return {IN_SAMPLE: fit.errors(measurements), **held}


def held_out_errors(
    measurements: Sequence[Measurement],
    group: Callable[[Measurement], str],
    most_evaluations: int = 50,
) -> Floats:
    """ln(predicted / measured time) of each row by a fit that has seen no row of its group.

    Args:
        measurements: Rows of time that the model can represent.
        group: What is held out together, e.g. the source.
        most_evaluations: Evaluations after which each fit ends.
    """
    groups = [group(row) for row in measurements]
    errors = np.empty(len(measurements))
    for name in sorted(set(groups)):
        seen = [row for row, own in zip(measurements, groups, strict=True) if own != name]
        places = [place for place, own in enumerate(groups) if own == name]
        fit = fit_engines(seen, most_evaluations)
        errors[places] = fit.errors([measurements[place] for place in places])
    return errors


def described(fit: EngineFit, measurements: Sequence[Measurement], errors: Errors) -> EngineFit:
    """The fit with the source of each engine in words, and its spread.

    A class that no row belongs to is left out: nothing tells it.
    """
    engines = {
        name: replace(
            engine,
            source=_source(name, measurements, errors),
            spread=_spread(engine, measurements, errors),
        )
        for name, engine in fit.engines.items()
        if fit.rows[name]
    }
    return replace(fit, engines=engines)


def _spread(engine: Engine, measurements: Sequence[Measurement], errors: Errors) -> Spread:
    """Quantiles of measured / predicted of the class's 16-bit rows.

    On devices that the engine was measured on, those of sources that the fit had not seen; on
    others, at least those of devices that it had not seen, of all classes: few have several.
    """
    own = np.array([row.engine_class == engine.engine_class for row in measurements])
    wide = np.array([row.precision.matrix.bits >= 16 for row in measurements])
    gpu = np.array([row.engine_class != "cpu" for row in measurements])
    by_source, by_device = errors["held out by source"], errors["held out by device"]
    # Rows of narrower weights are further off: they speak only where there are no others.
    wide = wide if (own & wide).any() else ~wide
    low, high = np.exp(np.quantile(-by_source[own & wide], TENTHS))
    other_low, other_high = np.exp(
        np.quantile(-by_device[(gpu if gpu[own].any() else own) & wide], TENTHS)
    )
    rows = [row for row in measurements if engine.name in (engine_of(row).name, row.engine_class)]
    return Spread(
        low=float(low),
        high=float(high),
        other_low=float(min(low, other_low)),
        other_high=float(max(high, other_high)),
        devices=tuple(sorted({row.device.name for row in rows})),
    )


def _source(name: str, measurements: Sequence[Measurement], errors: Errors) -> str:
    """What an engine was fitted on, and how far it was off."""
    own = np.array([name in (engine_of(row).name, row.engine_class) for row in measurements])
    rows = [row for row, is_own in zip(measurements, own, strict=True) if is_own]
    sources = sorted({row.texts["source_id"] for row in rows})
    devices = sorted({row.device.name for row in rows})
    named = ", ".join(devices) if len(devices) < 4 else f"{len(devices)} devices"
    seen, held = (np.abs(np.expm1(errors[how][own])) for how in (IN_SAMPLE, "held out by source"))
    return (
        f"parscale-cost fit-latency on {len(rows)} published rows ({', '.join(sources)}; {named}): "
        f"median error {np.median(seen):.1%} on them, {np.median(held):.1%} by a fit that has not "
        "seen their source"
    )
