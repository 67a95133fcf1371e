"""Streams against parameters in serving: what fits, and who is faster where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cost_analysis import InputError
from cost_analysis.inputs.layout import Layout
from cost_analysis.report.serving import batch_rows
from cost_analysis.search.queueing import Lengths, Server
from cost_analysis.search.serving import METRICS, read_lengths, serving_view
from tests.helpers.serving import BASE, H100, view


def test_models_are_the_streams_and_a_wider_one_of_equal_loss() -> None:
    found = view()
    assert [model.name for model in found.models] == ["P = 1", "P = 4", "wider"]
    assert [model.name for model in found.rivals] == ["P = 4", "wider"]
    assert found.chosen is not None
    assert found.wider is not None
    assert found.wider.server.spec == found.chosen.specs[0]
    assert all(0 < model.room <= 64 for model in found.models)
    alone = view((1,))
    assert (alone.wider, alone.chosen, alone.crossovers) == (None, None, ())
    assert alone.models == alone.rivals == alone.streams


def test_batches_are_powers_of_two_and_what_fits() -> None:
    (model,) = view((1,), (4000, 40), 10e9).models
    assert 2 < model.room < 64
    batches = model.batches.tolist()
    assert batches[:2] == [1, 2]
    assert batches[-1] == model.room
    assert all(batch == model.room or batch.bit_count() == 1 for batch in map(int, batches))


def test_a_model_that_does_not_fit_carries_nothing() -> None:
    found = view((1, 4), (200, 40), 1e9)
    assert [model.room for model in found.models] == [0, 0, 0]
    assert [model.carried for model in found.models] == [0, 0, 0]
    assert found.crossovers == ()
    assert not len(found.rates)
    assert batch_rows(found) == []


@pytest.mark.property
@pytest.mark.parametrize("metric", METRICS)
def test_a_crossover_is_where_the_other_becomes_faster(metric: str) -> None:
    found = view()
    (crossover,) = (each for each in found.crossovers if each.metric == metric)
    streamed, wider = found.rivals

    def wins(rate: float) -> bool:
        ours, theirs = (
            float(np.nan_to_num(getattr(model.load(rate), metric), nan=np.inf))
            for model in (streamed, wider)
        )
        return ours < theirs

    heaviest = max(streamed.carried, wider.carried)
    assert wins(1e-3 * heaviest) == crossover.wins_light
    if crossover.ends is None:
        rates = np.geomspace(1e-3 * heaviest, 0.999 * heaviest, 50)
        assert {wins(float(rate)) for rate in rates} == {crossover.wins_light}
    else:
        assert wins(0.999 * crossover.ends) == crossover.wins_light
        assert wins(1.001 * crossover.ends) != crossover.wins_light


def test_one_token_has_no_crossover_of_its_time_per_token() -> None:
    assert {each.metric for each in view((1, 4), (200, 1)).crossovers} == {"ttft", "latency"}


def test_questions_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="memory_limit is more than the memory of h100"):
        view((1,), (200, 40), 1e12)
    pipeline = replace(H100, layout=Layout(pipeline_parallel=2))
    with pytest.raises(InputError, match="serving knows no pipelines"):
        serving_view(Server(BASE, Lengths(9, 9), pipeline, most=9), (1,))


def test_lengths_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "lengths.csv"
    file.write_text("input_length,output_length\n100,20\n300,40\n")
    plain = read_lengths(str(file))
    assert (plain.mean(plain.prompts), plain.mean(plain.outputs)) == (200, 30)
    file.write_text("input_length,output_length,weight\n100,20,3\n300,40,1\n")
    weighted = read_lengths(str(file))
    assert (weighted.mean(weighted.prompts), weighted.mean(weighted.outputs)) == (150, 25)
    file.write_text("input_length,output_length\n")
    with pytest.raises(InputError, match="has no rows below its header"):
        read_lengths(str(file))
