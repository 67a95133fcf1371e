"""Timings of one kind of kernel as arrays in SI units, as fits and interpolation need them.

Each function reads one table of `tables`, keeps the rows of one format, converts milliseconds to
seconds and takes the median of repeated shapes. The timings are those of a benchmark's loop, in
which caches are warm: a weight that fits in the L2 cache was read from there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cost_analysis.common.arrays import Array
from cost_analysis.common.errors import InputError
from cost_analysis.kernels.library import Library, find_library
from cost_analysis.kernels.tables import Table, find_table, read_columns, values_of

FORMATS_OF_TABLES: Mapping[str, tuple[str, ...]] = {
    "bf16": ("bfloat16",),
    "fp8": ("fp8",),
    "fp8-block": ("fp8_block",),
    "int8": ("int8_wo",),
    "int4": ("int4_wo",),
    "nvfp4": ("nvfp4",),
    "mxfp4": ("w4a16_mxfp4", "w4a8_mxfp4_mxfp8"),
}
"""The names in tables of each of `shapes.FORMATS`; of several, the first that a table has."""

DISTRIBUTION = "power_law_1.01"
"""How tokens choose experts: a power law, in which some experts get several times the mean. It is
the only distribution that the tables of all devices have, beside a steeper one."""

NOT_GATED = {(2688, 1856, 6, 128), (1024, 2688, 22, 512), (2048, 5120, 22, 512)} | {
    (8192, 5120, 22, 512),
    (4096, 2688, 22, 512),
}
"""Hidden size, inner size, experts a token and experts of models whose experts have no gate, hence
two matrices; TensorRT-LLM's tables name kernels of their own for them, those of vLLM do not."""

ELEMENT_BYTES = 2.0
"""All-reduce tables count elements of two bytes: taken as bytes, they would reach half of the
links' bandwidth, and NCCL's own tables of one-byte and two-byte elements end at the same bytes."""

LATENT_WIDTH = 576.0
"""Latent and rotary key of the model that the tables of latent attention were measured with."""


Formats = dict[str, tuple[str, ...]]
"""Columns of formats and kernels, and the values that rows must have."""


class ProductTimings(NamedTuple):
    """Matrix products.

    Attributes:
        rows: M.
        inputs: K.
        outputs: N.
        seconds: Time of a call [s].
        table: Where they come from.
    """

    rows: Array
    inputs: Array
    outputs: Array
    seconds: Array
    table: Table


class AttentionTimings(NamedTuple):
    """Attention of one layer: prompts over themselves, or decode steps.

    Attributes:
        sequences: Sequences.
        queries: New tokens of each.
        context: Positions that the last query may attend to.
        query_heads: Query heads.
        kv_heads: KV heads.
        head_dim: Width of a head.
        window: Positions that a query attends to at most; 0.0 means all.
        seconds: Time of a call [s].
        table: Where they come from.
    """

    sequences: Array
    queries: Array
    context: Array
    query_heads: Array
    kv_heads: Array
    head_dim: Array
    window: Array
    seconds: Array
    table: Table


class LatentTimings(NamedTuple):
    """Latent attention of one layer, in a latent of `LATENT_WIDTH`.

    Attributes:
        sequences: Sequences.
        queries: New tokens of each.
        context: Positions that the last query may attend to.
        heads: Heads.
        seconds: Time of a call [s].
        table: Where they come from.
    """

    sequences: Array
    queries: Array
    context: Array
    heads: Array
    seconds: Array
    table: Table


class ExpertTimings(NamedTuple):
    """Routed experts of one layer on one device.

    Attributes:
        tokens: Tokens that the router sends to experts, of all devices.
        hidden: Width of the residual stream.
        inner: Intermediate size of an expert on the device.
        experts: Experts of the layer.
        held: Experts of the device.
        per_token: Experts of each token.
        matrices: Matrices of an expert: 3 with a gate, else 2.
        seconds: Time of a call [s].
        table: Where they come from.
    """

    tokens: Array
    hidden: Array
    inner: Array
    experts: Array
    held: Array
    per_token: Array
    matrices: Array
    seconds: Array
    table: Table


class AllReduceTimings(NamedTuple):
    """Sums over the devices of a node.

    Attributes:
        bytes: Size of what is summed [B].
        devices: Devices that take part.
        seconds: Time of a call [s].
        table: Where they come from.
    """

    bytes: Array
    devices: Array
    seconds: Array
    table: Table


