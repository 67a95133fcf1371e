"""Parity with the published code as records and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from cost_analysis.parity import TOLERANCE, Outcome
from cost_analysis.records import Record
from cost_analysis.report import Page, Table


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
