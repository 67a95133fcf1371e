"""An answer as plain numbers under stable names: what JSON, CSV and tables are made from.

SI base units; the unit stands in the name. Counts, bytes and FLOPs are whole numbers where they
are whole. The README documents every key.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from cost_analysis.capacity import largest_batch, longest_context
from cost_analysis.compare import increase
from cost_analysis.estimate import Estimate, estimate
from cost_analysis.latency import Phase
from cost_analysis.layout import micro_batches
from cost_analysis.memory import NOT_COUNTED
from cost_analysis.published import PublishedCost, published_cost
from cost_analysis.request import Request
from cost_analysis.spec import FLAGS, ModelSpec

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """An estimate, the same model with one stream, and what fits the device.

    Attributes:
        request: What was asked.
        cost: The estimate.
        baseline: The estimate at P = 1; the same object when P is 1.
        published: The paper's own numbers; None unless they were asked for.
    """

    request: Request
    cost: Estimate
    baseline: Estimate
    published: PublishedCost | None = None


def answer(request: Request, *, with_published: bool = False) -> Answer:
    """Everything that the estimate command reports."""

    def run(streams: int) -> Estimate:
        return estimate(
            request.spec.with_streams(streams),
            request.workload,
            request.hardware,
            request.engine,
            request.precision,
            request.layout.of_streams(streams),
        )

    cost = run(request.spec.streams)
    return Answer(
        request=request,
        cost=cost,
        baseline=cost if request.spec.streams == 1 else run(1),
        published=_published(request) if with_published else None,
    )


def _published(request: Request) -> PublishedCost:
    return published_cost(
        request.spec,
        request.workload,
        request.hardware,
        request.flops_efficiency,
        request.bandwidth_efficiency,
    )


def estimate_record(answer: Answer) -> Record:
    """The answer as the nested record that `--format json` prints."""
    cost, request = answer.cost, answer.request
    record: Record = {
        "cost_model": "operators" if answer.published is None else "published",
        "model": spec_record(cost.spec),
        "workload": {
            "batch_size": whole(cost.workload.batch_size),
            "input_length": whole(cost.workload.input_length),
            "output_length": whole(cost.workload.output_length),
            "logits": cost.workload.logits,
        },
        "precision": {
            item.name: getattr(cost.precision, item.name) for item in fields(cost.precision)
        },
        "engine": _engine_record(cost),
        "layout": layout_record(cost),
        "assumed": dict(request.assumed),
        "warnings": list(request.warnings),
        "parameters": _parameters_record(cost),
        "memory_bytes": {
            "weights": whole(cost.memory.weights),
            "kv_cache": whole(cost.memory.kv_cache),
            "activations": whole(cost.memory.activations),
            "total": whole(cost.memory.total),
        },
        "memory_detail_bytes": {
            item.name: whole(getattr(cost.memory, item.name)) for item in fields(cost.memory)
        },
        "memory_not_counted": NOT_COUNTED,
        "flops": {
            "prefill": whole(cost.prefill_flops),
            "decode_step": whole(cost.decode_step_flops),
            "total": whole(cost.flops),
        },
        "latency_s": {
            "ttft": whole(cost.ttft),
            "tpot": whole(cost.tpot),
            "decode": whole(cost.decode.seconds),
            "total": whole(cost.total),
        },
        "latency_interval_s": interval_record(cost),
        "tokens_per_s": whole(cost.tokens_per_second),
        "device": device_record(cost),
        "increase_over_one_stream": increase_record(answer),
        "exchanges": exchange_rows(cost),
        "operators": [*operator_rows(cost.prefill), *operator_rows(cost.decode)],
    }
    if answer.published is not None:
        record["published"] = published_record(answer)
    return record


def interval_record(cost: Estimate) -> Record:
    """The ends of the 80 % intervals of the times [s]; null where nothing was measured."""
    times = {"ttft": cost.ttft, "tpot": cost.tpot, "total": cost.total}
    record: Record = {}
    for name, seconds in times.items():
        low, high = cost.interval(seconds) or (None, None)
        record |= {f"{name}_low": whole(low), f"{name}_high": whole(high)}
    return record


def increase_record(answer: Answer) -> Record:
    """What the streams cost beyond P = 1: bytes and seconds, and shares of the baseline."""
    units = {"memory": "bytes", "ttft": "s", "tpot": "s", "total": "s"}
    names = {"memory": "memory", "ttft": "ttft", "tpot": "tpot", "total": "latency"}
    record: Record = {}
    for name, change in increase(answer.cost, answer.baseline).items():
        record[f"{names[name]}_{units[name]}"] = whole(change.absolute)
        record[f"{names[name]}_relative"] = whole(change.relative)
    return record


def operator_rows(phase: Phase) -> list[Record]:
    """One row an operator of a phase; FLOPs, bytes and seconds sum to the phase."""
    return [
        {
            "phase": phase.name,
            "operator": time.operator.name,
            "part": time.operator.part,
            "flops": whole(time.total_flops),
            "kernel_flops": whole(time.operator.kernel_flops * time.runs),
            "bytes": whole(time.total_bytes),
            "intensity_flop_per_byte": whole(time.operator.intensity),
            "seconds": whole(time.total_seconds),
            "bound": str(time.bound),
        }
        for time in phase.times
        if time.total_bytes or time.total_seconds
    ]


def published_record(answer: Answer) -> Record:
    """The paper's own numbers, under the names of `published_cost_model.csv`."""
    spec, workload, paper = answer.cost.spec, answer.cost.workload, answer.published
    assert paper is not None
    return {
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.intermediate_size,
        "num_hidden_layers": spec.num_hidden_layers,
        "num_attention_heads": spec.num_attention_heads,
        "num_key_value_heads": spec.num_key_value_heads,
        "vocab_size": spec.vocab_size,
        "P": spec.streams,
        "parscale_prefix_tokens": spec.prefix_tokens,
        "batch_size": whole(workload.batch_size),
        "input_length": whole(workload.input_length),
        "output_length": whole(workload.output_length),
        "max_position_embeddings": spec.max_position_embeddings,
        "total_memory_bytes": whole(paper.total_memory),
        "total_latency_s": float(paper.total_latency),
        "weight_memory_bytes": whole(paper.weight_memory),
        "kv_cache_memory_bytes": whole(paper.kv_cache_memory),
        "prefill_activation_memory_bytes": whole(paper.prefill_activation_memory),
        "aggregate_memory_bytes": whole(paper.aggregate_memory),
        "prefill_latency_s": float(paper.prefill_latency),
        "decode_latency_per_token_s": float(paper.decode_latency_per_token),
        "aggregate_latency_s": float(paper.aggregate_latency),
    }