def product_table(
    device: str, engine: str, weights: str, library: Library | None = None
) -> ProductTimings:
    """Timings of matrix products.

    Args:
        device: Our name of the device.
        engine: Our name of the engine.
        weights: Format of the weights, one of `shapes.FORMATS`.
        library: Where the tables are; None means the installed package.

    Raises:
        InputError: There is no such table, or it lacks the format.
    """
    table = find_table(library or find_library(), device, engine, "gemm_perf")
    own: Formats = {"gemm_dtype": (_stored_format(table, "gemm_dtype", weights),)}
    (m, k, n), seconds = _timings(table, ("m", "k", "n"), own)
    return ProductTimings(m, k, n, seconds, table)


def attention_table(
    device: str, engine: str, cache: str, *, decodes: bool, library: Library | None = None
) -> AttentionTimings:
    """Timings of attention: of decode steps, or of prompts over themselves.

    Where prompts were measured with 8-bit scores as well, those with 16-bit ones are taken.

    Args:
        device: Our name of the device.
        engine: Our name of the engine.
        cache: Format of the cache: "bf16" or "fp8".
        decodes: Decode steps, not prompts.
        library: Where the tables are; None means the installed package.

    Raises:
        InputError: There is no such table, or it lacks the format.
    """
    name = "generation_attention_perf" if decodes else "context_attention_perf"
    table = find_table(library or find_library(), device, engine, name)
    own: Formats = {"kv_cache_dtype": (_stored_format(table, "kv_cache_dtype", cache),)}
    own["attn_dtype"] = ("bfloat16",)
    own.update(_main_kernel(table, own))
    names = ["batch_size", "isl", "step", "num_heads", "num_key_value_heads", "head_dim"]
    windows = "window_size" in table.columns
    columns, seconds = _timings(table, [*names, "window_size"] if windows else names, own)
    sequences, queries, past, heads, kv_heads, width = columns[:6]
    return AttentionTimings(
        sequences,
        queries,
        queries + past,
        heads,
        kv_heads,
        width,
        columns[6] if windows else np.zeros_like(sequences),
        seconds,
        table,
    )


def latent_table(
    device: str, engine: str, cache: str, *, decodes: bool, library: Library | None = None
) -> LatentTimings:
    """Timings of latent attention; arguments and errors as for `attention_table`."""
    name = "generation_mla_perf" if decodes else "context_mla_perf"
    table = find_table(library or find_library(), device, engine, name)
    own: Formats = {"kv_cache_dtype": (_stored_format(table, "kv_cache_dtype", cache),)}
    own["mla_dtype"] = ("bfloat16",)
    own.update(_main_kernel(table, own))
    names = ("batch_size", "isl", "step", "num_heads")
    (sequences, queries, past, heads), seconds = _timings(table, names, own)
    return LatentTimings(sequences, queries, queries + past, heads, seconds, table)


def expert_table(
    device: str,
    engine: str,
    weights: str,
    library: Library | None = None,
    distribution: str = DISTRIBUTION,
) -> ExpertTimings:
    """Timings of routed experts.

    Args:
        device: Our name of the device.
        engine: Our name of the engine.
        weights: Format of the weights, one of `shapes.FORMATS`.
        library: Where the tables are; None means the installed package.
        distribution: How tokens choose experts, as the table names it.

    Raises:
        InputError: There is no such table, or it lacks the format or the distribution.
    """
    table = find_table(library or find_library(), device, engine, "moe_perf")
    own: Formats = {"moe_dtype": (_stored_format(table, "moe_dtype", weights),)}
    own["distribution"] = (distribution,)
    own.update(_main_kernel(table, own))
    names = ("num_tokens", "hidden_size", "inter_size", "num_experts", "topk")
    columns, seconds = _timings(table, (*names, "moe_tp_size", "moe_ep_size"), own)
    tokens, hidden, inner, experts, per_token, parts, groups = columns
    models = zip(hidden, inner, per_token, experts, strict=True)
    matrices = np.array([2.0 if model in NOT_GATED else 3.0 for model in models])
    held = experts / groups
    return ExpertTimings(
        tokens, hidden, inner / parts, experts, held, per_token, matrices, seconds, table
    )


