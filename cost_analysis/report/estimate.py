"""The answer of `estimate` as a page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

from cost_analysis.common.arrays import Number, single
from cost_analysis.common.units import (
    format_bytes,
    format_count,
    format_flops,
    format_interval,
    format_per,
    format_seconds,
    gib,
)
from cost_analysis.cost.estimate import Answer, Estimate, Increase, increase
from cost_analysis.cost.latency import Phase
from cost_analysis.cost.memory import NOT_COUNTED
from cost_analysis.cost.published import SCRIPT_ROOFS, cost_on, system_roofs
from cost_analysis.inputs.weights import active_parameters
from cost_analysis.kernels.times import FITTED, INSIDE, MODELLED
from cost_analysis.report.estimate_record import device_record, operator_rows
from cost_analysis.report.layouts import (
    devices_in_words,
    exchange_tables,
    layout_lines,
    layout_notes,
    operators_whose,
)
from cost_analysis.report.render import PLAIN_WIDTH, Page, Record, Table

Format = Callable[[float], str]


def estimate_page(answer: Answer) -> Page:
    """The answer to "how much memory and time, where do they go, what do the streams cost"."""
    cost = answer.cost
    tables = [_answer_table(answer), _memory_table(answer)]
    tables += exchange_tables(cost)
    tables += [_phase_table(phase, cost) for phase in (cost.prefill, cost.decode) if phase.seconds]
    title, summary = _title(answer), _summary(answer)
    if answer.published is not None:
        tables = [_published_table(answer), _gaps_table(answer), *tables[:2]]
        title = f"The published cost model: {title}"
        summary = [*_script_lines(answer), "", f"Ours, engine {cost.engine.name}:", *summary]
    return Page(title, tuple(summary), tuple(tables), tuple(_notes(answer)))


def _title(answer: Answer) -> str:
    cost = answer.cost
    device = devices_in_words(cost.hardware, cost.layout)
    return f"{answer.request.title}, P = {cost.spec.streams}, on {device}"


def _script_lines(answer: Answer) -> list[str]:
    """What the published script prints, and what its formula gives for the user's device."""
    cost, paper = answer.cost, answer.published
    assert paper is not None
    script = cost_on(cost.spec, cost.workload, SCRIPT_ROOFS)
    lines = [
        f"Memory: {gib(single(script.total_memory)):.3f}GB; Latency: {script.total_latency:.3f}s"
        "   (the script's own line; its GB are GiB)"
    ]
    if paper != script:
        lines.append(
            f"Latency: {paper.total_latency:.3f}s on the device and at the efficiencies asked for,"
        )
        lines.append("which the script ignores: the tables below go by these")
    return lines


def _summary(answer: Answer) -> list[str]:
    cost = answer.cost
    spec, work = cost.spec, cost.workload
    change = increase(cost, answer.baseline)
    memory = format_bytes(single(cost.memory.total))
    total = format_seconds(single(cost.total))
    counts = cost.parameters
    active = single(active_parameters(spec))
    used = f", {format_count(active)} active" if active != counts.total else ""
    return [
        *([] if spec.is_plain else [spec.layers_in_words]),
        f"{format_count(single(counts.total))} parameters "
        f"({format_count(single(counts.non_embedding))} without embeddings{used}), "
        f"{cost.precision.weights}, batch {work.batch_size:.0f}, "
        f"{work.input_length:.0f} in, {work.output_length:.0f} out",
        *layout_lines(cost),
        "",
        f"Memory   {memory:>10}{_over(change['memory'], format_bytes, spec.streams)}",
        f"Latency  {total:>10}{_over(change['total'], format_seconds, spec.streams)}",
        *_interval_lines(cost),
        *_fit_lines(answer),
    ]


def _interval_lines(cost: Estimate) -> list[str]:
    """Where 80 % of measured runs would lie, by the errors on runs that the fit had not seen."""
    times = {"": cost.total, "TTFT ": cost.ttft}
    if cost.workload.decode_steps > 0:
        times["TPOT "] = cost.tpot
    intervals = {name: cost.interval(seconds) for name, seconds in times.items()}
    shown = [
        f"{name}{format_interval(*map(single, ends))}" for name, ends in intervals.items() if ends
    ]
    if not shown:
        return []
    total, *phases = shown
    lines = [f"{total} in 80 % of measured runs,", ", ".join(phases)]
    return [f"         {line}" for line in (*lines, cost.system.widened(cost.spec)) if line]


def _over(change: Increase, form: Format, streams: Number) -> str:
    if streams == 1:
        return ""
    return f"   {_signed(change, form)} ({change.relative:+.2%}) over one stream"


def _signed(change: Increase, form: Format) -> str:
    sign = "-" if change.absolute < 0 else "+"
    return f"{sign}{form(abs(single(change.absolute)))}"


