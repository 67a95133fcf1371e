"""The claims by storage formats as records and a page."""

from __future__ import annotations

from collections.abc import Sequence

from cost_analysis.baselines import Baseline
from cost_analysis.claim_pages import listed
from cost_analysis.format_claims import FormatClaim, Terms
from cost_analysis.records import Record, finite
from cost_analysis.report import Page, Table
from cost_analysis.request_costs import Setting, System
from cost_analysis.sizes import FLAGS
from cost_analysis.spec import ModelSpec, Precision
from cost_analysis.units import format_bytes, format_ratio, format_seconds

_UNITS = {
    "memory": "bytes",
    "weights": "bytes",
    "learned": "bytes",
    "cache": "bytes",
    "activations": "bytes",
    "latency": "s",
    "prefill": "s",
    "decode": "s",
}


def format_claim_record(claim: FormatClaim) -> Record:
    """A claim as one flat record."""
    formats = claim.precision
    return {
        FLAGS["weights"]: formats.weights,
        FLAGS["activations"]: formats.activations,
        FLAGS["kv_cache"]: formats.kv_cache,
        "memory_ratio": finite(claim.memory_ratio),
        "latency_ratio": finite(claim.latency_ratio),
        **_increases("wider", claim.wider),
        **_increases("streams", claim.streams),
    }


def _increases(who: str, terms: Terms) -> Record:
    return {f"{who}_{name}_{unit}": getattr(terms, name) for name, unit in _UNITS.items()}


def format_claims_page(
    claims: Sequence[FormatClaim],
    streamed: ModelSpec,
    baseline: Baseline,
    setting: Setting,
    system: System,
) -> Page:
    """What the wider model and the streams add in each choice of formats."""
    batch, prompt, output = (
        listed(getattr(setting, name))
        for name in ("batch_sizes", "input_lengths", "output_lengths")
    )
    return Page(
        f"What {streamed.streams} streams add to {streamed.name.upper()} in fewer bits, and what "
        "parameters add",
        (
            f"batch {batch}, the mean over input {prompt} and output {output} tokens,",
            f"on {system.hardware.description}, engine {system.engine.name}",
            f"wider, by {baseline.method}: {baseline.description}",
        ),
        (_memory_table(claims), _time_table(claims)),
        (
            "format: weights/activations/cache",
            "ratio: what the wider model adds to P = 1, over what the streams add",
            "learned: prefixes and aggregator, which stay 16-bit",
            *_narrow_products(claims, system),
            *baseline.warnings,
        ),
    )


def _memory_table(claims: Sequence[FormatClaim]) -> Table:
    rows = tuple(
        (
            _formats(claim.precision),
            format_bytes(claim.wider.memory),
            format_bytes(claim.streams.learned),
            format_bytes(claim.streams.cache),
            format_bytes(claim.streams.activations),
            format_ratio(claim.memory_ratio),
        )
        for claim in claims
    )
    headers = ("format", "wider adds", "streams: learned", "cache", "activations", "ratio")
    return Table("Memory", headers, rows)


def _time_table(claims: Sequence[FormatClaim]) -> Table:
    rows = tuple(
        (
            _formats(claim.precision),
            format_seconds(claim.wider.prefill),
            format_seconds(claim.wider.decode),
            format_seconds(claim.streams.prefill),
            format_seconds(claim.streams.decode),
            format_ratio(claim.latency_ratio),
        )
        for claim in claims
    )
    headers = ("format", "wider: prefill", "decode", "streams: prefill", "decode", "ratio")
    return Table("Latency", headers, rows)


def _formats(formats: Precision) -> str:
    return f"{formats.weights}/{formats.activations}/{formats.kv_cache}"


def _narrow_products(claims: Sequence[FormatClaim], system: System) -> list[str]:
    """What the device computes in a wider type."""
    used = {
        dtype.unit: system.hardware.peak_dtype(dtype)
        for dtype in (claim.precision.compute for claim in claims)
    }
    return [
        f"{system.hardware.name} has no {unit} units: {unit} products are computed in {wider}"
        for unit, wider in used.items()
        if unit != wider
    ]
