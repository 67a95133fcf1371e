"""What each kind of kernel is interpolated by: its table, its sizes, and its least work.

Shapes here have arrays of one dimension, all of the same length, as sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from cost_analysis.common.arrays import Array
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.dtypes import DType, dtype_named
from cost_analysis.kernels.library import Library, device_named, read_yaml
from cost_analysis.kernels.shapes import (
    AllReduce,
    Attention,
    Experts,
    LatentAttention,
    Product,
    Shape,
)
from cost_analysis.kernels.tables import Table
from cost_analysis.kernels.timings import (
    LATENT_WIDTH,
    all_reduce_table,
    attention_table,
    expert_table,
    latent_table,
    product_table,
)

LATENT_VALUES = 512.0
"""Width of the latent alone, which is summed in a decode step (DeepSeek-V2)."""

LATENT_HEAD = 192.0 + 128.0
"""Width of a head's key with its rotary part and of its value, as a prompt multiplies them."""

ACTIVATION = 2.0
"""Width of an input or output of a kernel [B]."""


@dataclass(frozen=True, slots=True)
class Roofs:
    """Peaks of a device, as the package of the tables describes it; they only scale ratios.

    Attributes:
        flops: Peak of products by kind of values, e.g. "fp8" [FLOP/s].
        bandwidth: Of memory [B/s].
        link: To other devices of the node, in one direction [B/s].
    """

    flops: dict[str, float]
    bandwidth: float
    link: float

    def peak(self, weights: str) -> float:
        """Peak of products with a format of weights [FLOP/s]."""
        kind = {"fp8": "fp8", "fp8-block": "fp8", "nvfp4": "fp4"}.get(weights, "bfloat16")
        return self.flops.get(kind, self.flops["bfloat16"])


def find_roofs(library: Library, device: str) -> Roofs:
    """The roofs of a device.

    Raises:
        InputError: There are no tables of it, or its description is damaged.
    """
    content = read_yaml(library.systems / f"{device_named(device)}.yaml")
    try:
        gpu, node = content["gpu"], content["node"]
        peaks = {
            name.removesuffix("_tc_flops"): float(value)
            for name, value in gpu.items()
            if name.endswith("_tc_flops")
        }
        roofs = Roofs(peaks, float(gpu["mem_bw"]), float(node["intra_node_bw"]))
        roofs.peak("bf16")
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"the description of {device} in the package of kernel tables is damaged"
        ) from None
    return roofs


class Work(NamedTuple):
    """What a kernel must do at least.

    Attributes:
        flops: Of matrix products.
        bytes: Read and written, in memory or through a link [B].
        peak: Of the products [FLOP/s].
        bandwidth: Of memory or the link [B/s].
    """

    flops: Array
    bytes: Array
    peak: float
    bandwidth: float

    @property
    def seconds(self) -> Array:
        """Time that the roofs allow [s]."""
        slower: Array = np.maximum(self.flops / self.peak, self.bytes / self.bandwidth)
        return slower


class Coordinates(NamedTuple):
    """Where a shape lies in a table, as `interpolation` divides sizes.

    Attributes:
        members: Sizes that choose a member, of shape (shapes, sizes).
        axes: Sizes on the axes, of shape (shapes, axes).
        beyond: Factor by which a size that the table does not vary differs from the measured one.
    """

    members: Array
    axes: Array
    beyond: Array


class Read(NamedTuple):
    """A table as shapes.

    Attributes:
        shape: The measured shapes.
        seconds: Of each [s].
        table: Where they come from.
    """

    shape: Shape
    seconds: Array
    table: Table


def _product_coordinates(shape: Product) -> Coordinates:
    rows = np.asarray(shape.rows)
    return Coordinates(_columns(shape.outputs, shape.inputs), _columns(rows), np.ones_like(rows))


def _product_work(shape: Product, roofs: Roofs) -> Work:
    rows, inputs, outputs = map(np.asarray, shape[:3])
    stored = _stored(shape.weights)
    is_narrow = shape.weights in ("fp8", "fp8-block", "nvfp4")
    width = stored.bytes if is_narrow else ACTIVATION
    moved = stored.matrix_bytes(inputs, outputs) + rows * (inputs * width + outputs * ACTIVATION)
    flops = 2.0 * rows * inputs * outputs
    return Work(flops, np.asarray(moved), roofs.peak(shape.weights), roofs.bandwidth)


def _product_read(shape: Product, device: str, engine: str, library: Library) -> Read:
    found = product_table(device, engine, shape.weights, library)
    measured = Product(found.rows, found.inputs, found.outputs, shape.weights)
    return Read(measured, found.seconds, found.table)


