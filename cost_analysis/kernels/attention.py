"""Curves of attention kernels: seconds of one layer from a few numbers that were fitted to timings.

A decode step reads the cache once for each KV head. Few sequences do not fill the device: their
time is a start and what a longer context adds to it. Blocks of work beyond one a multiprocessor
queue; large caches are read at the rate of the memory. Two kernels share the work: the usual one
treats the query heads of a group together, the other gives each query head a block of its own.
Engines use that one where heads have no group, for windows, or where few tokens are attended to.

A prompt multiplies: tiles of 128 queries, of which the longest takes as long as its keys, and all
of them share the device.

Caches: a benchmark reads the same cache again and again, and one that fits in L2 is read from
there. In a decode step the weights pass between two reads, so that nothing of the cache is left:
without `warm`, all of it is charged at the rate of large reads. The queries, keys and values of a
prompt are different: the product before has just written them, and they may well lie in L2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cost_analysis.common.arrays import (
    Condition,
    Number,
    as_float,
    clip,
    interpolated,
    is_array,
    maximum,
    minimum,
    square_root,
    where,
)
from cost_analysis.kernels.shapes import Attention, LatentAttention

WIDTHS = (64.0, 128.0, 256.0, 512.0)
"""Widths of heads between which curves are interpolated."""

ROWS = (2.0, 8.0, 10.0, 16.0, 20.0, 40.0, 64.0, 128.0)
"""Queries that share a KV head: query heads of a group, times queries of a sequence."""

BLOCKS = (1.0, 2.0, 8.0, 32.0, 128.0, 512.0, 2048.0)
"""Blocks of a decode step: sequences times KV heads."""

KEYS = (1.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0)
"""Positions of a sequence that are attended to, in the kernel of groups."""

LONE_BLOCKS = (1.0, 128.0, 256.0, 512.0, 2048.0)
"""Blocks in the kernel of lone heads: sequences times query heads."""

LONE_KEYS = (1.0, 64.0, 256.0, 512.0, 8192.0)
"""Positions of a sequence, in the kernel of lone heads."""

WRITTEN = (64.0, 128.0, 256.0, 512.0, 1024.0)
"""Values of the keys of one token, all KV heads together."""

TILE = 128.0
"""Queries that are multiplied at once."""

VALUE_BYTES = {"bf16": 2.0, "fp8": 1.0}
"""Bytes of a cached value, by format."""

LATENT_WIDTH = 160.0
"""Mean width of a head of latent attention in a prompt: (128 + 64 of keys + 128 of values) / 2."""


class Sizes(NamedTuple):
    """What the curves need of a shape.

    Attributes:
        sequences: Sequences.
        queries: New tokens of each.
        context: Positions that the last query may attend to.
        query_heads: Query heads.
        kv_heads: KV heads.
        width: Width of a head: half the values of keys and values of one position and KV head.
        window: Positions that a query attends to at most; 0.0 means all.
        value: Bytes of a cached value [B].
    """

    sequences: Number
    queries: Number
    context: Number
    query_heads: Number
    kv_heads: Number
    width: Number
    window: Number
    value: float


def sizes_of(shape: Attention | LatentAttention) -> Sizes:
    """Sizes of a shape; latent attention decodes as one KV head, and prompts with a head each."""
    value = VALUE_BYTES[shape.cache]
    sequences, queries, context = map(as_float, shape[:3])
    heads = as_float(shape[3])
    if isinstance(shape, Attention):
        kv_heads, width, window = map(as_float, shape[4:7])
        return Sizes(sequences, queries, context, heads, kv_heads, width, window, value)
    if shape.decodes:
        width = as_float(shape.latent) / 2.0
        return Sizes(sequences, queries, context, heads, 1.0, width, 0.0, value)
    return Sizes(sequences, queries, context, heads, heads, LATENT_WIDTH, 0.0, value)


@dataclass(frozen=True, slots=True)
class DecodeCurve:
    """Time of attention of one layer in a decode step. Tuples belong to the knots of this module.

    Attributes:
        start: Time of the kernel of groups, however little it does, at width 128 [s].
        start_widths: Share of `start` at each of `WIDTHS`.
        blocks: Time that blocks add, at `BLOCKS` [s].
        block_widths: Share of it at each of `WIDTHS`.
        keys: Time that the context adds, at `KEYS` [s].
        rows: Factor on these times at each of `ROWS`.
        copy: Time of copying queries of several KV heads: one sequence, and more [s].
        memory: Rate of large reads [B/s].
        cached: Rate of reads from L2 [B/s].
        held: Size that L2 holds as a whole [B].
        lost: Size of which L2 holds nothing [B].
        head_rate: Highest rate for one KV head of one sequence [B/s].
        peak: Rate of multiplication [FLOP/s].
        overlap: How times of blocks and of reads add up: 1.0 in turn, 0.0 as a root of squares.
        margin: Positions that are read beyond a window.
        lone_groups: Groups from the first size to the second run in the kernel of groups.
        lone_windows: 1.0 if heads with a window run in the kernel of lone heads.
        lone_tokens: Fewest positions, all sequences and KV heads together, for groups' kernel.
        lone_start: As `start`, for the kernel of lone heads [s].
        lone_blocks: Time at `LONE_BLOCKS` [s].
        lone_keys: Time at `LONE_KEYS` [s].
        lone_head_rate: As `head_rate` [B/s].
        lone_again: Rate at which query heads of a group read what another one has read [B/s].
    """

    start: float
    start_widths: tuple[float, ...]
    blocks: tuple[float, ...]
    block_widths: tuple[float, ...]
    keys: tuple[float, ...]
    rows: tuple[float, ...]
    copy: tuple[float, float]
    memory: float
    cached: float
    held: float
    lost: float
    head_rate: float
    peak: float
    overlap: float
    margin: float
    lone_groups: tuple[float, float]
    lone_windows: float
    lone_tokens: float
    lone_start: float
    lone_blocks: tuple[float, ...]
    lone_keys: tuple[float, ...]
    lone_head_rate: float
    lone_again: float

    def seconds(self, shape: Attention | LatentAttention, *, warm: bool = False) -> Number:
        """Time of one call [s].

        Args:
            shape: Several queries of a sequence are further rows of its groups.
            warm: A cache that fits in L2 is read from there, as in a benchmark's loop.
        """
        sizes = sizes_of(shape)
        limit = where(sizes.window > 0.0, sizes.window + self.margin, sizes.context)
        keys = minimum(sizes.context, limit)
        lone = self._is_lone(sizes, keys)
        if not is_array(lone):
            kernel = self._lone if lone else self._grouped
            return kernel(sizes, keys, warm)
        return where(lone, self._lone(sizes, keys, warm), self._grouped(sizes, keys, warm))

    def _is_lone(self, sizes: Sizes, keys: Number) -> Condition:
        """Whether each query head has a block of its own."""
        group = sizes.query_heads / sizes.kv_heads
        least, most = self.lone_groups
        tokens = sizes.sequences * sizes.kv_heads * maximum(keys, TILE)
        few = tokens < self.lone_tokens
        windowed = sizes.window * self.lone_windows > 0.0
        return (group < least) | (group > most) | few | windowed

    def _grouped(self, sizes: Sizes, keys: Number, warm: bool) -> Number:
        """Time of the kernel that treats the query heads of a group together [s]."""
        sequences, kv_heads = sizes.sequences, sizes.kv_heads
        rows = sizes.queries * (sizes.query_heads / kv_heads)
        factor = interpolated(rows, ROWS, self.rows)
        count = sequences * kv_heads * maximum(rows / TILE, 1.0)
        busy = _rising(count, BLOCKS, self.blocks) * factor
        busy = busy * interpolated(sizes.width, WIDTHS, self.block_widths)
        head = 2.0 * sizes.width * sizes.value * keys
        flops = 4.0 * sizes.width * keys * sizes.queries * sizes.query_heads * sequences
        work = maximum(self._read(sizes, head, warm), head / self.head_rate)
        work = maximum(work, flops / self.peak)
        start = self.start * interpolated(sizes.width, WIDTHS, self.start_widths)
        copy = where(sequences > 1.0, self.copy[1], self.copy[0])
        start = start + where(kv_heads > 1.0, copy, 0.0)
        first = start * (0.5 + 0.5 * factor) + interpolated(keys, KEYS, self.keys) * factor
        return first + _joined(busy, work, self.overlap)

    def _lone(self, sizes: Sizes, keys: Number, warm: bool) -> Number:
        """Time of the kernel in which each query head reads the cache of its KV head [s]."""
        queries = sizes.queries * sizes.query_heads * sizes.sequences
        busy = _rising(queries, LONE_BLOCKS, self.lone_blocks)
        busy = busy * interpolated(sizes.width, WIDTHS, self.block_widths)
        head = 2.0 * sizes.width * sizes.value * keys
        again = head * (queries - sizes.sequences * sizes.kv_heads) / self.lone_again
        work = maximum(self._read(sizes, head, warm) + again, head / self.lone_head_rate)
        start = self.lone_start * interpolated(sizes.width, WIDTHS, self.start_widths)
        first = start + interpolated(keys, LONE_KEYS, self.lone_keys)
        return first + _joined(busy, work, self.overlap)

    def _read(self, sizes: Sizes, head: Number, warm: bool) -> Number:
        """Time of reading each KV head's cache once, with queries and results [s]."""
        ends = 4.0 * sizes.width * sizes.queries * sizes.query_heads
        size = sizes.sequences * (sizes.kv_heads * head + ends)
        share = _share_held(size, self.held, self.lost)
        # What few blocks do not read faster from L2, they do not read faster from memory.
        rate = self.cached if warm else minimum(self.cached, self.memory)
        return size * (share / rate + (1.0 - share) / self.memory)


