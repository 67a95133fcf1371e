"""The time of a matrix product as a curve of few numbers, distilled from a table of timings.

A product (rows, inputs) × (inputs, outputs) takes

    start + longer + exposed · shorter + input_seconds · inputs + converting,

the longer and the shorter of reading and computing, times a correction near 1.

**Reading** passes the weights, the inputs and the 16-bit outputs at the memory bandwidth that large
reads reach. Inputs and outputs that fit in L2 pass at its speed: the kernel before has just written
the former, and the one after reads the latter.

**Computing** cuts the outputs into tiles, one a multiprocessor at a time, in waves; a part of a
last wave counts as a whole one by the share `whole_waves`. Where tiles are fewer than
multiprocessors, a kernel splits the inputs, but not below `split_inputs`. A small tile reaches less
of the peak (`edge_cost`), and the kernel takes the best of `TILES`. No kernel is faster than the
chain of its steps over the inputs, `chain_seconds` each.

**Converting** turns 16-bit inputs into the format of the product, where that is part of the call.

**Corrections** are three small tables, by class of rows with outputs, with inputs, and with both:
which of its kernels a library takes is a matter of these classes, and no formula tells. They are
steps over rows, because a library switches kernels there, and linear between sizes.

**Caches.** A benchmark reads the same weights again and again. The tables show that the collectors
pass over several copies of them in turn. On an L40S, vLLM's weights of up to an eighth of L2 are
read at 1.9 TB/s, and from a sixth on (16 MB) at 0.7 TB/s, which is its memory's speed: six copies
fit, or nothing is left of a weight when its turn comes again. TensorRT-LLM's collector takes up to
five copies, but no more than fill L2: weights of 19 MB, and those of just a quarter, a third, a
half or the whole of L2 are read at 1.5 to 2 TB/s, all between at 0.7. So it is on the others, where
only the smallest weights fit and start matters more. In a decode step gigabytes pass between two
uses of a weight, whatever its size: `warm=False`, the default, reads all weights from memory, and
`warm=True` says what the benchmark measured. A warm time is never the longer.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from cost_analysis.common.arrays import Array, Number, is_array
from cost_analysis.kernels.shapes import Product

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ROW_CLASSES = (1.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 2048.0, 8192.0)
"""Last number of rows of each class but the last, which is open."""

SHAPE_CLASSES = (1.0, 64.0, 1024.0)
"""The same, of the table by inputs and outputs together."""

SIZES = (128.0, 1024.0, 4096.0, 32768.0)
"""Inputs and outputs at which corrections stand; linear between, and level outside."""

TILES = ((64.0, 64.0), (128.0, 64.0), (128.0, 128.0), (128.0, 256.0))
"""Rows and outputs of the tiles that a kernel may choose from."""

OUTPUT_BYTES = 2.0
"""Width of a value of the outputs, and of the inputs before they are converted [B]."""

PASSING_FADES = 0.25
"""From inputs and outputs that fill L2 until it holds nothing of them, as a share of its size."""

# Rows, outputs, both multiplied, and the sum of 64 / side, which the cost of edges goes with.
_TILES = tuple((r, o, r * o, 64.0 / r + 64.0 / o) for r, o in TILES)
_COLUMNS = len(SIZES)
_A, _B, _C, _D = SIZES


@dataclass(frozen=True, slots=True)
class ProductCurve:
    """The time of products of one format, on one device, under one engine; numbers stand alone.

    Attributes:
        multiprocessors: That compute tiles at the same time.
        cache: Size of L2 [B].
        bandwidth: Of memory, by datasheet [B/s].
        peak: Of the format, by datasheet, dense [FLOP/s].
        weight_bytes: Of one weight as it is stored, its share of scales included [B].
        input_bytes: Of one value of the inputs as it is multiplied [B].
        start: Time of a product, however small [s].
        memory_share: Share of `bandwidth` that a large read reaches.
        cache_speed: Speed of weights from L2 as a multiple of what memory reaches.
        passing_speed: The same of inputs and outputs, where they fit in L2.
        compute_share: Share of `peak` that endless tiles would reach.
        exposed: Share of the shorter of reading and computing that the longer does not hide.
        row_seconds: Of converting a row, whatever its width [s].
        conversion: Times that the 16-bit inputs pass memory in being converted.
        input_seconds: That each of the inputs adds to start, hidden behind nothing [s].
        chain_seconds: Of a step over one of the inputs: the least that computing takes [s].
        edge_cost: What a tile of 64 × 64 takes longer than its share, for each edge.
        split_inputs: Inputs below which a kernel splits no further.
        whole_waves: Share by which a part of a wave takes as long as a whole one.
        copies: Of the weights, that the benchmark passes over in turn, at most.
        rotated: Size of all copies together as a multiple of `cache`, where the benchmark stops
            making more; large, where it never stops.
        cached: Size of what is passed over, as a multiple of `cache`, up to which L2 holds it.
        fades: From there on until L2 holds nothing of it, as a multiple of `cache`.
        by_outputs: Corrections in thousandths above 1: lines of `ROW_CLASSES` and one more, columns
            of `SIZES`.
        by_inputs: The same, over inputs.
        by_shape: The same: `SHAPE_CLASSES` and one more, outputs of `SIZES`, inputs of `SIZES`.
    """

    multiprocessors: float
    cache: float
    bandwidth: float
    peak: float
    weight_bytes: float
    input_bytes: float
    start: float
    memory_share: float
    cache_speed: float
    passing_speed: float
    compute_share: float
    exposed: float
    row_seconds: float
    conversion: float
    input_seconds: float
    chain_seconds: float
    edge_cost: float
    split_inputs: float
    whole_waves: float
    copies: float
    rotated: float
    cached: float
    fades: float
    by_outputs: tuple[float, ...]
    by_inputs: tuple[float, ...]
    by_shape: tuple[float, ...]

    def seconds(self, shape: Product, *, warm: bool = False) -> Number:
        """Time of one call [s]; the format of the weights is the curve's, not the shape's.

        Args:
            shape: The product; its numbers or arrays broadcast.
            warm: As the benchmark measured it, which found small weights in L2.
        """
        rows, inputs, outputs, _ = shape
        if is_array(rows) or is_array(inputs) or is_array(outputs):
            return self._many(rows, inputs, outputs, warm)
        return self._one(float(rows), float(inputs), float(outputs), warm)

    # The formula stands twice, because a call of a helper takes as long as ten operations: once
    # in plain Python for one product, 2 µs, and once in NumPy. A test holds both to the last bit.

    def _one(self, rows: float, inputs: float, outputs: float, warm: bool) -> float:
        """Time of one product [s]."""
        cache, reach = self.cache, self.bandwidth * self.memory_share
        faster, near = 1.0 / self.cache_speed, 1.0 / self.passing_speed
        weights = inputs * outputs * self.weight_bytes
        passed = rows * (inputs * self.input_bytes + outputs * OUTPUT_BYTES)
        reading = weights / reach
        if warm and weights < (self.cached + self.fades) * cache:
            held = self._held(weights)
            reading = weights * ((1.0 - held) + held * faster) / reach
        reading += _passing(passed, cache, near) / reach
        waves, split = self.whole_waves, self.split_inputs
        least = inputs if inputs < split else split
        multiprocessors, edge = self.multiprocessors, self.edge_cost
        fewest = 1e300
        for tile_rows, tile_outputs, area, edges in _TILES:
            load = ceil(rows / tile_rows) * ceil(outputs / tile_outputs) / multiprocessors
            if load > 1.0:
                steps = (ceil(load) * waves + load * (1.0 - waves)) * inputs
            else:
                steps = inputs * load
                if steps < least:
                    steps = least
            steps *= area * (1.0 + edge * edges)
            if steps < fewest:
                fewest = steps
        computing = fewest * (2.0 * multiprocessors / (self.peak * self.compute_share))
        chain = self.chain_seconds * inputs
        if computing < chain:
            computing = chain
        if reading < computing:
            both = computing + self.exposed * reading
        else:
            both = reading + self.exposed * computing
        extra = self.input_seconds * inputs + self.row_seconds * rows
        if self.conversion:
            converted = rows * inputs * OUTPUT_BYTES
            extra += self.conversion * (_passing(converted, cache, near) / reach)
        return (self.start + both + extra) * self._correction(rows, inputs, outputs)

    def _held(self, weights: float) -> float:
        """Share of the weights that the benchmark's loop finds in L2."""
        copies = float(ceil(self.rotated * self.cache / weights))
        copies = self.copies if copies > self.copies else copies
        held = (self.cached + self.fades - copies * weights / self.cache) / self.fades
        return 0.0 if held < 0.0 else 1.0 if held > 1.0 else held

    def _correction(self, rows: float, inputs: float, outputs: float) -> float:
        """What the time is multiplied by, for the kernels that a library takes."""
        n, right = _place(outputs)
        k, lower = _place(inputs)
        left, upper = 1.0 - right, 1.0 - lower
        kind = bisect_left(ROW_CLASSES, rows) * _COLUMNS
        by_outputs, by_inputs, shape = self.by_outputs, self.by_inputs, self.by_shape
        cell = (bisect_left(SHAPE_CLASSES, rows) * _COLUMNS + n) * _COLUMNS + k
        beside = cell + _COLUMNS
        by_n = left * by_outputs[kind + n] + right * by_outputs[kind + n + 1]
        by_k = upper * by_inputs[kind + k] + lower * by_inputs[kind + k + 1]
        here = upper * shape[cell] + lower * shape[cell + 1]
        by_both = left * here + right * (upper * shape[beside] + lower * shape[beside + 1])
        return (1.0 + 0.001 * by_n) * (1.0 + 0.001 * by_k) * (1.0 + 0.001 * by_both)

    def _many(self, rows: Number, inputs: Number, outputs: Number, warm: bool) -> Array:
        """Times of products that broadcast [s]: `_one`, line by line."""
        import numpy as np

        # Each size keeps its own dimensions as long as it can: those of a grid are short.
        m, k, n = (np.asarray(size, dtype=np.float64) for size in (rows, inputs, outputs))
        reading = self._reading(m, k, n, warm)
        computing = np.maximum(self._computing(m, k, n), self.chain_seconds * k)
        longer, shorter = np.maximum(reading, computing), np.minimum(reading, computing)
        extra = self.input_seconds * k + self.row_seconds * m
        if self.conversion:
            converted = m * k * OUTPUT_BYTES
            reach = self.bandwidth * self.memory_share
            passing = _all_passing(converted, self.cache, 1.0 / self.passing_speed)
            extra = extra + self.conversion * (passing / reach)
        whole = self.start + (longer + self.exposed * shorter) + extra
        corrected: Array = whole * self._corrections(m, k, n)
        return corrected

    def _reading(self, m: Array, k: Array, n: Array, warm: bool) -> Array:
        """Time of passing weights, inputs and outputs [s]."""
        import numpy as np

        cache, reach = self.cache, self.bandwidth * self.memory_share
        faster, near = 1.0 / self.cache_speed, 1.0 / self.passing_speed
        weights = k * n * self.weight_bytes
        passed = m * (k * self.input_bytes + n * OUTPUT_BYTES)
        reading = weights / reach
        if warm:
            copies = np.minimum(np.ceil(self.rotated * cache / weights), self.copies)
            held = (self.cached + self.fades - copies * weights / cache) / self.fades
            held = np.minimum(np.maximum(held, 0.0), 1.0)
            reading = weights * ((1.0 - held) + held * faster) / reach
        together: Array = reading + _all_passing(passed, cache, near) / reach
        return together

    def _computing(self, m: Array, k: Array, n: Array) -> Array:
        """Time of computing by the best of the tiles [s]."""
        import numpy as np

        waves, fewest = self.whole_waves, np.asarray(1e300)
        least = np.minimum(k, self.split_inputs)
        for tile_rows, tile_outputs, area, edges in _TILES:
            load = np.ceil(m / tile_rows) * np.ceil(n / tile_outputs) / self.multiprocessors
            full = (np.ceil(load) * waves + load * (1.0 - waves)) * k
            steps = np.where(load > 1.0, full, np.maximum(k * load, least))
            fewest = np.minimum(fewest, steps * (area * (1.0 + self.edge_cost * edges)))
        rate = 2.0 * self.multiprocessors / (self.peak * self.compute_share)
        computing: Array = fewest * rate
        return computing

    def _corrections(self, m: Array, k: Array, n: Array) -> Array:
        """What times are multiplied by."""
        import numpy as np

        column, right = _places(n)
        place, lower = _places(k)
        left, upper = 1.0 - right, 1.0 - lower
        kind = _classes(m, ROW_CLASSES) * _COLUMNS
        by_outputs, by_inputs = np.array(self.by_outputs), np.array(self.by_inputs)
        shape = np.array(self.by_shape)
        cell = (_classes(m, SHAPE_CLASSES) * _COLUMNS + column) * _COLUMNS
        cell = cell + place
        beside = cell + _COLUMNS
        by_n = left * by_outputs[kind + column] + right * by_outputs[kind + column + 1]
        by_k = upper * by_inputs[kind + place] + lower * by_inputs[kind + place + 1]
        here = upper * shape[cell] + lower * shape[cell + 1]
        by_both = left * here + right * (upper * shape[beside] + lower * shape[beside + 1])
        corrections: Array = (1.0 + 0.001 * by_n) * (1.0 + 0.001 * by_k) * (1.0 + 0.001 * by_both)
        return corrections


