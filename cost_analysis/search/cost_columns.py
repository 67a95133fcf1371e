"""Columns of the answer: parameters, memory, FLOPs, bytes, times, and what the device has left.

Groups of columns, each in its order; a table puts some of them together in an order of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter

from cost_analysis.common.arrays import Number
from cost_analysis.cost.estimate import Answer, Estimate
from cost_analysis.cost.latency import Phase
from cost_analysis.cost.memory import largest_batch, longest_context
from cost_analysis.search.column import Column, of_cost

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
        of_cost(f"parameters.{name}"),
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
            of_cost(f"memory.{name}"),
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
    Column("flops_prefill", "FLOPs of the prefill", of_cost("prefill_flops")),
    Column("flops_decode", "FLOPs of all decode steps", of_cost("decode_flops"), only="sweep"),
    Column(
        "flops_decode_step",
        "FLOPs of the first decode step",
        of_cost("decode_step_flops"),
        only="estimate",
    ),
    Column("flops_total", "FLOPs of the whole request", of_cost("flops"), only="estimate"),
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
DECODE = (Column("latency_decode_s", "all decode steps", of_cost("decode.seconds")),)
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
    Column(
        "tokens_per_s", "output tokens of the batch over the time", of_cost("tokens_per_second")
    ),
)


def _limit(of: Callable[..., int]) -> Callable[[Answer], int]:
    def largest(found: Answer) -> int:
        cost: Estimate = found.cost
        return of(cost.spec, cost.workload, cost.precision, cost.hardware.memory, cost.layout)

    return largest


DEVICE = (
    Column(
        "device_memory_bytes", "memory of the device", of_cost("hardware.memory"), only="estimate"
    ),
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
