"""Real runs of small models in this process."""

from __future__ import annotations

import pytest
import torch

from cost_analysis import ModelSpec
from cost_analysis.measure.session import Job, Session

pytestmark = pytest.mark.torch
SMALL = ModelSpec(64, 96, 2, 4, 2, vocab_size=97)


def no_tell(_name: str, _round: int, _seconds: float) -> None:
    return


def test_a_session_times_every_phase() -> None:
    session = Session(Job("x", SMALL.with_streams(2), 2, 7, 5))
    for run in (session.run(), session.run()):
        assert len(run.steps) == 4
        assert all(step > 0 for step in (run.prefill, *run.steps))
        assert run.total == run.prefill + sum(run.steps)
    assert session.memory["peak"] >= session.memory["before"] > 0


def test_both_engines_compute_the_same() -> None:
    job = Job("x", SMALL.with_streams(2), 2, 7, 5)
    session = Session(job)
    with torch.inference_mode():
        tokens = session.prompt
        growing, fixed = session.model.new_cache(2), session.model.new_cache(2, 11)
        for cache in (growing, fixed):
            session.model(tokens, cache)
        position = torch.full((1, 1), 7)
        asked = session.model(tokens[:, :1], growing)
        expected = session.model(tokens[:, :1], fixed, positions=position)
    torch.testing.assert_close(asked, expected)


def test_a_renewed_cache_forgets_the_last_request() -> None:
    model = Session(Job("x", SMALL.with_streams(2), 1, 7, 2)).model
    first, second = torch.randint(0, 97, (2, 1, 7))
    with torch.inference_mode():
        cache = model.new_cache(1, 7)
        expected = model(first, cache)
        model.renew(cache, 1)
        other = model(second, cache)
        model.renew(cache, 1)
        torch.testing.assert_close(model(first, cache), expected)
    assert not torch.allclose(other, expected)
