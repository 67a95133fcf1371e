"""A profiled configuration as records and a page."""

from __future__ import annotations

from cost_analysis.profiling import Phase, Profile
from cost_analysis.records import Record, whole
from cost_analysis.report import Page, Table
from cost_analysis.system import Hardware
from cost_analysis.units import format_bytes, format_rate, format_seconds


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
    cost = profile.cost
    rows = tuple(_phase_row(phase, profile) for phase in profile.phases)
    headers = ("", "measured", "predicted", "off", "reached", "", "of peak")
    memory = (
        ("process", format_bytes(profile.memory), format_bytes(cost.memory.total),
         f"{cost.memory.total / profile.memory - 1:+.1%}"),
    )  # fmt: skip
    return Page(
        title,
        (f"{profile.rounds} runs, {profile.threads} threads, "
         f"loaded in {format_seconds(profile.load_seconds)}",),
        (
            Table("Time, medians", headers, rows),
            Table("Memory", ("", "measured", "predicted", "off"), memory),
        ),
        tuple(_notes(profile)),
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


def _notes(profile: Profile) -> list[str]:
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
