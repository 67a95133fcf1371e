"""The time of a layer's routed experts as a curve of few numbers, distilled from timings.

The call that is timed holds everything between router and residual: sorting rows by expert, both
grouped products, activation and weighted sum. It takes

    start + held · held_seconds + longer + exposed · shorter + what rows and tokens pass,

the longer and the shorter of reading the weights of the experts that have any rows, and computing.

**Reading.** An expert's matrices are cut into tiles; where `inner` is small, part of a tile is
empty, and reads are short: the width that counts is the root of inner² + narrow_reads².

**Computing.** Each expert's rows fill tiles, and the last is partly empty: `padding` rows an expert
on the mean; a wave of tiles takes its time, however few they are. Where one expert's weights are
large against the cache, each tile of rows reads them from memory again (`spill`).

**Passing.** Rows are gathered, activated and written once an expert (`row_seconds` a byte); tokens
come in and are summed, on each device of all tokens (`token_seconds` a byte).

**Routing** is not part of the curve: it takes the rows and the experts reached from the shape. The
tables were measured with a routing of their own (`distilling/expert_curves.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.common.arrays import (
    Number,
    clip,
    is_array,
    maximum,
    minimum,
    square_root,
    where,
    whole_power,
)
from cost_analysis.kernels.shapes import Experts

VALUE_BYTES = 2.0
"""Width of a value of activations [B]."""

TILE_ROWS = 128.0
"""Rows of the largest tile."""

CACHE_FADES = 0.2
"""From full to no use of L2, as a share of its size: what is read does not leave it all at once."""


@dataclass(frozen=True, slots=True)
class ExpertCurve:
    """The time of experts in one format, on one device, under one engine; numbers stand alone.

    Attributes:
        cache: Size of L2 [B].
        weight_bytes: Of one weight as it is stored, its share of scales included [B].
        start: Time of a call, however small [s].
        divided_start: What is added where a device holds only part of the experts [s].
        ungated_start: What is added where experts have no gate, whose activation is a kernel of its
            own [s].
        width_seconds: What each unit of the hidden size adds to start [s].
        held_seconds: What each expert that the device holds adds to start [s].
        bandwidth: At which weights of wide experts are read [B/s].
        narrow_reads: Intermediate size at which reading takes √2 times its share.
        rate: At which wide experts compute [FLOP/s].
        narrow_tiles: Intermediate size at which computing takes √2 times its share.
        padding: Empty rows that tiles add to each expert.
        tile_seconds: What one wave of tiles takes, for each unit of the hidden size and each row of
            a tile [s].
        spill: What computing takes longer, as a share, by experts much larger than L2.
        exposed: Share of the shorter of reading and computing that the longer does not hide.
        row_seconds: Of each byte of the rows [s/B].
        token_seconds: Of each byte of the tokens [s/B].
        cached: Share of weights that fit in L2 that the benchmark's loop found there.
    """

    cache: float
    weight_bytes: float
    start: float
    divided_start: float
    ungated_start: float
    width_seconds: float
    held_seconds: float
    bandwidth: float
    narrow_reads: float
    rate: float
    narrow_tiles: float
    padding: float
    tile_seconds: float
    spill: float
    exposed: float
    row_seconds: float
    token_seconds: float
    cached: float

    def seconds(self, shape: Experts, *, warm: bool = False) -> Number:
        """Time of one call [s]; the format of the weights is the curve's, not the shape's.

        Args:
            shape: The experts; its numbers or arrays broadcast.
            warm: As the benchmark measured it, which found small weights in L2. Between two uses
                in a decode step gigabytes pass, and nothing is left of them.
        """
        rows, reached = expert_load(shape)
        hidden, inner = shape.hidden, shape.inner
        values = shape.matrices * hidden * inner
        weights = reached * values * self.weight_bytes
        reading = weights * _narrow(inner, self.narrow_reads) / self.bandwidth
        if warm and self.cached:
            beyond = (weights / self.cache - 1.0) / CACHE_FADES
            reading = reading * (1.0 - self.cached * clip(1.0 - beyond, 0.0, 1.0))
        size = values * self.weight_bytes
        spilt = 1.0 + self.spill * (size / (size + self.cache))
        multiplied = 2.0 * values * (rows + self.padding * reached)
        computing = multiplied * _narrow(inner, self.narrow_tiles) * spilt / self.rate
        wave = self.tile_seconds * hidden * minimum(rows / reached, TILE_ROWS)
        computing = computing + wave
        both = maximum(reading, computing) + self.exposed * minimum(reading, computing)
        of_rows = rows * (2.0 * hidden + shape.matrices * inner) * VALUE_BYTES
        of_tokens = shape.tokens * (shape.per_token + 2.0) * hidden * VALUE_BYTES
        start = self.start + self.width_seconds * hidden + self.held_seconds * shape.held
        start = start + where(shape.held < shape.experts, self.divided_start, 0.0)
        start = start + where(shape.matrices < 3.0, self.ungated_start, 0.0)
        return start + both + self.row_seconds * of_rows + self.token_seconds * of_tokens


def expert_load(shape: Experts) -> tuple[Number, Number]:
    """Rows that a device computes, and experts that have any: as the shape says, or expected."""
    rows, reached, share = shape.rows, shape.reached, shape.per_token / shape.experts
    if not (is_array(rows) or is_array(reached)) and rows and reached:
        return rows, reached
    expected = shape.held * (1.0 - whole_power(1.0 - share, shape.tokens))
    rows = where(rows > 0.0, rows, shape.tokens * share * shape.held)
    return rows, where(reached > 0.0, reached, expected)


def _narrow(inner: Number, scale: float) -> Number:
    """What a time is multiplied by, because tiles are wider than an expert."""
    return square_root(inner * inner + scale * scale) / inner
