"""Curves of attention kernels from timings, and their errors on shapes that a fit has not seen.

A fit minimises the soft absolute value of log(curve / timing) over shapes, and of the same for the
ratio of eight sequences to one, which tells what parallel streams cost. Weak priors keep numbers
that no timing determines where physics expects them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from cost_analysis.common.arrays import Array
from cost_analysis.distilling.attention_timings import Timings, folds_of, pairs_of, sample_of
from cost_analysis.kernels.attention import (
    BLOCKS,
    KEYS,
    LONE_BLOCKS,
    LONE_KEYS,
    DecodeCurve,
    PromptCurve,
    sizes_of,
)
from cost_analysis.kernels.shapes import Attention

Curve = DecodeCurve | PromptCurve
AnyCurve = TypeVar("AnyCurve", DecodeCurve, PromptCurve)
Kind = tuple[tuple[float, float], float, float]

LONE: tuple[Kind, ...] = (
    ((1.0, 1e9), 0.0, 0.0),
    ((1.0, 32.0), 0.0, 0.0),
    ((2.0, 1e9), 1.0, 0.0),
    ((2.0, 32.0), 0.0, 0.0),
    ((2.0, 32.0), 0.0, 4096.0),
    ((2.0, 32.0), 0.0, 8192.0),
)
"""What engines run in the kernel of lone heads: groups, windows, few tokens. A fit tries each."""

PRIOR = 0.02
"""Weight of the priors: a number e times its guess counts as 2 % at one shape."""

RATIO = 0.5
"""Weight of a ratio of eight sequences to one beside that of a time."""


def fit_decode(timings: Timings, bandwidth: float, peak: float) -> DecodeCurve:
    """The curve of a decode kernel.

    Args:
        timings: Of one device, engine and format.
        bandwidth: Of the device's memory [B/s]: no rate of large reads is higher.
        peak: Of the device's products in the format of the kernel [FLOP/s].
    """
    numbers = _decode_numbers(float(timings.seconds.min()), bandwidth, peak)
    group = sizes_of(timings.shape)
    groups = np.asarray(group.query_heads) / np.asarray(group.kv_heads)
    tried = LONE if isinstance(timings.shape, Attention) else LONE[:1]
    fits = []
    for kind in tried:
        if (groups >= kind[0][0]).any():  # else no timing would be of the kernel of groups
            fits.append(_fitted(timings, numbers, partial(_decode_curve, kind)))
    # A later kind must earn its numbers.
    costs = [cost * 1.02 ** (place > 0) for place, (cost, _) in enumerate(fits)]
    return fits[int(np.argmin(costs))][1]


def fit_prompt(timings: Timings, bandwidth: float, peak: float) -> PromptCurve:
    """The curve of a kernel of prompts; prompts of one token are left out: engines decode them.

    Args:
        timings: Of one device, engine and format.
        bandwidth: Of the device's memory [B/s].
        peak: Of the device's products in the format of the kernel [FLOP/s].
    """
    timings = timings.part(np.asarray(timings.shape.queries) > 1.0)
    numbers = _prompt_numbers(bandwidth, peak)
    fits = [_fitted(timings, numbers, partial(_prompt_curve, packed)) for packed in (0.0, 1.0)]
    return fits[0 if fits[0][0] <= 1.02 * fits[1][0] else 1][1]


Numbers = list[tuple[float, float, float]]
"""Guess, lowest and highest of each number that is fitted."""

MICRO = 1e-6


def _decode_numbers(least: float, bandwidth: float, peak: float) -> Numbers:
    """Times, rates and factors of a decode curve in the order of `_decode_curve`."""
    rising = [0.1, 0.2, 0.3, 0.5, 1.0, 10.0, 40.0, 0.2, 0.3, 1.0, 1.0, 2.0, 2.0]
    lone = [1.0, 1.0, 4.0, 15.0, 1.0, 1.0, 2.0, 2.0]
    factors = [0.95, 1.05, 1.1, 0.7, 1.5, 3.0, 0.95, 1.02, 1.02, 1.02, 1.05, 1.05, 1.05]
    start = (1.1 * least, 0.8 * least, 2.0 * least)
    return [
        start,
        start,
        *((each * MICRO, 1e-10, 1e-2) for each in (*rising, *lone)),
        *((each, 0.3, 4.0) for each in factors),
        (0.85 * bandwidth, 0.2 * bandwidth, bandwidth),
        (1.6, 0.3, 8.0),
        (30e6, 1e6, 300e6),
        (20e6, 1e6, 300e6),
        (0.1 * bandwidth, 1e-3 * bandwidth, 10.0 * bandwidth),
        (0.2 * peak, 0.01 * peak, 1.0 * peak),
        (0.03 * bandwidth, 1e-3 * bandwidth, 10.0 * bandwidth),
        (1.5 * bandwidth, 0.1 * bandwidth, 20.0 * bandwidth),
        (30.0, 0.1, 512.0),
        (1.3, 0.5, 2.0),
        (0.1 * MICRO, 1e-10, 1e-2),
    ]


def _decode_curve(kind: Kind, p: Sequence[float]) -> DecodeCurve:
    """The curve of some numbers, for engines that use the kernel of lone heads as `kind` says."""
    sums = _rising_sums
    blocks, keys = sums(p[3:9]), sums(p[9:15])
    lone_blocks, lone_keys = sums(p[15:19]), sums(p[19:23])
    assert (len(blocks), len(keys)) == (len(BLOCKS), len(KEYS))
    assert (len(lone_blocks), len(lone_keys)) == (len(LONE_BLOCKS), len(LONE_KEYS))
    narrow, wide, widest, block_narrow, block_wide, block_widest, few, *more = p[23:36]
    memory, faster, held, beyond, head, peak, lone_head, again, margin, overlap = p[36:46]
    rows = (few, 1.0, *(float(each) for each in np.cumprod(more)))
    return DecodeCurve(
        start=p[0],
        start_widths=(narrow, 1.0, wide, widest),
        blocks=blocks,
        block_widths=(block_narrow, 1.0, block_wide, block_widest),
        keys=keys,
        rows=rows,
        copy=(p[46], p[2]),
        memory=memory,
        cached=memory * faster,
        held=held,
        lost=held + beyond,
        head_rate=head,
        peak=peak,
        overlap=overlap - 1.0,
        margin=margin,
        lone_groups=kind[0],
        lone_windows=kind[1],
        lone_tokens=kind[2],
        lone_start=p[1],
        lone_blocks=lone_blocks,
        lone_keys=lone_keys,
        lone_head_rate=lone_head,
        lone_again=again,
    )


def _prompt_numbers(bandwidth: float, peak: float) -> Numbers:
    """Times, rates and factors of a prompt's curve in the order of `_prompt_curve`."""
    small = [11.0, 1.0, 0.01, 0.015, 0.0002, 0.0002, 0.0003, 0.0005, 0.001]
    factors = [0.95, 1.05, 1.1, 0.85, 1.2, 1.5, 0.85, 1.5, 2.5]
    shares = [0.45, 0.6, 0.6, 0.4]
    return [
        *((each * MICRO, 1e-7 * MICRO, 1e-2) for each in small),
        *((each, 0.05, 10.0) for each in factors),
        *((each * peak, 0.02 * peak, peak) for each in shares),
        (64.0, 0.1, 2000.0),
        (128.0, 0.1, 2000.0),
        (0.85 * bandwidth, 0.2 * bandwidth, bandwidth),
        (2.0, 1.0, 20.0),
        (30e6, 1e6, 300e6),
        (20e6, 1e6, 300e6),
        (1.3, 0.5, 2.0),
        (0.9, 0.5, 2.0),
    ]