def _main_kernel(table: Table, among: Mapping[str, Collection[str]]) -> dict[str, tuple[str, ...]]:
    """The kernel that most rows measured, and the same one without a gate, as a column's values.

    A table may hold the same shapes under several kernels, such as one for few tokens: of these an
    engine takes one, and a median would be of none.
    """
    if "kernel_source" not in table.columns:
        return {}
    names = read_columns(table, ["kernel_source"], among)["kernel_source"]
    gated = np.char.replace(names.astype(str), "_nongated", "_cutlass")
    different, counts = np.unique(gated, return_counts=True)
    if not len(different):  # no such rows: what reads them says so
        return {}
    main = names[gated == different[counts.argmax()]]
    return {"kernel_source": tuple(map(str, np.unique(main)))}


def quantise_table(device: str, engine: str, library: Library | None = None) -> ProductTimings:
    """Timings of turning 16-bit inputs of products into fp8: the scale, and the values.

    Args:
        device: Our name of the device.
        engine: Our name of the engine.
        library: Where the tables are; None means the installed package.

    Returns:
        Products of no outputs.

    Raises:
        InputError: There is no such table.
    """
    found = library or find_library()
    parts = []
    for name in ("computescale_perf", "scale_matrix_perf"):
        table = find_table(found, device, engine, name)
        parts.append(_timings(table, ("m", "k"), {"quant_dtype": ("fp8",)}, least=0.0))
    (rows, inputs), seconds = parts[1]
    scale = dict(zip(zip(*parts[0][0], strict=True), parts[0][1], strict=True))
    added = [scale.get(size, 0.0) for size in zip(rows, inputs, strict=True)]
    return ProductTimings(rows, inputs, rows * 0.0, seconds + np.array(added), table)


def all_reduce_table(device: str, engine: str, library: Library | None = None) -> AllReduceTimings:
    """Timings of an engine's own all-reduce; of those recorded in a CUDA graph, where there are.

    Args:
        device: Our name of the device.
        engine: Our name of the engine.
        library: Where the tables are; None means the installed package.

    Raises:
        InputError: There is no such table.
    """
    table = find_table(library or find_library(), device, engine, "custom_allreduce_perf")
    sources = values_of(table, "kernel_source")
    graphs = [source for source in sources if source.endswith("_graph")]
    own = {"kernel_source": tuple(graphs or sources), "allreduce_dtype": ("bfloat16",)}
    (elements, devices), seconds = _timings(table, ("message_size", "num_gpus"), own)
    return AllReduceTimings(elements * ELEMENT_BYTES, devices, seconds, table)


def _stored_format(table: Table, column: str, wanted: str) -> str:
    """The table's name of a format."""
    stored = values_of(table, column)
    for name in FORMATS_OF_TABLES.get(wanted, ()):
        if name in stored:
            return name
    ours = [name for name, theirs in FORMATS_OF_TABLES.items() if {*theirs} & {*stored}]
    raise InputError(
        f"the kernel table {table.name} of {table.engine} on {table.device} has no timings of "
        f"{wanted}; it has {', '.join(ours)}"
    )


def _timings(
    table: Table,
    sizes: Sequence[str],
    among: Mapping[str, Collection[str]],
    least: float = 1e-12,
) -> tuple[list[Array], Array]:
    """Sizes and seconds of the rows, the median of those with the same sizes.

    Args:
        table: The table.
        sizes: Columns of sizes.
        among: Values that other columns may have.
        least: Seconds below which a row is no timing [s].

    Raises:
        InputError: No row is left, or as for `read_columns`.
    """
    found = read_columns(table, [*sizes, "latency"], among)
    seconds = found.pop("latency").astype("float64") / 1e3
    good = np.isfinite(seconds) & (seconds >= least)
    shapes = np.stack([found[name].astype("float64")[good] for name in sizes], axis=1)
    if not len(shapes):
        values = " with ".join(" or ".join(values) for values in among.values())
        raise InputError(
            f"the kernel table {table.name} of {table.engine} on {table.device} has no rows of "
            f"{values}"
        )
    different, medians = medians_of(shapes, seconds[good])
    return list(different.T), medians


def medians_of(shapes: Array, seconds: Array) -> tuple[Array, Array]:
    """The different rows of `shapes`, and the median of the seconds of each.

    Args:
        shapes: Rows of sizes.
        seconds: One for each row [s].
    """
    different, place = np.unique(shapes, axis=0, return_inverse=True)
    place = place.reshape(-1)
    ordered = np.lexsort((seconds, place))
    counts = np.bincount(place)
    starts = np.cumsum(counts) - counts
    times = seconds[ordered]
    low, high = times[starts + (counts - 1) // 2], times[starts + counts // 2]
    return different, (low + high) / 2
