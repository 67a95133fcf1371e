"""An answer as plain numbers under stable names: what JSON, CSV and tables are made from.

SI base units; the unit stands in the name. Counts, bytes and FLOPs are whole numbers where they
are whole. The README documents every key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from cost_analysis.common.arrays import single_count
from cost_analysis.common.checks import FLAGS
from cost_analysis.cost.estimate import Answer, Estimate
from cost_analysis.cost.latency import Phase
from cost_analysis.cost.memory import NOT_COUNTED
from cost_analysis.inputs.layout import micro_batches
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.report.render import Record, whole
from cost_analysis.search.column import Column
from cost_analysis.search.columns import ESTIMATE_COLUMNS
from cost_analysis.search.cost_columns import (
    DECODE,
    DEVICE,
    FLOPS,
    INCREASES,
    INTERVALS,
    MEMORY,
    PARAMETERS,
    PER_TOKEN,
    PUBLISHED,
    RATE,
    TOTAL,
)
from cost_analysis.search.request_columns import COST_MODEL, LAYOUT, MODEL, WORKLOAD


def estimate_record(answer: Answer) -> Record:
    """The answer as the nested record that `--format json` prints."""
    cost, request = answer.cost, answer.request
    record: Record = {
        **_section(answer, COST_MODEL),
        "model": _section(answer, MODEL),
        "workload": _section(answer, WORKLOAD),
        "precision": {
            item.name: getattr(cost.precision, item.name) for item in fields(cost.precision)
        },
        "engine": _engine_record(cost),
        "layout": _section(answer, LAYOUT),
        "assumed": dict(request.assumed),
        "warnings": list(request.warnings),
        "parameters": _section(answer, PARAMETERS, "parameters_"),
        "memory_bytes": _section(answer, MEMORY, "memory_", "_bytes"),
        "memory_detail_bytes": {
            item.name: whole(getattr(cost.memory, item.name)) for item in fields(cost.memory)
        },
        "memory_not_counted": NOT_COUNTED,
        "flops": _section(answer, FLOPS, "flops_"),
        "latency_s": _section(answer, (*PER_TOKEN, *DECODE, *TOTAL), "latency_", "_s"),
        "latency_interval_s": _section(answer, INTERVALS, "latency_", "_s"),
        **_section(answer, RATE),
        "device": device_record(answer),
        "increase_over_one_stream": _section(answer, INCREASES, "increase_"),
        "exchanges": exchange_rows(cost),
        "operators": [*operator_rows(cost.prefill), *operator_rows(cost.decode)],
    }
    if answer.published is not None:
        record["published"] = published_record(answer)
    return record


def _section(
    answer: Answer, columns: Sequence[Column], before: str = "", after: str = ""
) -> Record:
    """Columns of the estimate's row, their names without the words of their section."""
    return {
        column.name.removeprefix(before).removesuffix(after): _value(column, answer)
        for column in columns
        if column.only != "sweep"
    }


def _value(column: Column, answer: Answer) -> Any:
    """What a column holds of a single request."""
    value = column.value(answer)
    if column.kind == "name":
        return value
    if column.kind == "switch":
        return bool(value)
    return float(value) if column.kind == "fraction" else whole(value)


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
            "origin": str(time.origin),
        }
        for time in phase.times
        if time.total_bytes or time.total_seconds
    ]


def published_record(answer: Answer) -> Record:
    """The paper's own numbers, under the names of `published_cost_model.csv`."""
    spec, workload = answer.cost.spec, answer.cost.workload
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
        **_section(answer, PUBLISHED, "published_"),
    }


def estimate_row(answer: Answer) -> Record:
    """The answer as one flat row, unit-bearing column names, for CSV: a sweep of one."""
    columns = ESTIMATE_COLUMNS if answer.published is None else (*ESTIMATE_COLUMNS, *PUBLISHED)
    return _section(answer, columns)


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
            "link": cost.hardware.link_among(single_count(time.operator.spans)),
            "spanned_devices": whole(time.operator.spans),
            "messages": whole(time.operator.messages * time.runs),
            "sent_bytes": whole(time.operator.link_bytes * time.runs),
            "seconds": whole(time.total_seconds),
        }
        for phase in (cost.prefill, cost.decode)
        for time in phase.times
        if time.operator.kind == "exchange" and time.runs
    ]


def device_record(answer: Answer) -> Record:
    """The device, whether the request fits it, and what would."""
    hardware = answer.cost.hardware
    found = _section(answer, DEVICE, "device_")
    return {
        "name": hardware.name,
        "description": hardware.description,
        "device_memory_bytes": found.pop("memory_bytes"),
        **found,
    }