@dataclass(frozen=True, slots=True)
class PromptCurve:
    """Time of attention of one layer over a prompt, the writing of its cache included.

    Attributes:
        start: Time of the kernels, however little they do, at width 128 [s].
        start_widths: Share of `start` at each of `WIDTHS`.
        short: What the first 128 queries of a sequence add [s].
        tile: Time that a tile adds, apart from its products, at width 128 [s].
        tile_widths: Share of it at each of `WIDTHS`.
        packed: 1.0 if a tile takes queries of all heads of a group, 0.0 if of one head.
        key: Time of a tile for each key, at width 128 [s].
        key_widths: Share of it at each of `WIDTHS`.
        masked: Keys for each query that are multiplied for nothing.
        window_masked: The same where a window is less than the context.
        peaks: Rate of multiplication on the whole device at each of `WIDTHS` [FLOP/s].
        memory: Rate of large reads [B/s].
        cached: Rate of reads from L2 [B/s].
        held: Size that L2 holds as a whole [B].
        lost: Size of which L2 holds nothing [B].
        written: Time of writing the cache of a token, at `WRITTEN` [s].
        overlap: How times of products and reads add up: 1.0 in turn, 0.0 as a root of squares.
        tile_overlap: The same for the longest tile and all of them.
    """

    start: float
    start_widths: tuple[float, ...]
    short: float
    tile: float
    tile_widths: tuple[float, ...]
    packed: float
    key: float
    key_widths: tuple[float, ...]
    masked: float
    window_masked: float
    peaks: tuple[float, ...]
    memory: float
    cached: float
    held: float
    lost: float
    written: tuple[float, ...]
    overlap: float
    tile_overlap: float

    def seconds(self, shape: Attention | LatentAttention, *, warm: bool = False) -> Number:
        """Time of one call [s]; tables have prompts without a past, whose time is by physics.

        Args:
            shape: Its context may be longer than its queries: a past that lies in the cache.
            warm: A past that fits in L2 is read from there.
        """
        sizes = sizes_of(shape)
        width, queries = sizes.width, sizes.queries
        bounded = (sizes.window > 0.0) & (sizes.window < sizes.context)
        window = where(bounded, sizes.window, sizes.context)
        busy = self._products(sizes, window, bounded) + self._tiles(sizes)
        all_tiles = _joined(busy, self._moved(sizes, window, warm), self.overlap)
        keys = where(bounded, minimum(window + TILE, sizes.context), sizes.context)
        longest = self.key * keys * interpolated(width, WIDTHS, self.key_widths)
        tokens = sizes.sequences * queries
        cache = tokens * _rising(sizes.kv_heads * width, WRITTEN, self.written)
        start = self.start * interpolated(width, WIDTHS, self.start_widths)
        start = start + self.short * minimum(queries / TILE, 1.0)
        return start + cache + _joined(all_tiles, longest, self.tile_overlap)

    def _products(self, sizes: Sizes, window: Number, bounded: Condition) -> Number:
        """Time of scores and values at full speed, with what a tile masks out [s]."""
        masked = where(bounded, self.window_masked, self.masked)
        scores = scores_of(sizes.queries, sizes.context, window) + sizes.queries * masked
        flops = 4.0 * sizes.width * sizes.query_heads * sizes.sequences * scores
        return flops / interpolated(sizes.width, WIDTHS, self.peaks)

    def _tiles(self, sizes: Sizes) -> Number:
        """Time that tiles take apart from their products [s]."""
        group = where(self.packed > 0.0, sizes.query_heads / sizes.kv_heads, 1.0)
        tiles = maximum(sizes.queries * group / TILE, 1.0) * (sizes.query_heads / group)
        each = self.tile * interpolated(sizes.width, WIDTHS, self.tile_widths)
        return sizes.sequences * tiles * each

    def _moved(self, sizes: Sizes, window: Number, warm: bool) -> Number:
        """Time of reading and writing queries, keys, values and results, and of the past [s]."""
        new = 4.0 * sizes.query_heads + 2.0 * sizes.value * sizes.kv_heads
        size = sizes.sequences * sizes.queries * sizes.width * new
        share = _share_held(size, self.held, self.lost)
        seconds = size * (share / self.cached + (1.0 - share) / self.memory)
        past = maximum(minimum(sizes.context - sizes.queries, window), 0.0)
        old = sizes.sequences * past * sizes.kv_heads * 2.0 * sizes.width * sizes.value
        share = _share_held(old, self.held, self.lost) if warm else 0.0
        return seconds + old * (share / self.cached + (1.0 - share) / self.memory)