def _fit_lines(answer: Answer) -> list[str]:
    device = device_record(answer)
    whole, room = device["device_memory_bytes"], device["free_bytes"]
    if room < 0:
        return [
            f"Does not fit: needs {format_bytes(-room)} more than the {format_bytes(whole)} "
            "of the device",
            *_limits(answer.cost, device),
        ]
    return [
        f"Fits     {format_bytes(room):>10} of {format_bytes(whole)} left",
        *_limits(answer.cost, device),
    ]


def _limits(cost: Estimate, device: Record) -> list[str]:
    """What would fit; in two lines where one would be too long for a terminal."""
    batch, context = device["largest_batch_size"], device["longest_context_tokens"]
    longest = cost.spec.max_position_embeddings
    made_for = f" (made for {longest:,})" if context > longest else ""
    alone = (
        f"longest context {context:,} tokens{made_for}" if context else "no context at this batch"
    )
    line = f"         largest batch {batch:,}, or {alone}"
    if len(line) <= PLAIN_WIDTH:
        return [line]
    return [f"         largest batch {batch:,}, or", f"         {alone}"]


def _answer_table(answer: Answer) -> Table:
    cost, base = answer.cost, answer.baseline
    change = increase(cost, base)
    named: list[tuple[str, Increase, Format]] = [
        ("Memory", change["memory"], format_bytes),
        ("Time to first token (TTFT)", change["ttft"], format_seconds),
        ("Time per output token (TPOT)", change["tpot"], format_seconds),
        ("Latency of the request", change["total"], format_seconds),
        (
            "Output tokens per second",
            Increase(base.tokens_per_second, cost.tokens_per_second),
            lambda rate: format_per(rate, "s"),
        ),
    ]
    rows = tuple(
        (
            name,
            *_cells(form, item.value, item.baseline),
            _signed(item, form),
            f"{item.relative:+.2%}",
        )
        for name, item, form in named
        if not math.isnan(single(item.value))
    )
    if cost.spec.streams == 1:
        return Table("Cost", ("", "P = 1"), tuple(row[:2] for row in rows))
    headers = ("", f"P = {cost.spec.streams}", "P = 1", "difference", "")
    return Table("What the streams cost", headers, rows)


def _memory_table(answer: Answer) -> Table:
    cost, base = answer.cost.memory, answer.baseline.memory
    named = [
        ("Layers", "layers"),
        ("Embeddings", "embedding"),
        ("LM head", "lm_head"),
        ("Prefixes", "prefix"),
        ("Aggregator", "aggregator"),
        ("KV cache", "kv_cache"),
        ("Activations, peak", "activations"),
        ("Total", "total"),
    ]
    rows = [
        (
            label,
            format_bytes(getattr(cost, name)),
            f"{getattr(cost, name) / cost.total:.1%}",
            format_bytes(getattr(base, name)),
            _signed(Increase(getattr(base, name), getattr(cost, name)), format_bytes),
        )
        for label, name in named
        if getattr(cost, name)
    ]
    columns = 3 if answer.cost.spec.streams == 1 else 5
    headers = ("", f"P = {answer.cost.spec.streams}", "share", "P = 1", "difference")
    return Table(
        "Memory", headers[:columns], tuple(row[:columns] for row in rows), last_is_total=True
    )


def _phase_table(phase: Phase, cost: Estimate) -> Table:
    """Operators of a phase; where kernels were measured, with the origin of each time."""
    operators = operator_rows(phase)
    rows = [
        (
            row["operator"],
            format_flops(row["flops"]) if row["flops"] else "",
            format_bytes(row["bytes"]) if row["bytes"] else "",
            f"{row['intensity_flop_per_byte']:.4g}" if row["flops"] else "",
            format_seconds(row["seconds"]),
            f"{row['seconds'] / phase.seconds:.1%}",
            row["bound"],
            "" if row["part"] == "host" else _origin_in_short(row["origin"]),
        )
        for row in operators
    ]
    total = (
        "Total",
        format_flops(single(phase.flops)),
        format_bytes(single(phase.bytes)),
        f"{sum(row['kernel_flops'] for row in operators) / phase.bytes:.4g}",
        format_seconds(single(phase.seconds)),
        "100.0%",
        "",
        "",
    )
    title = {"prefill": "Prefill: one pass over the prompt", "decode": "Decode: all steps"}
    headers = ("operator", "compute", "traffic", "FLOP/B", "time", "share", "bound by", "from")
    # FLOPs per byte give way to the origin, so that the table fits a terminal; files have both.
    measured = any(row["origin"] != MODELLED for row in operators)
    left_out = {3} if measured else {7}
    if any(len(row[7]) > len(FITTED) for row in rows):
        left_out.add(5)  # words of tables are long; shares are those of the times beside them
    kept = [place for place in range(len(headers)) if place not in left_out]
    return Table(
        title[phase.name] + operators_whose(cost),
        tuple(headers[place] for place in kept),
        tuple(tuple(row[place] for place in kept) for row in (*rows, total)),
        left=tuple(kept.index(place) for place in (0, 6, 7) if place in kept),
        last_is_total=True,
    )