def _place(size: float) -> tuple[int, float]:
    """The place of `SIZES` before a size, and the share of the way from it to the next one."""
    if size <= _B:
        return 0, 0.0 if size <= _A else (size - _A) / (_B - _A)
    if size <= _C:
        return 1, (size - _B) / (_C - _B)
    return 2, 1.0 if size >= _D else (size - _C) / (_D - _C)


def _places(sizes: Array) -> tuple[npt.NDArray[np.intp], Array]:
    """`_place` of many sizes."""
    import numpy as np

    marks = np.array(SIZES)
    inside = np.minimum(np.maximum(sizes, _A), _D)
    before = (inside > _B).astype(np.intp) + (inside > _C)
    way: Array = (inside - marks[before]) / (marks[before + 1] - marks[before])
    return before, way


def _classes(rows: Array, lasts: tuple[float, ...]) -> npt.NDArray[np.intp]:
    """The class of each number of rows, as `bisect_left` finds it: by a table, which is faster."""
    import numpy as np

    beyond = int(lasts[-1]) + 1
    table = np.searchsorted(lasts, np.arange(beyond + 1.0), side="left")
    places: npt.NDArray[np.intp] = table[np.minimum(np.ceil(rows), beyond).astype(np.intp)]
    return places


def _passing(passed: float, cache: float, faster: float) -> float:
    """Bytes that pass, those less that L2 makes faster, as if all passed memory."""
    held = (1.0 + PASSING_FADES - passed / cache) / PASSING_FADES
    if held <= 0.0:
        return passed
    if held >= 1.0:
        return passed * faster
    return passed * ((1.0 - held) + held * faster)


def _all_passing(passed: Array, cache: float, faster: float) -> Array:
    """`_passing` of many."""
    import numpy as np

    held = np.minimum(np.maximum((1.0 + PASSING_FADES - passed / cache) / PASSING_FADES, 0.0), 1.0)
    together: Array = passed * ((1.0 - held) + held * faster)
    return together