def estimate_row(answer: Answer) -> Record:
    """The answer as one flat row, unit-bearing column names, for CSV."""
    record = estimate_record(answer)
    row: Record = {"cost_model": record["cost_model"], **record["model"], **record["workload"]}
    row |= {FLAGS[name]: dtype for name, dtype in record["precision"].items()}
    row |= {"gpu_config": record["device"]["name"], "engine": record["engine"]["name"]}
    row |= {name: record["engine"][name] for name in ("flops_efficiency", "hbm_memory_efficiency")}
    row |= record["layout"]
    row["assumed"] = "; ".join(f"{name}={value}" for name, value in record["assumed"].items())
    row |= {f"parameters_{name}": value for name, value in record["parameters"].items()}
    row |= {f"memory_{name}_bytes": value for name, value in record["memory_bytes"].items()}
    row |= {f"flops_{name}": value for name, value in record["flops"].items()}
    row |= {f"latency_{name}_s": value for name, value in record["latency_s"].items()}
    row |= {f"latency_{name}_s": value for name, value in record["latency_interval_s"].items()}
    row["tokens_per_s"] = record["tokens_per_s"]
    device = record["device"]
    row |= {
        f"device_{name.removeprefix('device_')}": value
        for name, value in device.items()
        if name not in ("name", "description")
    }
    row |= {f"increase_{name}": value for name, value in record["increase_over_one_stream"].items()}
    if "published" in record:
        outputs = (name for name in record["published"] if name.endswith(("_bytes", "_s")))
        row |= {f"published_{name}": record["published"][name] for name in outputs}
    return row


def whole(value: Any) -> Any:
    """A number as JSON knows it: an int where it is whole, None where there is none."""
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number):
        return None
    if isinstance(value, int):
        return int(value)
    return int(number) if number.is_integer() and abs(number) < 2**63 else number


def finite(value: float) -> float | None:
    """A number as JSON knows it, whole or not; None where it is infinite or nan."""
    return value if math.isfinite(value) else None


def spec_record(spec: ModelSpec) -> Record:
    """An architecture under the names of the command line's flags."""
    record: Record = {
        FLAGS.get(item.name, item.name): getattr(spec, item.name)
        for item in fields(spec)
        if item.name not in ("layers", "frame")
    }
    return record | {"layers": spec.layers_in_words}


def _engine_record(cost: Estimate) -> Record:
    engine = cost.engine
    return {
        "name": engine.name,
        "flops_efficiency": float(engine.flops_efficiency),
        "hbm_memory_efficiency": float(engine.bandwidth_efficiency),
        "kernel_floor_s": float(engine.kernel_floor),
        "layer_host_time_s": float(engine.layer_host_time),
        "step_host_time_s": float(engine.step_host_time),
        "device_shares": engine.device_shares,
        "source": engine.source,
    }


def layout_record(cost: Estimate) -> Record:
    """How the model is divided among devices."""
    layout = cost.layout
    counts = {item.name: whole(getattr(layout, item.name)) for item in fields(layout)}
    return {
        **counts,
        "devices": whole(layout.devices),
        "micro_batches": whole(micro_batches(layout, cost.workload.batch_size)),
    }


def exchange_rows(cost: Estimate) -> list[Record]:
    """What each device sends to others, a row an exchange of each phase; none for one device."""
    return [
        {
            "phase": phase.name,
            "exchange": time.operator.name,
            "part": time.operator.part,
            "link": cost.hardware.link_among(time.operator.spans),
            "spanned_devices": whole(time.operator.spans),
            "messages": whole(time.operator.messages * time.runs),
            "sent_bytes": whole(time.operator.link_bytes * time.runs),
            "seconds": whole(time.total_seconds),
        }
        for phase in (cost.prefill, cost.decode)
        for time in phase.times
        if time.operator.kind == "exchange" and time.runs
    ]


def _parameters_record(cost: Estimate) -> Record:
    counts = cost.parameters
    parts = {item.name: getattr(counts, item.name) for item in fields(counts)}
    return {"total": counts.total, "non_embedding": counts.non_embedding, **parts}


def device_record(cost: Estimate) -> Record:
    """The device, whether the request fits it, and what would."""
    hardware = cost.hardware
    asked = (cost.spec, cost.workload, cost.precision, hardware.memory, cost.layout)
    return {
        "name": hardware.name,
        "description": hardware.description,
        "device_memory_bytes": whole(hardware.memory),
        "fits": bool(cost.memory.total <= hardware.memory),
        "free_bytes": whole(hardware.memory - cost.memory.total),
        "largest_batch_size": largest_batch(*asked),
        "longest_context_tokens": longest_context(*asked),
    }
