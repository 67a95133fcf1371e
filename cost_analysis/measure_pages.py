"""Measurements and verdicts as records and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cost_analysis.increases import Measured
from cost_analysis.journal_rows import (
    Failed,
    Finding,
    Loaded,
    Row,
    Run,
    counted_runs,
    requests_of,
    rows_of,
)
from cost_analysis.records import Record, finite
from cost_analysis.report import Page, Table
from cost_analysis.stability import MAXIMUM_SPREAD, relative_spread
from cost_analysis.units import format_bytes, format_ratio, format_seconds
from cost_analysis.validation_plan import plan_of
from cost_analysis.verdicts import CLAIM_NAMES, Verdict


def verdict_record(verdict: Verdict) -> Record:
    """A verdict as one flat record."""
    return {
        "claim": verdict.claim,
        "P": verdict.streams,
        "predicted_ratio": verdict.predicted,
        "measured_ratio": finite(verdict.measured),
        "measured_ratio_low": finite(verdict.low),
        "measured_ratio_high": finite(verdict.high),
        "verdict": verdict.verdict,
        "why": verdict.why,
    }


def validation_page(
    rows: Sequence[Row], found: Mapping[str, Measured], verdicts: Sequence[Verdict]
) -> Page:
    """Verdicts first, then what they were read from."""
    plan = plan_of(rows)
    title = (
        f"Do streams add less here? {plan.size} models, {plan.dtype}, "
        f"batch {plan.batch_size}, {plan.input_length} in, {plan.output_length} out"
    )
    where = plan.machine.cpu or plan.device
    summary = (f"on {where}, {_threads(rows)}, engine {plan.engine}",)
    return Page(
        title,
        summary,
        (_verdict_table(verdicts), _measured_table(rows, found)),
        tuple(_notes(rows, found)),
    )


def merged_page(judged: Mapping[str, tuple[Sequence[Row], Sequence[Verdict]]]) -> Page:
    """The verdicts of several journals side by side, the largest P of each."""
    body = []
    for name, (rows, verdicts) in judged.items():
        plan = plan_of(rows)
        most = max((verdict.streams for verdict in verdicts), default=0)
        body += [
            (
                name,
                f"{plan.size} {plan.dtype}",
                CLAIM_NAMES[verdict.claim],
                f"{verdict.predicted:.2f}",
                format_ratio(verdict.measured),
                verdict.verdict,
            )
            for verdict in verdicts
            if verdict.streams == most
        ]
    machines = {
        name: f"{plan_of(rows).machine.cpu}, {_threads(rows)}" for name, (rows, _) in judged.items()
    }
    headers = ("journal", "models", "claim", "claimed", "measured", "verdict")
    return Page(
        f"Do streams add less? {len(judged)} runs, the most streams of each",
        tuple(f"{name}: {machine}" for name, machine in machines.items()),
        (Table("Ratio of increases", headers, tuple(body), left=(0, 1, 2, 5)),),
    )


def _threads(rows: Sequence[Row]) -> str:
    counts = sorted({row.threads for row in rows_of(rows, Loaded)})
    return f"{' or '.join(map(str, counts))} threads" if counts else "nothing loaded"


def _verdict_table(verdicts: Sequence[Verdict]) -> Table:
    rows = tuple(
        (
            CLAIM_NAMES[verdict.claim],
            str(verdict.streams),
            f"{verdict.predicted:.2f}",
            format_ratio(verdict.measured),
            f"{format_ratio(verdict.low)} to {format_ratio(verdict.high)}"
            if verdict.low < verdict.high
            else "",
            verdict.verdict,
        )
        for verdict in verdicts
    )
    headers = ("claim", "P", "claimed", "measured", "interval", "verdict")
    return Table("Ratio of increases: parameters over streams", headers, rows, left=(0, 5))


def _measured_table(rows: Sequence[Row], found: Mapping[str, Measured]) -> Table:
    body = []
    labels = {job.job: job.label for job in plan_of(rows).jobs}
    for label, measured in found.items():
        runs = [run for run in counted_runs(rows) if labels[run.job] == label]
        requests = [request for run in runs for request in requests_of(run)]
        total = np.median([request.total for request in requests])
        prefill = np.median([request.prefill for request in requests])
        steps = [np.median(request.steps) for request in requests if request.steps]
        body.append(
            (
                label,
                format_bytes(measured.memory),
                format_seconds(float(prefill)),
                format_seconds(float(np.median(steps))) if steps else "",
                format_seconds(float(total)),
                f"{np.median(measured.ratios['total']):.3f}",
                str(len(runs)),
            )
        )
    headers = ("model", "memory", "TTFT", "TPOT", "request", "× base", "runs")
    return Table("Measured, medians", headers, tuple(body))


def _notes(rows: Sequence[Row], found: Mapping[str, Measured]) -> list[str]:
    failed = {row.job: row.reason for row in rows_of(rows, Failed)}
    failed |= plan_of(rows).refused
    alone = [label for label, measured in found.items() if not measured.paired]
    return [
        "claimed: the paper's cost model for this request on its A100; for TTFT, TPOT "
        "and energy the paper makes no claim, so 1: any advantage at all",
        "free: the streams add nothing measurable",
        "memory: of a process, beyond what it held before the model was loaded",
        *(f"{name} was not measured: {reason}" for name, reason in failed.items()),
        *([f"not run beside the base, so not paired: {', '.join(alone)}"] if alone else []),
        *_energy_note(rows),
        *stability_notes(rows, found),
    ]


def _energy_note(rows: Sequence[Row]) -> list[str]:
    runs = [run for run in rows_of(rows, Run) if run.energy_missing]
    if not runs:
        return []
    unread = any(run.energy_joules is None for run in runs)
    reasons = "; ".join(sorted({run.energy_missing for run in runs}))
    return [f"{'energy could not be read' if unread else 'energy'}: {reasons}"]


def stability_notes(rows: Sequence[Row], found: Mapping[str, Measured]) -> list[str]:
    """Why a measurement may not be trusted, and what would help."""
    notes = [f"unstable: {finding.text}" for finding in rows_of(rows, Finding)]
    wide = [
        label
        for label, measured in found.items()
        if relative_spread(measured.ratios["total"].tolist()) > MAXIMUM_SPREAD
    ]
    if wide:
        notes.append(
            f"unstable: times over the base's vary by more than {MAXIMUM_SPREAD:.0%} for "
            f"{', '.join(wide)}; close other programs, or give more --rounds"
        )
    return notes