def _origin_in_short(origin: str) -> str:
    """The origin of a time in a word that leaves room for names of operators."""
    short = {MODELLED: "model", INSIDE: "incl."}
    return short.get(origin, origin.replace("extrapolated", "beyond"))


def _cells(form: Format, *values: Number) -> tuple[str, ...]:
    """Figures of one quantity, in words."""
    return tuple(form(single(value)) for value in values)


def _published_table(answer: Answer) -> Table:
    paper, cost = answer.published, answer.cost
    assert paper is not None
    own_weights = cost.memory.weights - cost.memory.aggregator
    rows = (
        ("Weights", *_cells(format_bytes, paper.weight_memory, own_weights)),
        ("Aggregator", *_cells(format_bytes, paper.aggregate_memory, cost.memory.aggregator)),
        ("KV cache", *_cells(format_bytes, paper.kv_cache_memory, cost.memory.kv_cache)),
        (
            "Activations, peak",
            *_cells(format_bytes, paper.prefill_activation_memory, cost.memory.activations),
        ),
        ("Memory", *_cells(format_bytes, paper.total_memory, cost.memory.total)),
        ("Prefill", *_cells(format_seconds, paper.prefill_latency, cost.ttft)),
        (
            "One decode step",
            *_cells(format_seconds, paper.decode_latency_per_token),
            *(_cells(format_seconds, cost.tpot) if cost.workload.decode_steps else ("none",)),
        ),
        (
            "Aggregator, whole request",
            *_cells(format_seconds, paper.aggregate_latency),
            "in the passes",
        ),
        ("Latency", *_cells(format_seconds, paper.total_latency, cost.total)),
    )
    ours = f"ours, engine {cost.engine.name}"
    return Table("Term by term", ("", "published", ours), rows)


def _gaps_table(answer: Answer) -> Table:
    # Only reports of the published cost model need these, so that others start faster.
    from cost_analysis.cost.published_gaps import gaps

    cost = answer.cost
    rows = tuple(
        (
            item.what,
            "" if item.memory is None else _signed(Increase(0.0, item.memory), format_bytes),
            "" if item.latency is None else _signed(Increase(0.0, item.latency), format_seconds),
        )
        for item in gaps(cost.spec, cost.workload, system_roofs(cost.system))
    )
    return Table("Where it differs from a real run", ("", "memory", "latency"), rows)


def _reached(cost: Estimate) -> str:
    """The shares of the datasheet that large products and large reads reach."""
    hardware, dtype = cost.hardware, cost.precision.compute
    flops = cost.engine.flops_rate(hardware, dtype) / hardware.matmul_peak(dtype)
    bandwidth = cost.engine.bytes_rate(hardware) / hardware.bandwidth
    return f"{flops:.3g} of peak FLOP/s, {bandwidth:.3g} of bandwidth"


def _kernels_note(cost: Estimate) -> str:
    """Where the times of measured kernels are from."""
    device, how = cost.hardware.kernels, cost.system.kernels
    relative = "" if device == cost.hardware.name else f", scaled from {device}, the same chip"
    by = "curves fitted to" if how == "fitted" else "interpolation in"
    engines = {getattr(cost.engine.kernels, item.name) for item in fields(cost.engine.kernels)}
    whose = ", ".join(sorted(engines - {""}))
    return (
        f"kernels that are {how}: {by} NVIDIA's timings of {whose} on {device}{relative} "
        "(aiconfigurator-core 0.12.0, Apache-2.0); all others are modelled"
        + ("; beyond x2: extrapolated to twice the largest size" if how == "measured" else "")
    )


def _notes(answer: Answer) -> list[str]:
    cost, request = answer.cost, answer.request
    filled = {name: value for name, value in request.assumed.items() if name != "engine"}
    notes = [f"assumed: {name} = {value}" for name, value in filled.items()]
    chosen = " (assumed)" if "engine" in request.assumed else ""
    notes.append(f"engine {cost.engine.name}{chosen}: {_reached(cost)}; {cost.engine.source}")
    origins = {time.origin for phase in (cost.prefill, cost.decode) for time in phase.times}
    if origins - {MODELLED}:
        notes.append(_kernels_note(cost))
    for dtype in dict.fromkeys((cost.precision.compute, cost.precision.accumulate)):
        used = cost.hardware.peak_dtype(dtype)
        if used != dtype.unit:
            notes.append(
                f"{cost.hardware.name} has no {dtype.unit} units: {dtype.unit} products are "
                f"computed in {used}"
            )
    notes += layout_notes(cost)
    notes.append(f"memory not counted: {NOT_COUNTED}")
    notes.append(
        "FLOPs are those of matrix products, two a multiply-add, attention as the full rectangle; "
        "time and FLOP/B are those of the causal triangle that a fused kernel computes"
    )
    return notes