def _attention_coordinates(shape: Attention) -> Coordinates:
    """Blocks of the kernel: sequences times KV heads in a decode step, times heads in a prompt.

    The tables have few KV heads: beyond them, the same number of blocks has the same ratio.
    """
    sequences, queries, context, heads, kv_heads, width = map(np.asarray, shape[:6])
    blocks = kv_heads if shape.decodes else heads
    return Coordinates(
        _columns(heads / kv_heads, blocks, width),
        _columns(sequences * blocks, context if shape.decodes else queries),
        np.ones_like(context) if shape.decodes else context / queries,
    )


def _attention_work(shape: Attention, roofs: Roofs) -> Work:
    sequences, queries, context, heads, kv_heads, width, window = map(np.asarray, shape[:7])
    window = np.where(window > 0, window, context)
    past = context - queries
    pairs = attended(queries, past, window)
    kept = np.minimum(context, queries - 1 + window)
    cached = 2.0 * sequences * kv_heads * kept * width * _stored(shape.cache).bytes
    moved = cached + 2.0 * ACTIVATION * sequences * queries * heads * width
    flops = 4.0 * sequences * heads * width * pairs
    return Work(flops, np.asarray(moved), roofs.peak("bf16"), roofs.bandwidth)


def attended(queries: Array, past: Array, window: Array) -> Array:
    """Positions that the queries of a sequence attend to, summed: the i-th to past + i at most.

    Args:
        queries: Queries, one after another.
        past: Positions before the first one.
        window: Positions that a query attends to at most, its own included.
    """
    rising = np.clip(window - past, 0.0, queries)
    return rising * past + rising * (rising + 1.0) / 2.0 + (queries - rising) * window


def _attention_read(shape: Attention, device: str, engine: str, library: Library) -> Read:
    found = attention_table(device, engine, shape.cache, decodes=shape.decodes, library=library)
    measured = Attention(*found[:7], shape.cache, shape.decodes)
    return Read(measured, found.seconds, found.table)


def _latent_coordinates(shape: LatentAttention) -> Coordinates:
    sequences, queries, context, heads, latent = map(np.asarray, shape[:5])
    other = np.maximum(latent / LATENT_WIDTH, LATENT_WIDTH / latent)
    return Coordinates(
        _columns(heads),
        _columns(sequences, context if shape.decodes else queries),
        other if shape.decodes else np.maximum(other, context / queries),
    )


def _latent_work(shape: LatentAttention, roofs: Roofs) -> Work:
    sequences, queries, context, heads, latent = map(np.asarray, shape[:5])
    pairs = attended(queries, context - queries, context)
    narrower = latent * (LATENT_VALUES / LATENT_WIDTH)
    width = latent + narrower if shape.decodes else LATENT_HEAD * latent / LATENT_WIDTH
    cached = sequences * context * latent * _stored(shape.cache).bytes
    moved = cached + ACTIVATION * sequences * queries * heads * width
    flops = 2.0 * sequences * heads * width * pairs
    return Work(flops, np.asarray(moved), roofs.peak("bf16"), roofs.bandwidth)


def _latent_read(shape: LatentAttention, device: str, engine: str, library: Library) -> Read:
    found = latent_table(device, engine, shape.cache, decodes=shape.decodes, library=library)
    latent = np.full_like(found.heads, LATENT_WIDTH)
    measured = LatentAttention(*found[:4], latent, shape.cache, shape.decodes)
    return Read(measured, found.seconds, found.table)


def _expert_coordinates(shape: Experts) -> Coordinates:
    tokens, hidden, inner, experts, held, per_token = map(np.asarray, shape[:6])
    share = per_token / experts
    return Coordinates(_columns(hidden, inner, held, share), _columns(tokens), np.ones_like(tokens))


def _expert_work(shape: Experts, roofs: Roofs) -> Work:
    tokens, hidden, inner, experts, held, per_token = map(np.asarray, shape[:6])
    stored = _stored(shape.weights)
    share = np.minimum(per_token / experts, 1.0)
    reached = held * (1.0 - (1.0 - share) ** tokens)  # by tokens that choose alike
    rows = tokens * held * share
    matrices = 2.0 * stored.matrix_bytes(hidden, inner) + stored.matrix_bytes(inner, hidden)
    moved = reached * matrices + 2.0 * ACTIVATION * rows * (hidden + inner)
    flops = 6.0 * rows * hidden * inner
    return Work(flops, np.asarray(moved), roofs.peak(shape.weights), roofs.bandwidth)


