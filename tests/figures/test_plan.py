"""Figures of plans and of serving: captions, fronts, and plans of a few points.

`test_style.py` reads the labels of the usual ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from cost_analysis.figures import plan, style
from cost_analysis.search.plan import Limits
from tests.helpers.figure_cases import STREAMS, planned, served

DEGENERATE: dict[str, Callable[[], Figure]] = {
    "one stream planned": lambda: plan.pareto(planned((1,))),
    "many streams planned": lambda: plan.pareto(planned(tuple(range(1, 13)))),
    "under load": lambda: plan.pareto(planned((2, 8), 3.0, Limits())),
    "tiny models only": lambda: plan.pareto(planned((1, 8), None, Limits(), 3e8)),
    "one feasible size": lambda: plan.pareto(planned((1, 2), None, Limits(), 6e7)),
    "one stream served": lambda: plan.throughput(served((1,))),
    "single tokens": lambda: plan.throughput(served(STREAMS, (512, 1))),
    "nothing fits": lambda: plan.throughput(served(STREAMS, (512, 128), 1e9)),
    "one request fits": lambda: plan.throughput(served((1, 2), (9000, 128), 4e9)),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_figures_are_drawn(name: str) -> None:
    assert style.picture(DEGENERATE[name], "svg")


def words(text: str) -> str:
    """The text with plain spaces."""
    return text.replace(style.UNBROKEN, " ")


def test_captions_say_what_was_chosen_from() -> None:
    caption = words(plan.pareto_caption(*planned()))
    assert "NVIDIA A100 SXM4 80 GB, engine graphs, weights bf16; batch 1, " in caption
    assert "above 4.41B parameters it is extrapolated" in caption
    assert "3 requests/s at random" in words(plan.pareto_caption(*planned((2, 8), 3.0, Limits())))
    caption = words(plan.serving_caption(served()))
    assert "512 input and 128 output tokens. Wider model: " in caption
    assert "Wider model" not in plan.serving_caption(served((1,)))


def test_a_front_falls_from_the_cheapest_to_the_best() -> None:
    cost, loss = np.array([3.0, 1.0, 2.0, 2.5]), np.array([1.0, 3.0, 2.0, 2.5])
    found = plan._front(np.array([True] * 4), cost, loss)
    assert [each.tolist() for each in found] == [[1, 2, 3], [3, 2, 1]]
    found = plan._front(np.array([False, True, True, True]), cost, loss)
    assert [each.tolist() for each in found] == [[1, 2], [3, 2]]


def test_markers_lie_along_the_whole_curve() -> None:
    cost = np.geomspace(1.0, 1000.0, 500)
    places = plan._spread_out(cost)
    assert (places[0], places[-1], len(places)) == (0, 499, plan.MARKS)
    assert list(plan._spread_out(np.array([]))) == []


def test_the_limit_and_the_plan_are_drawn() -> None:
    question, found = planned()
    figure = plan.pareto((question, found))
    latency = figure.axes[1]
    limits = [line for line in latency.lines if np.asarray(line.get_xdata()).tolist() == [1.0, 1.0]]
    assert len(limits) == 1
    best = found.ranking[0]
    stars = [
        np.asarray(line.get_xydata()).tolist() for line in latency.lines if line.get_marker() == "*"
    ]
    assert stars == [[[found.found.latency[best], found.found.loss[best]]]]