def scores_of(queries: Number, context: Number, window: Number) -> Number:
    """Scores of one head: the positions that the queries attend to, all together.

    Args:
        queries: The last positions of the context.
        context: Positions that the last query may attend to.
        window: Positions that a query attends to at most; the context or more means all.
    """
    first = context - queries + 1.0
    # Queries at positions below the window see all before them: a trapezoid.
    growing = clip(window - first + 1.0, 0.0, queries)
    rising = growing * (first + 0.5 * (growing - 1.0))
    return rising + (queries - growing) * minimum(window, context)


def _joined(a: Number, b: Number, overlap: float) -> Number:
    """Time of two things that hinder each other: their sum at 1.0, the root of squares at 0.0."""
    return square_root(a * a + b * b + 2.0 * overlap * (a * b))


def _rising(value: Number, places: tuple[float, ...], heights: tuple[float, ...]) -> Number:
    """Linear interpolation that goes on beyond the last point as between the last two."""
    slope = (heights[-1] - heights[-2]) / (places[-1] - places[-2])
    return interpolated(value, places, heights) + slope * maximum(value - places[-1], 0.0)


def _share_held(size: Number, held: float, lost: float) -> Number:
    """The share of what is read over and over that lies in L2."""
    return clip((lost - size) / (lost - held), 0.0, 1.0)
