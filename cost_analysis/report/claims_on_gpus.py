"""The claims on measured devices and engines as records and a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from cost_analysis.common.units import format_figure, format_ratio
from cost_analysis.compare.claims_on_gpus import ClaimsOnGpus, Ends, GpuReading, OnGpu
from cost_analysis.compare.crossover import Crossover
from cost_analysis.compare.noise import Added
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.report.claims import listed
from cost_analysis.report.estimate_record import finite
from cost_analysis.report.render import Page, Record, Table

SLOWER_ALONE = 1.2
"""Factor by which a product with one row takes longer than with several, from which it is said."""

SHORTEST_INTERVAL = len("6.02 (4.13-11.1)")


def gpu_records(found: ClaimsOnGpus) -> list[Record]:
    """Every reading as one flat record: the published cost model's first."""
    papers = [_record(reading, found.asked.base, None) for reading in found.papers]
    return papers + [
        _record(reading, found.asked.base, gpu) for gpu in found.gpus for reading in gpu.readings
    ]


def _record(reading: GpuReading, base: ModelSpec, gpu: OnGpu | None) -> Record:
    added, setting, of_first = reading.latency, reading.setting, None
    if gpu is not None and reading in gpu.of(reading.streams):
        of_first = gpu.ends.get(reading.streams)
    return {
        "cost_model": "published" if gpu is None else "operators",
        "device": reading.system.hardware.name,
        "engine": "" if gpu is None else reading.system.engine.name,
        "kernels": "" if gpu is None else reading.system.kernels,
        "baseline": reading.method,
        "dataset": reading.dataset,
        "base": base.name.upper(),
        "P": reading.streams,
        "batch_size": listed(setting.batch_sizes),
        "input_length": listed(setting.input_lengths),
        "output_length": listed(setting.output_lengths),
        "memory_ratio": finite(reading.memory),
        "latency_ratio": finite(added.ratio),
        "latency_ratio_low": None if gpu is None else finite(added.low),
        "latency_ratio_high": None if gpu is None else finite(added.high),
        "is_free": added.is_free,
        "base_latency_s": added.base,
        "wider_latency_s": added.wider,
        "streams_latency_s": added.streams,
        "noise_latency_s": added.noise,
        "kernel_noise_relative": None if gpu is None else finite(gpu.noise),
        **{f"crossover_{axis}": _end_record(of_first, axis) for axis in Ends._fields},
    }


def _end_record(ends: Ends | None, axis: str) -> int | None:
    """Where streams stop paying on an axis; None where they do not, or it was not asked."""
    if ends is None:
        return None
    crossing: Crossover = getattr(ends, axis)
    return crossing.first


def gpu_claims_page(found: ClaimsOnGpus) -> Page:
    """What kernels say of the claim: ratios by device and engine, and where streams stop paying."""
    asked = found.asked
    others = [count for count in asked.counts if count != asked.streams]
    lengths = [listed(getattr(asked.setting, f"{end}_lengths")) for end in ("input", "output")]
    kernels = {"measured": "the tables of timings", "fitted": "curves fitted to timings"}
    summary = (
        "(parameter-scaled model - base) / (streamed model - base), cost as the mean",
        f"over input {lengths[0]} and output {lengths[1]} tokens;",
        f"times of kernels by {kernels[found.gpus[0].system.kernels]}",
        "",
        sentence(found),
        "",
        _memory_sentence(found),
    )
    tables = (_ratio_table(found), _added_table(found), *_stream_tables(found, others))
    title = (
        f"What measured kernels say of {asked.streams} streams on {asked.base.name.upper()} "
        "against parameters of equal loss"
    )
    return Page(title, summary, tables, tuple(_notes(found)))


def sentence(found: ClaimsOnGpus) -> str:
    """What the kernels say of the paper's latency ratio, at the first batch, in one sentence."""
    paper = found.papers[0].latency.ratio
    first = [gpu.of(found.asked.streams)[0].latency for gpu in found.gpus]
    free = [added for added in first if added.is_free]
    rest = [added for added in first if not added.is_free]
    parts = []
    if rest:
        ratios = [added.ratio for added in rest]
        parts.append(
            f"on {len(rest)} streams add {min(ratios):.3g} to {max(ratios):.3g} times less latency "
            f"than parameters, {median(ratios):.3g} in the median"
        )
    if free:
        most = max(added.at_most for added in free)
        parts.append(f"on {len(free)} they are free within the noise (they add {most:.1%} at most)")
    holds = sum(added.low <= paper <= added.high for added in first)
    above, below = (
        sum(added.low > paper for added in first),
        sum(added.high < paper for added in first),
    )
    batch = found.papers[0].setting.batch_sizes[0]
    pairs = "1 pair" if len(first) == 1 else f"{len(first)} pairs"
    return (
        f"What the kernels say of the paper's {paper:.3g} times at batch {batch}, by {pairs} of "
        f"device and engine: {' and '.join(parts)}; the paper's figure lies in the "
        f"interval of {holds}, below that of {above} and above that of {below}."
    )


def _memory_sentence(found: ClaimsOnGpus) -> str:
    readings = found.gpus[0].of(found.asked.streams)
    values = [f"{reading.memory:.3g} at batch {_batch(reading)}" for reading in readings]
    return (
        f"The ratio of memory is the same everywhere: {values[0]}"
        + (f", {values[-1]}" if len(values) > 1 else "")
        + f" (the paper's: {', '.join(f'{each.memory:.3g}' for each in _ends_of(found.papers))})."
    )


def _ends_of(readings: Sequence[GpuReading]) -> list[GpuReading]:
    """The first reading and, where there are several, the last."""
    return [readings[0], *readings[1:][-1:]]


def _batch(reading: GpuReading) -> str:
    return str(listed(reading.setting.batch_sizes))