def _prompt_curve(packed: float, p: Sequence[float]) -> PromptCurve:
    """The curve of some numbers, with tiles of whole groups or of single heads."""
    first = p[4]
    memory, faster, held, beyond, overlap, tile_overlap = p[24:30]
    return PromptCurve(
        start=p[0],
        start_widths=(p[9], 1.0, *p[10:12]),
        short=p[1],
        tile=p[2],
        tile_widths=(p[12], 1.0, *p[13:15]),
        packed=packed,
        key=p[3],
        key_widths=(p[15], 1.0, *p[16:18]),
        masked=p[22],
        window_masked=p[23],
        peaks=tuple(p[18:22]),
        memory=memory,
        cached=memory * faster,
        held=held,
        lost=held + beyond,
        written=tuple(first + each for each in _rising_sums(p[5:9])),
        overlap=overlap - 1.0,
        tile_overlap=tile_overlap - 1.0,
    )


def _rising_sums(steps: Sequence[float]) -> tuple[float, ...]:
    """Heights of knots from 0.0 on, each above the one before."""
    return (0.0, *(float(each) for each in np.cumsum(steps)))


def _fitted(
    timings: Timings, numbers: Numbers, curve_of: Callable[[Sequence[float]], AnyCurve]
) -> tuple[float, AnyCurve]:
    """Cost and curve of the numbers that fit best."""
    from scipy.optimize import least_squares

    few = timings.part(sample_of(timings))
    ones, eights = pairs_of(few.shape)
    guess, low, high = np.log(np.array(numbers)).T
    measured = np.log(few.seconds)

    def residuals(logs: Any) -> Array:
        curve = curve_of([float(each) for each in np.exp(logs)])
        errors = np.log(np.asarray(curve.seconds(few.shape, warm=True))) - measured
        ratios = RATIO * (errors[eights] - errors[ones])
        all_errors: Array = np.concatenate([errors, ratios, PRIOR * (logs - guess)])
        return all_errors

    result = least_squares(
        residuals, guess, bounds=(low, high), loss="soft_l1", f_scale=0.1, max_nfev=60, x_scale=1.0
    )
    return float(result.cost), curve_of([float(each) for each in np.exp(result.x)])


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors of a curve on shapes that it was not fitted to.

    Attributes:
        rows: Shapes.
        median: Median of |curve / timing - 1|.
        ninety: Its 90th percentile.
        bias: Median of curve / timing - 1.
        pairs: Pairs of one sequence and eight with the same heads and context.
        ratio: Median of the absolute error of their ratio.
    """

    rows: int
    median: float
    ninety: float
    bias: float
    pairs: int
    ratio: float


def errors_of(curve: Curve, timings: Timings) -> Errors:
    """Errors of a curve on timings, as the benchmark saw its caches."""
    relative = np.asarray(curve.seconds(timings.shape, warm=True)) / timings.seconds
    ones, eights = pairs_of(timings.shape)
    size = np.abs(relative - 1.0)
    ratios = np.abs(relative[eights] / relative[ones] - 1.0)
    return Errors(
        rows=size.size,
        median=float(np.median(size)) if size.size else np.nan,
        ninety=float(np.quantile(size, 0.9)) if size.size else np.nan,
        bias=float(np.median(relative - 1.0)) if size.size else np.nan,
        pairs=ratios.size,
        ratio=float(np.median(ratios)) if ratios.size else np.nan,
    )


def held_out_errors(
    timings: Timings, fit: Callable[[Timings], Curve], fold: int = 0
) -> dict[str, Errors]:
    """Errors on one part of the shapes, of a curve that was fitted to the others.

    Args:
        timings: Of one device, engine and format.
        fit: What makes a curve of timings.
        fold: The part that is held out, from 0 to `FOLDS` - 1.

    Returns:
        "all", and buckets such as "sequences 1-8" and "context 513-8192".
    """
    inside = folds_of(timings.shape) == fold
    curve = fit(timings.part(~inside))
    seen = timings.part(inside)
    found = {"all": errors_of(curve, seen)}
    for name, edges in (("sequences", (1, 8, 64, 2048)), ("context", (1, 512, 8192, 1 << 17))):
        values = np.broadcast_to(np.asarray(getattr(seen.shape, name)), seen.seconds.shape)
        low = 1
        for high in edges[1:]:
            part = seen.part((values >= low) & (values <= high))
            if part.seconds.size:
                found[f"{name} {low}-{high}"] = errors_of(curve, part)
            low = high + 1
    return found
