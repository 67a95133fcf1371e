"""Errors on rows that a fit has not seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cost_analysis import Workload, kv_cache_bytes, memory
from cost_analysis.fitting import accuracy
from cost_analysis.fitting.accuracy import (
    GROUPS,
    Prediction,
    held_out_errors,
    peak_memory,
    predictions,
    ratios,
    represented,
    summaries,
    summary,
)
from cost_analysis.fitting.engine_fit import EngineFit, fit_engines
from cost_analysis.fitting.measurements import (
    MEMORY_METRIC,
    PREFILL_METRICS,
    Measurement,
    read_measurements,
)
from cost_analysis.fitting.predictions import class_engines, measured_seconds
from cost_analysis.inputs.spec import ModelSpec
from tests.helpers.measured import source


@pytest.mark.golden
def test_a_fold_is_never_in_its_own_fit(
    rows: list[Measurement], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    fit = EngineFit(class_engines(), {}, {})

    def spy(measurements: list[Measurement], most_evaluations: int) -> EngineFit:
        assert most_evaluations > 0
        seen.append({source(row) for row in measurements})
        return fit

    monkeypatch.setattr(accuracy, "fit_engines", spy)
    errors = held_out_errors(rows, source)
    sources = sorted({source(row) for row in rows})
    assert np.isfinite(errors).all()
    assert [set(sources) - kept for kept in seen] == [{name} for name in sources]


@pytest.mark.golden
def test_a_single_source_is_held_out_against_the_priors(rows: list[Measurement]) -> None:
    """With no row left, the engines are where physics and single operators start them."""
    few = [row for row in rows if source(row) == "GPTFAST"]
    errors = held_out_errors(few, source, 2)
    assert np.isfinite(errors).all()
    assert np.median(np.abs(np.expm1(errors))) < 0.5


@pytest.mark.slow
@pytest.mark.golden
def test_a_recorded_fold_is_what_the_fit_gives(
    rows: list[Measurement], recorded: dict[str, dict[str, str]]
) -> None:
    kept = [row for row in rows if source(row) != "FT"]
    held = [row for row in rows if source(row) == "FT"]
    ratios = np.exp(fit_engines(kept).errors(held))
    # The recorded fold has seen two more sources, which are not in this repository.
    expected = [float(recorded[row.texts["id"]]["held out by source"]) for row in held]
    off = np.abs(ratios / np.array(expected) - 1.0)
    assert np.median(off) < 0.05
    assert off.max() < 0.25


@pytest.fixture(scope="module")
def predicted() -> list[Prediction]:
    return predictions(represented(read_measurements())[0])


def test_a_summary_by_hand() -> None:
    found = summary(np.array([-0.5, -0.1, 0.0, 0.1, 0.3]), [True, True, False, True, False])
    assert (found.rows, found.median, found.signed) == (5, 0.1, 0.0)
    assert found.covered == pytest.approx(0.6)
    assert found.ninety == pytest.approx(0.42)  # between 0.3 and 0.5, three fifths of the way
    assert np.isnan(summary(np.array([0.1])).covered)


def test_a_prediction_is_beside_what_was_measured(predicted: list[Prediction]) -> None:
    for each in predicted:
        row = each.measurement
        assert each.lower <= each.predicted <= each.upper
        assert each.covered == (each.lower <= row.value <= each.upper)
        ratio = each.predicted / row.value
        assert each.error == pytest.approx((1 / ratio if row.is_rate else ratio) - 1)


@pytest.mark.parametrize("by", GROUPS)
def test_groups_have_every_row_once(predicted: list[Prediction], by: str) -> None:
    found = summaries(predicted, by)
    assert sum(each.rows for each in found.values()) == len(predicted)
    assert list(found) == sorted(found)
    for name, each in found.items():
        errors = [item.error for item in predicted if GROUPS[by](item.measurement) == name]
        assert each.median == pytest.approx(np.median(np.abs(errors)))


def test_rows_of_a_batch_stand_beside_those_of_one_sequence(predicted: list[Prediction]) -> None:
    of = {each.measurement.texts["id"]: each for each in predicted}
    found = ratios(predicted, 8)
    assert len(found) > 3
    for pair in found:
        small, large = pair.small, pair.large
        assert (small.lengths["batch_size"], large.lengths["batch_size"]) == (1, 8)
        assert (small.texts["model"], small.metric) == (large.texts["model"], large.metric)
        # Times of the whole batch: a rate counts the tokens of all of it.
        grown = measured_seconds(large) / measured_seconds(small) * (8 if small.is_rate else 1)
        assert pair.measured == pytest.approx(grown)
        ours = [of[row.texts["id"]].predicted for row in (small, large)]
        expected = ours[1] / ours[0] if not small.is_rate else 8 * ours[0] / ours[1]
        assert pair.predicted == pytest.approx(expected)
        assert pair.error == pytest.approx(pair.predicted / pair.measured - 1)
    assert all(pair.small.metric != MEMORY_METRIC for pair in found)


def weighed(row: Measurement, note: str) -> float:
    return peak_memory(replace(row, texts={**row.texts, "note": note}))


def test_peak_memory_as_a_source_counts_it() -> None:
    rows = [row for row in read_measurements() if row.metric == MEMORY_METRIC]
    row = next(row for row in rows if row.lengths["output_length"] > 1)
    sizes: dict[str, Any] = dict(row.sizes)
    tied = row.switches["tie_word_embeddings"]
    spec = ModelSpec(
        **sizes, qkv_bias=False, tie_word_embeddings=tied, gated_mlp=row.switches["gated_mlp"]
    )
    lengths: dict[str, Any] = {name: max(length, 1) for name, length in row.lengths.items()}
    work = Workload(**lengths)
    held = memory(spec, work, row.precision)
    plain = weighed(row, "")
    assert plain == held.weights + held.kv_cache + held.activations
    cached = kv_cache_bytes(spec, work.batch_size, work.cached_tokens, row.precision)
    assert weighed(row, "2 x KV") == max(plain, held.weights + 2 * cached)
    logits = work.batch_size * work.input_length * spec.vocab_size * 4
    assert weighed(row, "fp32, all positions") >= plain + logits
    assert weighed(row, "everything on the device") > plain


def test_phases_that_were_measured_alone_are_there(predicted: list[Prediction]) -> None:
    assert {each.measurement.metric for each in predicted} > set(PREFILL_METRICS)