def _header(reading: GpuReading) -> str:
    return "mean" if len(reading.setting.batch_sizes) > 1 else _batch(reading)


def ratio_cell(added: Added) -> str:
    """A ratio; a lower bound where streams add no more than the noise."""
    if not added.is_free:
        return _short(added.ratio)
    return f"> {_short(added.low)}"


def _short(ratio: float) -> str:
    """A ratio with two decimals, or three digits from 10 on."""
    is_long = math.isfinite(ratio) and abs(ratio) >= 10
    return format_figure(ratio) if is_long else format_ratio(ratio)


def _interval_cell(added: Added) -> str:
    if added.is_free or not added.noise:
        return ratio_cell(added).ljust(SHORTEST_INTERVAL)
    interval = f"({_short(added.low)}-{_short(added.high)})"
    return f"{ratio_cell(added)} {interval}".ljust(SHORTEST_INTERVAL)


def _names(gpu: OnGpu) -> tuple[str, str]:
    return gpu.system.hardware.name, gpu.system.engine.name


def _ratio_table(found: ClaimsOnGpus) -> Table:
    rows = [("the paper's", "cost model", *_ratio_cells(found.papers))]
    rows += [(*_names(gpu), *_ratio_cells(gpu.of(found.asked.streams))) for gpu in found.gpus]
    headers = ("device", "engine", *(_header(reading) for reading in found.papers))
    return Table(
        f"Latency ratio by batch, P = {found.asked.streams}", headers, tuple(rows), left=(0, 1, 2)
    )


def _ratio_cells(readings: Sequence[GpuReading]) -> tuple[str, ...]:
    first, *others = (reading.latency for reading in readings)
    return (_interval_cell(first), *(ratio_cell(added) for added in others))


def _added_table(found: ClaimsOnGpus) -> Table:
    streams = found.asked.streams
    rows = []
    for gpu in found.gpus:
        added, ends = gpu.of(streams)[0].latency, gpu.ends[streams]
        shares = (added.streams / added.base, added.noise / added.base, added.wider / added.base)
        cells = ("{:+.1%}", "{:.1%}", "{:+.1%}")
        shown = (cell.format(share) for cell, share in zip(cells, shares, strict=True))
        rows.append((*_names(gpu), *shown, *map(_end_cell, ends)))
    headers = ("device", "engine", "streams", "noise", "wider", "batch", "prompt")
    title = f"Added at batch {_batch(found.papers[0])}, and where {streams} streams stop paying"
    return Table(title, headers, tuple(rows), left=(0, 1))


def _end_cell(end: Crossover) -> str:
    return f"> {end.last}" if end.first is None else f"{end.first}"


def _stream_tables(found: ClaimsOnGpus, others: Sequence[int]) -> list[Table]:
    """One table of the other numbers of streams: ratios, and the batch where they stop paying."""
    known = [count for count in others if found.gpus[0].of(count)]
    if not known:
        return []
    several = len(found.papers) > 1
    rows = []
    for gpu in found.gpus:
        cells: list[str] = []
        for count in known:
            first, *rest = gpu.of(count)
            cells.append(ratio_cell(first.latency))
            cells += [ratio_cell(rest[-1].latency)] if several else []
            cells.append(_end_cell(gpu.ends[count].batch_size))
        rows.append((*_names(gpu), *cells))
    headers = ["device", "engine"]
    for count in known:
        headers += [f"P = {count}", *(["mean"] if several else []), "ends"]
    title = (
        f"Fewer streams: latency ratio at batch {_batch(found.papers[0])}"
        f"{', and as a mean' if several else ''}; the batch where they stop paying"
    )
    return [Table(title, tuple(headers), tuple(rows), left=(0, 1))]


def _notes(found: ClaimsOnGpus) -> list[str]:
    noises = [gpu.noise for gpu in found.gpus]
    first = found.gpus[0].readings[0]
    notes = [
        f"wider model ({first.method}, {first.dataset}): {found.baseline.description}",
        "> 5: streams add no more than the noise, and the ratio is 5 if they add all of it; mean: "
        "of the costs over these batches. Intervals and noise hold 80 % of repeated timings",
        f"noise: the ratio of a product's times at two numbers of rows repeats within "
        f"{min(noises):.1%} to {max(noises):.1%}, by device and engine; kernels of different "
        "shapes err independently, those of all layers and steps alike",
        "stop paying: the first batch, or prompt at batch 1, at which the streamed model takes "
        "longer than the wider one",
    ]
    notes += [
        f"{', '.join(_names(gpu))}: a product with one row takes {gpu.one_row:.2f} times as long "
        f"as with {found.asked.streams}, which flatters streams"
        for gpu in found.gpus
        if gpu.one_row > SLOWER_ALONE
    ]
    notes += _other_readings(found)
    notes.append(
        "modelled, not measured: norms and other small kernels, and the host; no scheduler"
    )
    return [*notes, *found.baseline.warnings]


def _other_readings(found: ClaimsOnGpus) -> list[str]:
    """By how much the other wider models change the ratios."""
    own, streams = found.gpus[0].readings[0].choice, found.asked.streams
    factors: dict[tuple[str, str], list[float]] = {}
    for gpu in found.gpus:
        (first, *_) = gpu.of(streams)
        for reading in gpu.readings:
            alike = reading.streams == streams and reading.setting == first.setting
            if alike and reading.choice != own:
                wider = reading.latency.wider / first.latency.wider
                factors.setdefault((reading.method, reading.dataset), []).append(wider)
    if not factors:
        return []
    shown = (f"{' on '.join(name)} {median(values):.2f}" for name, values in factors.items())
    return [f"by other wider models the ratios are smaller or larger, times: {', '.join(shown)}"]