def _expert_read(shape: Experts, device: str, engine: str, library: Library) -> Read:
    found = expert_table(device, engine, shape.weights, library)
    measured = Experts(*found[:6], shape.weights)
    gated = found.matrices == 3.0
    return Read(part_of(measured, gated), found.seconds[gated], found.table)


def _all_reduce_coordinates(shape: AllReduce) -> Coordinates:
    size = np.asarray(shape.bytes)
    return Coordinates(_columns(shape.devices), _columns(size), np.ones_like(size))


def _all_reduce_work(shape: AllReduce, roofs: Roofs) -> Work:
    """Each device sends and receives 2 (n - 1) / n of the sum (ring all-reduce)."""
    size, devices = map(np.asarray, shape)
    sent = 2.0 * (devices - 1.0) / devices * size
    return Work(np.zeros_like(sent), sent, roofs.peak("bf16"), roofs.link)


def _all_reduce_read(_: AllReduce, device: str, engine: str, library: Library) -> Read:
    found = all_reduce_table(device, engine, library)
    return Read(AllReduce(found.bytes, found.devices), found.seconds, found.table)


class Family(NamedTuple):
    """How one kind of kernel is looked up.

    Attributes:
        coordinates: Where shapes lie in their table.
        work: The least work of shapes on a device.
        read: The table of the kind and formats of a shape, for a device and an engine.
    """

    coordinates: Callable[[Any], Coordinates]
    work: Callable[[Any, Roofs], Work]
    read: Callable[[Any, str, str, Library], Read]


FAMILIES: Mapping[type, Family] = {
    Product: Family(_product_coordinates, _product_work, _product_read),
    Attention: Family(_attention_coordinates, _attention_work, _attention_read),
    LatentAttention: Family(_latent_coordinates, _latent_work, _latent_read),
    Experts: Family(_expert_coordinates, _expert_work, _expert_read),
    AllReduce: Family(_all_reduce_coordinates, _all_reduce_work, _all_reduce_read),
}
"""The kinds of kernels that have tables."""


SLACK = 2.0**28
"""Bytes that a kernel may have found in caches: twice the largest second-level cache [B]. What
reads more than that faster than memory allows is no measurement of this device."""


def is_possible(shape: Shape, seconds: Array, roofs: Roofs) -> npt.NDArray[np.bool_]:
    """Whether times are no shorter than the roofs allow.

    Those of experts always are: how many of them the measured tokens reached is not known.

    Args:
        shape: The measured shapes.
        seconds: Of each [s].
        roofs: Of the device.
    """
    if isinstance(shape, Experts):
        return np.ones(len(seconds), bool)
    least = FAMILIES[type(shape)].work(shape, roofs)
    computed = seconds * least.peak >= least.flops
    possible: npt.NDArray[np.bool_] = computed & (seconds * least.bandwidth >= least.bytes - SLACK)
    return possible


def format_of(shape: Shape) -> str:
    """The format of a shape's weights or cache."""
    if isinstance(shape, Product | Experts):
        return shape.weights
    return "bf16" if isinstance(shape, AllReduce) else shape.cache


S = TypeVar("S", Product, Attention, LatentAttention, Experts, AllReduce, Shape)


def flat(shape: Shape) -> tuple[Shape, tuple[int, ...]]:
    """A shape with arrays of one dimension as sizes, and the dimensions that these have together.

    Args:
        shape: Sizes as numbers or arrays that broadcast.
    """
    fields: dict[str, Any] = shape._asdict()
    names = [name for name, value in fields.items() if _is_size(value)]
    sizes = np.broadcast_arrays(*(np.asarray(fields[name], float) for name in names))
    changed: dict[str, Any] = {
        name: size.reshape(-1) for name, size in zip(names, sizes, strict=True)
    }
    return shape._replace(**changed), sizes[0].shape


def part_of(shape: S, chosen: npt.NDArray[np.bool_]) -> S:
    """The chosen ones of some shapes.

    Args:
        shape: Shapes with arrays of one dimension as sizes.
        chosen: Which of them.
    """
    fields: dict[str, Any] = shape._asdict()
    sizes: dict[str, Any] = {
        name: size[chosen] for name, size in fields.items() if isinstance(size, np.ndarray)
    }
    return shape._replace(**sizes)


def _is_size(value: object) -> bool:
    return not isinstance(value, str | bool)


def _stored(name: str) -> DType:
    """A format of `shapes.FORMATS` as models store it."""
    return dtype_named("fp8-b128" if name == "fp8-block" else name)


def _columns(*sizes: Any) -> Array:
    return np.stack([np.asarray(size, float) for size in sizes], axis=1)
