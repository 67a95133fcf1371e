"""Measurements as records and pages: verdicts, a profiled configuration, parity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from cost_analysis.common.arrays import single
from cost_analysis.common.units import format_bytes, format_rate, format_ratio, format_seconds
from cost_analysis.inputs.device import Hardware
from cost_analysis.measure.journal import plan_of
from cost_analysis.measure.journal_rows import (
    Failed,
    Finding,
    Loaded,
    Row,
    Run,
    counted_runs,
    requests_of,
    rows_of,
)
from cost_analysis.measure.results import TOLERANCE, Outcome, Phase, Profile
from cost_analysis.measure.verdicts import CLAIM_NAMES, Measured, Verdict
from cost_analysis.report.estimate_record import finite
from cost_analysis.report.render import Page, Record, Table, whole
from cost_analysis.telemetry.energy import MAXIMUM_SPREAD, relative_spread


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


def phase_record(phase: Phase) -> Record:
    """A phase as one flat record."""
    return {
        "phase": phase.name,
        "measured_s": phase.measured,
        "measured_lower_quartile_s": phase.low,
        "measured_upper_quartile_s": phase.high,
        "predicted_s": phase.predicted,
        "flops": whole(phase.flops),
        "bytes": whole(phase.bytes),
        "achieved_flop_per_s": phase.flops_rate,
        "achieved_bytes_per_s": phase.bytes_rate,
    }


def profile_record(profile: Profile) -> Record:
    """A profile as a nested record."""
    return {
        "phases": [phase_record(phase) for phase in profile.phases],
        "memory_bytes": {
            "measured": whole(profile.memory),
            "predicted": whole(profile.cost.memory.total),
        },
        "load_s": profile.load_seconds,
        "threads": profile.threads,
        "runs": profile.rounds,
        "energy_joules": profile.energy,
        "energy_missing": profile.energy_missing,
        "unstable": list(profile.unstable),
    }


def profile_page(profile: Profile, title: str) -> Page:
    """Measured beside predicted."""
    predicted = single(profile.cost.memory.total)
    rows = tuple(_phase_row(phase, profile) for phase in profile.phases)
    headers = ("", "measured", "predicted", "off", "reached", "", "of peak")
    memory = (
        ("process", format_bytes(profile.memory), format_bytes(predicted),
         f"{predicted / profile.memory - 1:+.1%}"),
    )  # fmt: skip
    return Page(
        title,
        (f"{profile.rounds} runs, {profile.threads} threads, "
         f"loaded in {format_seconds(profile.load_seconds)}",),
        (
            Table("Time, medians", headers, rows),
            Table("Memory", ("", "measured", "predicted", "off"), memory),
        ),
        tuple(_profile_notes(profile)),
    )  # fmt: skip


def _phase_row(phase: Phase, profile: Profile) -> tuple[str, ...]:
    predicted, off, share = "", "", ""
    if phase.predicted is not None:
        predicted = format_seconds(phase.predicted)
        off = f"{phase.predicted / phase.measured - 1:+.1%}"
        share = _share(phase, profile.cost.hardware, profile)
    return (
        phase.name.removeprefix("decode "),
        format_seconds(phase.measured),
        predicted,
        off,
        format_rate(phase.bytes_rate, "B/s"),
        format_rate(phase.flops_rate, "FLOP/s"),
        share,
    )


def _share(phase: Phase, hardware: Hardware, profile: Profile) -> str:
    """Share of the roof that is nearer: bandwidth or compute."""
    peak = hardware.matmul_peak(profile.cost.precision.compute)
    shares = {
        "B/s": phase.bytes_rate / hardware.bandwidth,
        "FLOP/s": phase.flops_rate / peak,
    }
    name = max(shares, key=lambda roof: shares[roof])
    return f"{shares[name]:.0%} {name}"


def _profile_notes(profile: Profile) -> list[str]:
    notes = ["reached: by the least traffic and the FLOPs that the phase needs"]
    if profile.on_device:
        engine = profile.cost.engine
        notes.append(f"predicted on {profile.cost.hardware.description}, engine {engine.name}")
    else:
        notes.append(
            "no prediction: name the device with --gpu_config, or write its profile with "
            "`parscale-cost calibrate`"
        )
    if profile.energy is not None:
        notes.append(f"energy of a request: {profile.energy:.3g} J")
    elif profile.energy_missing:
        notes.append(f"energy could not be read: {profile.energy_missing}")
    return [*notes, *(f"unstable: {sentence}" for sentence in profile.unstable)]


def outcome_record(outcome: Outcome) -> Record:
    """One case as a flat record."""
    return {**asdict(outcome), "passed": outcome.passed}


def parity_page(outcomes: Sequence[Outcome]) -> Page:
    """Every model, its worst errors, and whether all is well."""
    failed = [outcome for outcome in outcomes if not outcome.passed]
    worst = max(max(outcome.prefill_error, outcome.decode_error) for outcome in outcomes)
    summary = (
        f"{len(outcomes) - len(failed)} of {len(outcomes)} cases agree; the worst logit is off "
        f"by {worst:.1e}, {TOLERANCE:.0e} is allowed",
    )
    names = dict.fromkeys((outcome.model, outcome.attention, outcome.cache) for outcome in outcomes)
    rows = tuple(_row(name, outcomes) for name in names)
    headers = ("model", "attention", "cache", "cases", "prefill", "decode", "greedy")
    notes = tuple(f"failed: {o.model}, {o.case}, {o.attention}, {o.cache}" for o in failed)
    return Page(
        "The measured model against the published modeling code",
        summary,
        (Table("Largest differences of a logit", headers, rows, left=(0, 1, 2, 6)),),
        notes,
    )


def _row(name: tuple[str, str, str], outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    own = [o for o in outcomes if (o.model, o.attention, o.cache) == name]
    greedy = [o.same_tokens for o in own if o.same_tokens is not None]
    return (
        *name,
        str(len([o for o in own if o.same_tokens is None])),
        f"{max(o.prefill_error for o in own):.1e}",
        f"{max(o.decode_error for o in own):.1e}",
        "" if not greedy else "same tokens" if all(greedy) else "differs",
    )
