"""The columns of tables of estimates: a name with its unit, what it holds, how an answer gives it.

Each is declared once. A sweep has a row for each of its requests; `estimate --format csv` is a
sweep of one, with some columns that are found for one request only. NumPy is loaded only where
there are arrays, so that one estimate does without.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from cost_analysis.common.arrays import Number
from cost_analysis.common.checks import FLAGS
from cost_analysis.cost.estimate import Answer, Estimate
from cost_analysis.cost.latency import Phase
from cost_analysis.cost.memory import largest_batch, longest_context
from cost_analysis.inputs.layout import micro_batches

if TYPE_CHECKING:
    import numpy.typing as npt

Values: TypeAlias = "npt.NDArray[Any]"
"""The values of a column, one a row."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table of estimates.

    Attributes:
        name: Its name, the unit in it.
        text: What it holds.
        value: How an answer gives it; of many requests at once, it broadcasts to their piece.
        kind: "name", "count" (a whole number), "switch", "number", or "fraction" (a number that
            is written with decimals, also where it is whole).
        says_which: It belongs to what was asked, not to the answer.
        only: The one table that has it, "sweep" or "estimate"; "" for both.
    """

    name: str
    text: str
    value: Callable[[Answer], Any]
    kind: str = "number"
    says_which: bool = False
    only: str = ""


def _of(path: str) -> Callable[[Answer], Any]:
    return attrgetter(f"cost.{path}")


def _asked(name: str, path: str, text: str, kind: str = "count", only: str = "") -> Column:
    return Column(name, text, _of(path), kind, says_which=True, only=only)


_SIZES = {
    "hidden_size": "width of the residual stream",
    "intermediate_size": "width of the MLP",
    "num_hidden_layers": "layers",
    "num_attention_heads": "query heads",
    "num_key_value_heads": "key and value heads",
    "head_dim": "width of a head",
    "vocab_size": "rows of the embedding table",
    "max_position_embeddings": "longest sequence that the model was made for",
    "streams": "parallel streams",
    "prefix_tokens": "learned prefix tokens of a stream",
}
_SWITCHES = {
    "gated_mlp": "whether the MLP has a gate",
    "qkv_bias": "whether q, k and v have biases",
    "qk_norm": "whether q and k heads are normalised",
    "tie_word_embeddings": "whether the LM head is the embedding table",
}
_LENGTHS = {
    "batch_size": "sequences",
    "input_length": "prompt tokens of each",
    "output_length": "generated tokens of each",
}
_WAYS = {
    "tensor_parallel": "devices that share each layer",
    "pipeline_parallel": "stages of layers",
    "expert_parallel": "groups that share sequences and experts",
    "stream_parallel": "groups that share the streams, at most as many as there are",
}
_FORMATS = {
    "weights": "format of the weights",
    "activations": "format of the activations",
    "kv_cache": "format of the KV cache",
}

# Groups of columns, each in its order; a table puts some of them together in an order of its own.

TITLE = (
    Column(
        "model",
        "what the model is called",
        lambda found: found.request.title,
        "name",
        says_which=True,
        only="sweep",
    ),
)
COST_MODEL = (
    Column(
        "cost_model",
        'whose costs are told: "operators", or also the "published" ones',
        lambda found: "operators" if found.published is None else "published",
        "name",
        says_which=True,
        only="estimate",
    ),
)
SYSTEM = (
    _asked("gpu_config", "hardware.name", "device", "name"),
    _asked("engine", "engine.name", "what runs the model", "name"),
    *(
        _asked(name, f"engine.{path}", text, "fraction", "estimate")
        for name, path, text in (
            ("flops_efficiency", "flops_efficiency", "share of the peak FLOP/s"),
            ("hbm_memory_efficiency", "bandwidth_efficiency", "share of the memory bandwidth"),
        )
    ),
)
FORMATS = tuple(
    _asked(FLAGS[name], f"precision.{name}", text, "name") for name, text in _FORMATS.items()
)
MODEL = (
    *(
        _asked(
            FLAGS.get(name, name),
            f"spec.{name}",
            text,
            only="estimate" if name == "max_position_embeddings" else "",
        )
        for name, text in _SIZES.items()
    ),
    *(_asked(n, f"spec.{n}", text, "switch", "estimate") for n, text in _SWITCHES.items()),
    _asked("name", "spec.name", "name of the architecture's profile", "name", "estimate"),
    _asked("layers", "spec.layers_in_words", "kinds of layers", "name", "estimate"),
)
WORKLOAD = (
    *(_asked(name, f"workload.{name}", text) for name, text in _LENGTHS.items()),
    _asked("logits", "workload.logits", "positions that get logits", "name", "estimate"),
)
LAYOUT = (
    *(_asked(name, f"layout.{name}", text) for name, text in _WAYS.items()),
    _asked("devices", "layout.devices", "devices in all", only="estimate"),
    Column(
        "micro_batches",
        "parts that a pipeline divides the batch into",
        lambda found: micro_batches(found.cost.layout, found.cost.workload.batch_size),
        "count",
        only="estimate",
    ),
)
ASSUMED = (
    Column(
        "assumed",
        "what was filled in",
        lambda found: "; ".join(f"{name}={value}" for name, value in found.request.assumed.items()),
        "name",
        only="estimate",
    ),
)

_PARAMETERS = {
    "total": "parameters, a tied matrix once",
    "non_embedding": "what the scaling law calls N",
    "embedding": "the embedding table",
    "lm_head": "an output matrix of its own",
    "attention": "matrices of attention",
    "mlp": "matrices of the MLP",
    "small": "norms, biases and sinks",
    "prefix": "the learned prefixes",
    "aggregator": "the aggregation of the streams",
}
PARAMETERS = tuple(
    Column(
        f"parameters_{name}",
        text,
        _of(f"parameters.{name}"),
        "count",
        only="" if name in ("total", "non_embedding") else "estimate",
    )
    for name, text in _PARAMETERS.items()
)

_HELD = {
    "weights": "all parameters, prefixes and aggregator included",
    "prefix": "the learned prefixes in it",
    "aggregator": "the aggregator in it",
    "kv_cache": "cached keys and values at the end of the request",
    "activations": "peak of the activations",
}


def _after(quantity: str) -> Callable[[Answer], Number]:
    """A quantity that `increase` names, with the streams."""
    return lambda found: found.increases[quantity].value


MEMORY = (
    *(
        Column(
            f"memory_{name}_bytes",
            text,
            _of(f"memory.{name}"),
            only="sweep" if name in ("prefix", "aggregator") else "",
        )
        for name, text in _HELD.items()
    ),
    Column("memory_total_bytes", "weights, cache and activations together", _after("memory")),
)


def _bytes(phase: str) -> Callable[[Answer], Number]:
    return lambda found: getattr(found.cost, phase).bytes


def _seconds_of_part(phase: str, part: str) -> Callable[[Answer], Number]:
    def seconds(found: Answer) -> Number:
        times: Phase = getattr(found.cost, phase)
        return sum((t.total_seconds for t in times.times if t.operator.part == part), 0.0)

    return seconds


def _exchanged(phase: str, what: str) -> Callable[[Answer], Number]:
    def exchanged(found: Answer) -> Number:
        times: Phase = getattr(found.cost, phase)
        sent = (t for t in times.times if t.operator.kind == "exchange")
        if what == "seconds":
            return sum((t.total_seconds for t in sent), 0.0)
        return sum((t.operator.link_bytes * t.runs for t in sent), 0.0)

    return exchanged


PARTS = ("embedding", "attention", "mlp", "aggregator", "lm head", "pipeline", "host")
TIMES = {
    "ttft": "time to first token: the prefill",
    "tpot": "time per output token after the first; nothing where there is none",
    "total": "the whole request",
}
_PASSES = {"prefill": "the prefill", "decode": "all decode steps"}

FLOPS = (
    Column("flops_prefill", "FLOPs of the prefill", _of("prefill_flops")),
    Column("flops_decode", "FLOPs of all decode steps", _of("decode_flops"), only="sweep"),
    Column(
        "flops_decode_step",
        "FLOPs of the first decode step",
        _of("decode_step_flops"),
        only="estimate",
    ),
    Column("flops_total", "FLOPs of the whole request", _of("flops"), only="estimate"),
)
MOVED = tuple(
    Column(f"moved_{n}_bytes", f"bytes moved in {text}", _bytes(n), only="sweep")
    for n, text in _PASSES.items()
)
EXCHANGED = (
    *(
        Column(
            f"sent_{n}_bytes",
            f"bytes that a device sends in {text}",
            _exchanged(n, "bytes"),
            only="sweep",
        )
        for n, text in _PASSES.items()
    ),
    *(
        Column(
            f"exchange_{n}_s",
            f"time of exchanges in {text}",
            _exchanged(n, "seconds"),
            only="sweep",
        )
        for n, text in _PASSES.items()
    ),
)


def _latency(name: str) -> Column:
    return Column(f"latency_{name}_s", TIMES[name], _after(name))


PER_TOKEN = (_latency("ttft"), _latency("tpot"))
DECODE = (Column("latency_decode_s", "all decode steps", _of("decode.seconds")),)
TOTAL = (_latency("total"),)


def _end(quantity: str, end: int) -> Callable[[Answer], Number]:
    def value(found: Answer) -> Number:
        interval = found.intervals[quantity]
        return math.nan if interval is None else interval[end]

    return value


INTERVALS = tuple(
    Column(f"latency_{n}_{end}_s", f"{end} end of its 80 % interval", _end(n, place))
    for n in TIMES
    for place, end in enumerate(("low", "high"))
)
TIMES_OF_PARTS = tuple(
    Column(
        f"{phase}_{part.replace(' ', '_')}_s",
        f"time of {text} in {part}",
        _seconds_of_part(phase, part),
        only="sweep",
    )
    for phase, text in _PASSES.items()
    for part in PARTS
)
RATE = (
    Column("tokens_per_s", "output tokens of the batch over the time", _of("tokens_per_second")),
)


def _limit(of: Callable[..., int]) -> Callable[[Answer], int]:
    def largest(found: Answer) -> int:
        cost: Estimate = found.cost
        return of(cost.spec, cost.workload, cost.precision, cost.hardware.memory, cost.layout)

    return largest


DEVICE = (
    Column("device_memory_bytes", "memory of the device", _of("hardware.memory"), only="estimate"),
    Column(
        "device_fits",
        "the request fits the device's memory",
        lambda found: found.increases["memory"].value <= found.cost.hardware.memory,
        "switch",
    ),
    Column(
        "device_free_bytes",
        "memory that is left, or missing below 0",
        lambda found: found.cost.hardware.memory - found.increases["memory"].value,
    ),
    Column(
        "device_largest_batch_size",
        "sequences that fit the device's memory",
        _limit(largest_batch),
        "count",
        only="estimate",
    ),
    Column(
        "device_longest_context_tokens",
        "prompt and output tokens that fit it",
        _limit(longest_context),
        "count",
        only="estimate",
    ),
)


def _added(quantity: str, what: str) -> Callable[[Answer], Number]:
    return lambda found: getattr(found.increases[quantity], what)


_INCREASES = {"memory": "bytes", "ttft": "s", "tpot": "s", "total": "s"}
_CALLED = {"total": "latency"}

INCREASES = tuple(
    Column(
        f"increase_{_CALLED.get(name, name)}_{unit}",
        f"{_CALLED.get(name, name)} beyond P = 1{how}",
        _added(name, what),
    )
    for name, of in _INCREASES.items()
    for unit, what, how in ((of, "absolute", ""), ("relative", "relative", ", as a share"))
)

_PUBLISHED = {
    "total_memory": 'the script\'s "Memory"',
    "total_latency": "the script's time of the request",
    "weight_memory": "weights",
    "kv_cache_memory": "KV cache",
    "prefill_activation_memory": "largest activation of the prefill",
    "aggregate_memory": "first matrix of the aggregator",
    "prefill_latency": "the prefill",
    "decode_latency_per_token": "one decode step",
    "aggregate_latency": "the aggregator",
}
PUBLISHED = tuple(
    Column(
        f"published_{name}_{'bytes' if name.endswith('memory') else 's'}",
        f"{text}, by the paper's cost model",
        attrgetter(f"published.{name}"),
        "number" if name.endswith("memory") else "fraction",
        only="estimate",
    )
    for name, text in _PUBLISHED.items()
)
"""Columns of an answer that has the paper's own numbers."""


