"""A profile of a journal that is written by hand, and what is refused before anything runs."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest
from msgspec.structs import replace as changed

from cost_analysis import InputError, Precision, Workload
from cost_analysis.cost.estimate import Estimate, estimate_on
from cost_analysis.inputs.request import Request, make_request, model_asked
from cost_analysis.inputs.system import named_system
from cost_analysis.measure.journal_rows import Loaded, Row, Run
from cost_analysis.measure.journal_rows import Request as Timed
from cost_analysis.measure.profiling import Place, available_memory, profile, profile_of
from cost_analysis.measure.runner import Limits

pytestmark = pytest.mark.torch


def request(output_length: int = 3, precision: Precision | None = None) -> Request:
    system = replace(named_system(), precision=precision or Precision())
    return make_request(model_asked("0.5B", {}), Workload(1, 8, output_length), system)


def estimated(output_length: int = 3) -> Estimate:
    asked = request(output_length)
    return estimate_on(asked.spec, asked.workload, asked.system)


def journal(times: tuple[float, ...], joules: tuple[float | None, ...] = ()) -> list[Row]:
    """Runs of a prefill of a half of the time and two steps of a quarter, after a warm-up."""
    loaded: list[Row] = [Loaded(job="profile", load_seconds=1.5, threads=4, parameters=9)]
    runs = [
        Run(
            job="profile", round=index - 1, prefill=time / 2, steps=(time / 4,) * 2, total=time,
            energy_joules=joule, energy_missing="" if joule else "no counter",
            memory_before_bytes=100, memory_peak_bytes=100 + 1000 * (index + 1),
        )
        for index, (time, joule) in enumerate(zip(times, joules or (None,) * 9, strict=False))
    ]  # fmt: skip
    return [*loaded, *runs]


def test_medians_leave_the_warm_up_out() -> None:
    cost = estimated()
    found = profile_of(journal((900.0, 4.0, 4.0, 4.4)), cost, (), on_device=True)
    assert [phase.name for phase in found.phases] == ["prefill", "decode step", "request"]
    assert [phase.measured for phase in found.phases] == [2.0, 1.0, 4.0]
    assert [phase.predicted for phase in found.phases] == [cost.ttft, cost.tpot, cost.total]
    assert (found.rounds, found.memory, found.threads, found.load_seconds) == (3, 3000, 4, 1.5)
    assert found.unstable == ()
    prefill, step, whole = found.phases
    assert whole.flops == pytest.approx(prefill.flops + 2 * step.flops)
    assert whole.bytes == pytest.approx(prefill.bytes + 2 * step.bytes)


def test_nothing_is_predicted_for_a_device_that_is_not_named() -> None:
    found = profile_of(journal((9.0, 4.0, 4.0)), estimated(), (), on_device=False)
    assert {phase.predicted for phase in found.phases} == {None}


def test_one_output_token_has_no_decode_step() -> None:
    found = profile_of(journal((9.0, 4.0, 4.0)), estimated(1), (), on_device=True)
    assert [phase.name for phase in found.phases] == ["prefill", "request"]


def test_times_that_vary_and_findings_make_a_profile_unstable() -> None:
    rows = journal((9.0, 4.0, 5.0, 6.0, 7.0))
    found = profile_of(rows, estimated(), ("the clock fell",), on_device=True)
    assert found.unstable == (
        "the clock fell",
        "times vary by 27%; close other programs, or give more --rounds",
    )


def test_energy_counts_where_every_run_has_it() -> None:
    whole = profile_of(journal((9.0, 4.0, 4.0), (1.0, 3.0, 5.0)), estimated(), (), on_device=True)
    part = profile_of(journal((9.0, 4.0, 4.0), (1.0, None, 5.0)), estimated(), (), on_device=True)
    assert whole.energy == 4.0
    assert (part.energy, part.energy_missing) == (None, "no counter")


def test_repeats_of_a_round_count_too() -> None:
    loaded, warm, run = journal((9.0, 4.0))
    assert isinstance(run, Run)
    again = Timed(prefill=4.0, steps=(1.0, 1.0), total=6.0)
    rows = [loaded, warm, changed(run, again=(again,))]
    found = profile_of(rows, estimated(), (), on_device=True)
    assert [phase.measured for phase in found.phases] == [3.0, 1.0, 5.0]


@pytest.mark.parametrize(
    ("precision", "device", "sentence"),
    [
        (Precision("int8"), "cpu", "a real run has one type; give all three dtypes alike"),
        (Precision(), "tpu", "--device is 'tpu'; it must be cpu, cuda or cuda:N"),
    ],
)
def test_what_cannot_be_run_is_refused_before_it_is_loaded(
    precision: Precision, device: str, sentence: str
) -> None:
    def no_bar() -> NoReturn:
        raise AssertionError("a run began")

    place = Place(device, "eager", None, None, is_predicted=False)
    with pytest.raises(InputError) as refused:
        profile(request(precision=precision), place, Limits(), None, no_bar)
    assert str(refused.value) == sentence


def test_a_part_of_the_free_memory_may_be_taken() -> None:
    assert 0 < available_memory("cpu") < 1e15
