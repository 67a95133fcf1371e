"""The columns of a sweep: a name with its unit, what it holds, and how an estimate gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.common.arrays import Number
from cost_analysis.common.checks import FLAGS
from cost_analysis.cost.estimate import Estimate, Increase, increase
from cost_analysis.cost.latency import Phase

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The estimates of a piece of a grid.

    Attributes:
        cost: The estimate, its numbers broadcasting to the piece.
        baseline: The same at P = 1.
        model: What the model is called.
    """

    cost: Estimate
    baseline: Estimate
    model: str

    def over_baseline(self, quantity: str) -> Increase:
        """What the streams add to a quantity that `increase` names."""
        return increase(self.cost, self.baseline)[quantity]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a sweep.

    Attributes:
        name: Its name, the unit in it.
        text: What it holds.
        value: How an outcome gives it; broadcasts to the piece.
        kind: "name", "count" (a whole number), "switch", or "number".
        says_which: It belongs to what was asked, not to the answer.
    """

    name: str
    text: str
    value: Callable[[Outcome], Any]
    kind: str = "number"
    says_which: bool = False


def _of(path: str) -> Callable[[Outcome], Any]:
    return attrgetter(f"cost.{path}")


def _asked(name: str, path: str, text: str, kind: str = "count") -> Column:
    return Column(name, text, _of(path), kind, says_which=True)


_SIZES = {
    "hidden_size": "width of the residual stream",
    "intermediate_size": "width of the MLP",
    "num_hidden_layers": "layers",
    "num_attention_heads": "query heads",
    "num_key_value_heads": "key and value heads",
    "head_dim": "width of a head",
    "vocab_size": "rows of the embedding table",
    "streams": "parallel streams",
    "prefix_tokens": "learned prefix tokens of a stream",
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

_ASKED = (
    Column("model", "what the model is called", lambda found: found.model, "name", True),
    _asked("gpu_config", "hardware.name", "device", "name"),
    _asked("engine", "engine.name", "what runs the model", "name"),
    *(_asked(FLAGS[name], f"precision.{name}", text, "name") for name, text in _FORMATS.items()),
    *(_asked(FLAGS.get(name, name), f"spec.{name}", text) for name, text in _SIZES.items()),
    *(_asked(name, f"workload.{name}", text) for name, text in _LENGTHS.items()),
    *(_asked(name, f"layout.{name}", text) for name, text in _WAYS.items()),
)

_COUNTED = (
    Column("parameters_total", "parameters, a tied matrix once", _of("parameters.total"), "count"),
    Column(
        "parameters_non_embedding",
        "what the scaling law calls N",
        _of("parameters.non_embedding"),
        "count",
    ),
)

_HELD = {
    "weights": "all parameters, prefixes and aggregator included",
    "prefix": "the learned prefixes in it",
    "aggregator": "the aggregator in it",
    "kv_cache": "cached keys and values at the end of the request",
    "activations": "peak of the activations",
    "total": "weights, cache and activations together",
}


def _flops(phase: str) -> Callable[[Outcome], Number]:
    return lambda found: getattr(found.cost, f"{phase}_flops")


def _bytes(phase: str) -> Callable[[Outcome], Number]:
    return lambda found: getattr(found.cost, phase).bytes


def _seconds_of_part(phase: str, part: str) -> Callable[[Outcome], Number]:
    def seconds(found: Outcome) -> Number:
        times: Phase = getattr(found.cost, phase)
        return sum((t.total_seconds for t in times.times if t.operator.part == part), 0.0)

    return seconds


def _exchanged(phase: str, what: str) -> Callable[[Outcome], Number]:
    def exchanged(found: Outcome) -> Number:
        times: Phase = getattr(found.cost, phase)
        sent = (t for t in times.times if t.operator.kind == "exchange")
        if what == "seconds":
            return sum((t.total_seconds for t in sent), 0.0)
        return sum((t.operator.link_bytes * t.runs for t in sent), 0.0)

    return exchanged


def _end(quantity: str, end: int) -> Callable[[Outcome], Number]:
    def value(found: Outcome) -> Number:
        interval = found.cost.interval(getattr(found.cost, quantity))
        return np.nan if interval is None else interval[end]

    return value


def _added(quantity: str, what: str) -> Callable[[Outcome], Number]:
    return lambda found: getattr(found.over_baseline(quantity), what)


PARTS = ("embedding", "attention", "mlp", "aggregator", "lm head", "pipeline", "host")
TIMES = {
    "ttft": "time to first token: the prefill",
    "tpot": "time per output token after the first; nothing where there is none",
    "total": "the whole request",
}
_PASSES = {"prefill": "the prefill", "decode": "all decode steps"}
_INCREASES = {"memory": "bytes", "ttft": "s", "tpot": "s", "total": "s"}
_CALLED = {"total": "latency"}

COLUMNS = (
    *_ASKED,
    *_COUNTED,
    *(Column(f"memory_{n}_bytes", text, _of(f"memory.{n}")) for n, text in _HELD.items()),
    *(Column(f"flops_{n}", f"FLOPs of {text}", _flops(n)) for n, text in _PASSES.items()),
    *(
        Column(f"moved_{n}_bytes", f"bytes moved in {text}", _bytes(n))
        for n, text in _PASSES.items()
    ),
    *(
        Column(f"sent_{n}_bytes", f"bytes that a device sends in {text}", _exchanged(n, "bytes"))
        for n, text in _PASSES.items()
    ),
    *(
        Column(f"exchange_{n}_s", f"time of exchanges in {text}", _exchanged(n, "seconds"))
        for n, text in _PASSES.items()
    ),
    *(Column(f"latency_{n}_s", text, _of(n)) for n, text in TIMES.items()),
    Column("latency_decode_s", "all decode steps", _of("decode.seconds")),
    *(
        Column(f"latency_{n}_{end}_s", f"{end} end of its 80 % interval", _end(n, place))
        for n in TIMES
        for place, end in enumerate(("low", "high"))
    ),
    *(
        Column(
            f"{phase}_{part.replace(' ', '_')}_s",
            f"time of {text} in {part}",
            _seconds_of_part(phase, part),
        )
        for phase, text in _PASSES.items()
        for part in PARTS
    ),
    Column("tokens_per_s", "output tokens of the batch over the time", _of("tokens_per_second")),
    Column(
        "device_fits",
        "the request fits the device's memory",
        lambda found: found.cost.memory.total <= found.cost.hardware.memory,
        "switch",
    ),
    Column(
        "device_free_bytes",
        "memory that is left, or missing below 0",
        lambda found: found.cost.hardware.memory - found.cost.memory.total,
    ),
    *(
        Column(
            f"increase_{_CALLED.get(name, name)}_{unit}",
            f"{_CALLED.get(name, name)} beyond P = 1{how}",
            _added(name, what),
        )
        for name, of in _INCREASES.items()
        for unit, what, how in ((of, "absolute", ""), ("relative", "relative", ", as a share"))
    ),
)
"""Every column, in order. Names that `estimate --format csv` has too mean the same there."""

NAMED = {column.name: column for column in COLUMNS}


def columns_of(found: Outcome, shape: tuple[int, ...]) -> dict[str, Values]:
    """The columns of a piece, each of its rows; names are arrays of one object.

    Args:
        found: The estimates.
        shape: Axes of the piece; all numbers broadcast to it.
    """
    return {column.name: _column(column, found, shape) for column in COLUMNS}


def _column(column: Column, found: Outcome, shape: tuple[int, ...]) -> Values:
    kinds: Mapping[str, Any] = {"name": object, "count": np.int64, "switch": np.bool_}
    value = np.asarray(column.value(found), kinds.get(column.kind, np.float64))
    return np.broadcast_to(value, shape).reshape(-1)