def _table(name: str, *groups: Sequence[Column]) -> tuple[Column, ...]:
    """The columns of groups that stand in a table."""
    return tuple(each for group in groups for each in group if each.only in ("", name))


COLUMNS = _table(
    "sweep", TITLE, SYSTEM, FORMATS, MODEL, WORKLOAD, LAYOUT, PARAMETERS, MEMORY, FLOPS, MOVED,
    EXCHANGED, PER_TOKEN, TOTAL, DECODE, INTERVALS, TIMES_OF_PARTS, RATE, DEVICE, INCREASES,
)  # fmt: skip
"""Every column of a sweep, in order."""

ESTIMATE_COLUMNS = _table(
    "estimate", COST_MODEL, MODEL, WORKLOAD, FORMATS, SYSTEM, LAYOUT, ASSUMED, PARAMETERS, MEMORY,
    FLOPS, PER_TOKEN, DECODE, TOTAL, INTERVALS, RATE, DEVICE, INCREASES,
)  # fmt: skip
"""Every column of the row of one estimate, in order, but for `PUBLISHED`."""

NAMED = {column.name: column for column in COLUMNS}


def columns_of(found: Answer, shape: tuple[int, ...]) -> dict[str, Values]:
    """The columns of a piece, each of its rows; names are arrays of one object.

    Args:
        found: The estimates.
        shape: Axes of the piece; all numbers broadcast to it.
    """
    return {column.name: _column(column, found, shape) for column in COLUMNS}


def _column(column: Column, found: Answer, shape: tuple[int, ...]) -> Values:
    import numpy as np

    kinds: Mapping[str, Any] = {"name": object, "count": np.int64, "switch": np.bool_}
    value = np.asarray(column.value(found), kinds.get(column.kind, np.float64))
    if value.ndim == 0:  # nothing is copied
        return np.broadcast_to(value, math.prod(shape))
    return np.broadcast_to(value, shape).reshape(-1)
