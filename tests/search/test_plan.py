"""Plans against an exhaustive check with single estimates on small grids."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cost_analysis import (
    InputError,
    ModelSpec,
    Precision,
    Workload,
    load_engine,
    load_hardware,
)
from cost_analysis.common.arrays import single
from cost_analysis.common.units import parse_quantity
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.inputs.system import System
from cost_analysis.law.family import family, size_of
from cost_analysis.law.runs import published_runs
from cost_analysis.law.scaling_law import ScalingLaw, fit
from cost_analysis.search import candidates
from cost_analysis.search import plan as plan_search
from cost_analysis.search.candidates import Space, boards, setups
from cost_analysis.search.plan import OBJECTIVES, InfeasibleError, Limits, Question, plan
from cost_analysis.search.queueing import Lengths, Server, under_load

LAW = ScalingLaw(0.6912, 11.3e6, 0.1894, 0.3935)
DEVICES = [
    System(load_hardware(name), load_engine(engine))
    for name, engine in (("h100-sxm-80gb", "graphs"), ("jetson-agx-orin-64gb", "ideal"))
]
HIDDEN = (512.0, 896.0, 1536.0, 2560.0, 5120.0)


def five_sizes(base: ModelSpec, *_: float) -> ModelSpec:
    """Five sizes, so that all can be looked at one by one."""
    hidden = np.array(HIDDEN)
    return replace(
        base, hidden_size=hidden, intermediate_size=hidden * 5, head_dim=hidden / 16, name=""
    )


quantities = st.one_of(st.none(), st.floats(1e-3, 3.0))


@st.composite
def spaces(draw: st.DrawFn) -> tuple[Space, Limits, str]:
    chosen = setups(
        boards(draw(st.sampled_from([DEVICES, DEVICES[:1], DEVICES[1:]])), prices=(3.0,)),
        [Precision(name) for name in draw(st.sampled_from([("bf16",), ("int8", "int4")]))],
        draw(st.sampled_from([(1,), (4, 32)])),
        memory_limit=draw(st.one_of(st.none(), st.floats(1e8, 2e10))),
    )
    output = draw(st.sampled_from([1, 2, 65]))
    space = Space(
        family()[3], draw(st.sampled_from([(1,), (8,), (1, 2, 4)])), chosen, LAW,
        draw(st.sampled_from([1, 700])), output,
    )  # fmt: skip
    objective = draw(st.sampled_from(["loss", *OBJECTIVES]))
    loss = draw(st.floats(0.85, 1.3)) if objective != "loss" else draw(st.none())
    tpot = None if output == 1 else draw(quantities)
    return space, Limits(draw(quantities), tpot, draw(quantities), loss), objective


def one_by_one(space: Space, limits: Limits) -> list[dict[str, Any]]:
    """Every configuration that keeps the limits, by estimates of single models."""
    found = []
    for setup in space.setups:
        for streams in space.streams:
            for hidden in map(int, HIDDEN):
                spec = replace(
                    space.base, hidden_size=hidden, intermediate_size=hidden * 5,
                    head_dim=hidden // 16, streams=streams, name="",
                )  # fmt: skip
                work = Workload(setup.batch_size or 1, space.input_length, space.output_length)
                cost = estimate_on(spec, work, setup.system)
                loss = float(LAW.loss(size_of(spec), streams))
                tokens = space.output_length * (setup.batch_size or 0)
                kept = (
                    cost.memory.total <= setup.memory_limit
                    and cost.ttft <= (limits.ttft or math.inf)
                    and (limits.tpot is None or cost.tpot <= limits.tpot)
                    and cost.total <= (limits.latency or math.inf)
                    and loss <= (limits.loss or math.inf)
                )
                if kept:
                    found.append(
                        {
                            "loss": loss,
                            "memory": cost.memory.total,
                            "latency": cost.total,
                            "energy": cost.total * (setup.power or math.nan) / tokens,
                            "cost": cost.total * 3.0 / 3600 / tokens * 1e6,
                        }
                    )
    return found


@pytest.mark.property
@given(spaces())
@settings(max_examples=80)
def test_the_best_is_the_best_of_all(asked: tuple[Space, Limits, str]) -> None:
    space, limits, objective = asked
    wanted = one_by_one(space, limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "model_sizes", five_sizes)
        if not wanted:
            with pytest.raises(InfeasibleError, match="no model keeps"):
                plan(space, limits, objective)
            return
        found = plan(space, limits, objective)
    column = getattr(found.found, "dollars" if objective == "cost" else objective)
    best = min(row[objective] for row in wanted)
    assert column[found.ranking[0]] == pytest.approx(best, rel=1e-12)
    assert found.feasible.sum() == len(wanted)
    assert (np.diff(column[found.ranking]) >= 0).all()
    front = {
        (row["loss"], row["memory"], row["latency"])
        for row in wanted
        if not any(
            all(other[k] <= row[k] for k in ("loss", "memory", "latency"))
            and any(other[k] < row[k] for k in ("loss", "memory", "latency"))
            for other in wanted
        )
    }
    table = found.found
    assert front == {(table.loss[i], table.memory[i], table.latency[i]) for i in found.pareto}


@pytest.mark.property
@given(spaces())
@settings(max_examples=40)
def test_what_binds_is_what_the_next_size_breaks(asked: tuple[Space, Limits, str]) -> None:
    space, limits, _ = asked
    limits = replace(limits, loss=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "model_sizes", five_sizes)
        try:
            found = plan(space, limits)
        except InfeasibleError:
            assume(False)
    table = found.found
    for row, binds in zip(found.ranking, found.binding, strict=True):
        if not binds:
            assert table.hidden_size[row] == HIDDEN[-1]
            continue
        setup = space.setups[table.setup[row]]
        broken = {
            "memory": table.memory[row + 1] > setup.memory_limit,
            "TTFT": table.ttft[row + 1] > (limits.ttft or math.inf),
            "TPOT": table.tpot[row + 1] > (limits.tpot or math.inf),
            "latency": table.latency[row + 1] > (limits.latency or math.inf),
        }
        assert set(binds) == {name for name, is_broken in broken.items() if is_broken}


NO_LIMITS = Limits()


def ask(limits: Limits = NO_LIMITS, objective: str = "loss", **options: Any) -> plan_search.Plan:
    chosen = setups(
        boards(DEVICES[:1], prices=options.pop("prices", (None,))), [Precision()],
        None if "rate" in options else (1,), memory_limit=options.pop("memory", None),
    )  # fmt: skip
    return plan(Space(family()[3], (1, 2), chosen, LAW, **options), limits, objective)


@pytest.mark.parametrize(
    ("limits", "options", "message"),
    [
        (Limits(), {"memory": 2e6}, "memory 1.91 MiB: the smallest takes"),
        (Limits(tpot=1e-4), {}, r"TPOT 100 us: the fastest that keeps the memory limit takes \d"),
        (Limits(ttft=1e-5, tpot=0.01), {}, "TTFT 10.0 us: the fastest that keeps the memory and"),
        (Limits(loss=0.75), {}, "loss 0.7500: the best that keeps the memory limit reaches 0.8"),
        (Limits(loss=1.0), {"memory": 1e9}, "loss 1.0000: the best that keeps the memory limit"),
        (Limits(), {"rate": 1e4}, "keeps up with 1e[+]04 requests/s: the fastest that"),
    ],
)  # fmt: skip
def test_what_is_impossible_is_named(limits: Limits, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InfeasibleError, match=message):
        ask(limits, **options)


@pytest.mark.parametrize("name", ["ttft", "tpot", "latency"])
def test_what_is_said_to_be_possible_is(name: str) -> None:
    with pytest.raises(InfeasibleError) as caught:
        ask(Limits(**{name: 1e-6}))
    fastest = parse_quantity(str(caught.value).rsplit("takes ", 1)[1], "s")
    with pytest.raises(InfeasibleError):
        ask(Limits(**{name: 0.99 * fastest}))
    assert ask(Limits(**{name: 1.01 * fastest})).feasible.any()


@pytest.mark.property
def test_under_load_each_row_is_the_steady_state_of_its_model() -> None:
    found = ask(Limits(latency=3.0), rate=2.0, input_length=300, output_length=40)
    table = found.found
    for row in (*found.ranking, *found.pareto[::200], 0, len(table) - 1):
        widths = int(table.hidden_size[row]), int(table.intermediate_size[row])
        spec = family()[3].with_widths(*widths).with_streams(int(table.streams[row]))
        server = Server(spec, Lengths(300, 40), DEVICES[0])
        room = server.capacity(single(DEVICES[0].hardware.memory))
        load = under_load(server, 2.0, room)
        for name in ("ttft", "tpot", "latency", "requests"):
            assert np.array_equal(getattr(table, name)[row], getattr(load, name), equal_nan=True)
        assert found.feasible[row] == bool(load.latency <= 3.0)
    assert not found.feasible.all()


def test_a_limit_that_is_just_met_is_met() -> None:
    best = ask(Limits(tpot=0.005))
    table, row = best.found, best.ranking[0]
    again = ask(
        Limits(table.ttft[row], table.tpot[row], table.latency[row], table.loss[row]), "memory",
        memory=float(table.memory[row]),
    )  # fmt: skip
    assert table.parameters[row] in again.found.parameters[again.feasible]


@pytest.mark.parametrize(
    ("limits", "objective", "options", "message"),
    [
        (Limits(tpot=1.0), "loss", {"output_length": 1}, "one output token has no time per"),
        (Limits(), "memory", {}, "needs a loss to reach"),
        (Limits(loss=1.0), "cost", {}, "needs price_per_hour of every device"),
        (Limits(), "loss", {"rate": 0.0}, "request_rate is 0"),
        (Limits(), "loss", {"rate": math.nan}, "request_rate is nan"),
        (Limits(), "loss", {"memory": 1e12}, "more than the 79.6 GiB that the device has"),
        (Limits(), "loss", {"prices": (1.0, 2.0)}, "price_per_hour has 2 values for 1 devices"),
        (Limits(), "loss", {"input_length": 0}, "input_length is 0"),
    ],
)  # fmt: skip
def test_bad_questions(
    limits: Limits, objective: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ask(limits, objective, **options)


def test_a_question_is_answered_by_its_plan() -> None:
    chosen = setups(boards(DEVICES[:1]), [Precision()], (1,))
    space = Space(family()[0], (1, 2), chosen, LAW)
    limits = Limits(latency=1.0)
    question = Question(space, limits, "loss", fit(published_runs("stack")), "the runs")
    ours, direct = question.answer(), plan(space, limits, "loss")
    assert ours.ranking.tolist() == direct.ranking.tolist()
    assert ours.pareto.tolist() == direct.pareto.tolist()
