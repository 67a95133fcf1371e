from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from cost_analysis import InputError
from cost_analysis.inputs.spec import Workload
from cost_analysis.law.family import size_of
from cost_analysis.law.scaling_law import ScalingLaw
from cost_analysis.measure.journal import (
    STREAMS,
    groups,
    members,
    needed_bytes,
    open_journal,
    read_journal,
)
from cost_analysis.measure.journal_rows import (
    Ended,
    Failed,
    Finding,
    Finished,
    Request,
    Row,
    Run,
)

RUNS = sorted((Path(__file__).parents[2] / "profiles" / "runs").glob("*.jsonl"))

seconds = st.floats(0, allow_nan=False, allow_infinity=False)
figures = st.none() | st.just(UNSET) | st.floats(allow_nan=False, allow_infinity=False)
requests = st.builds(
    Request, prefill=seconds, steps=st.lists(seconds, max_size=3).map(tuple), total=seconds
)
runs = st.builds(
    Run,
    job=st.text(max_size=5),
    round=st.integers(-5, 99),
    energy_joules=st.none() | seconds,
    energy_source=st.none() | st.text(max_size=5),
    energy_missing=st.text(max_size=9),
    watts=figures,
    prefill=seconds,
    steps=st.lists(seconds, max_size=3).map(tuple),
    total=seconds,
    again=st.just(UNSET) | st.lists(requests, min_size=1, max_size=2).map(tuple),
    memory_before_bytes=st.integers(0, 2**40).map(float),
    memory_peak_bytes=st.integers(0, 2**40).map(float),
)
others = (
    st.builds(Finding, text=st.text(st.characters(), max_size=9))
    | st.builds(Failed, job=st.text(max_size=5), reason=st.text(max_size=9))
    | st.builds(Ended, clock_hz=st.none() | seconds)
)
rows = st.lists(runs | others, max_size=6)


@given(rows, st.integers(0, 200))
def test_a_torn_line_is_cut_off_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, content: list[Row], torn: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "run.jsonl"
    with open_journal(path, resume=False) as journal:
        for row in content:
            journal.append(row)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(len(whole) - torn, 0)])
    kept = path.read_bytes().count(b"\n")
    with open_journal(path, resume=True) as journal:
        assert journal.rows == content[:kept]
        journal.append(Finished(job="after"))
    assert read_journal(path) == [*content[:kept], Finished(job="after")]


def test_what_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    good = '{"kind": "finished", "job": "a"}\n'
    path.write_text(good)
    with pytest.raises(InputError, match="give --resume to go on"):
        open_journal(path, resume=False)
    with pytest.raises(InputError, match="No such file"):
        open_journal(tmp_path / "no" / "run.jsonl", resume=False)
    with pytest.raises(InputError, match="No such file"):
        read_journal(tmp_path / "none.jsonl")
    for bad in ("[1]\n", "x\n", "\x00\xff\n", f"{good}3\n"):
        path.write_text(bad, encoding="latin-1")
        number = bad.count("\n")
        with pytest.raises(InputError, match=rf"run.jsonl', line {number}: not a JSON object$"):
            open_journal(path, resume=True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"job": "a"}', "missing required field `kind`"),
        ('{"kind": "jobs"}', "Invalid value 'jobs'"),
        ('{"kind": "finished"}', "missing required field `job`"),
        ('{"kind": "loaded", "job": "a", "load_seconds": "1", "threads": 2, "parameters": 3}',
         "Expected `float`, got `str` - at `$.load_seconds`"),
        (json.dumps({"kind": "new\nline" * 999}), "Invalid value 'new\\nline"),
    ],
)  # fmt: skip
def test_a_line_of_another_form_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(f'{{"kind": "finished", "job": "a"}}\n{line}\n')
    with pytest.raises(InputError) as refused:
        read_journal(path)
    sentence = str(refused.value)
    assert "run.jsonl', line 2: not a line of a journal: " in sentence
    assert reason in sentence
    assert "\n" not in sentence
    assert len(sentence) < 700


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_recorded_journals_are_read_and_written_with_the_same_keys(
    path: Path, tmp_path: Path
) -> None:
    rows = read_journal(path)
    with open_journal(tmp_path / "again.jsonl", resume=False) as journal:
        for row in rows:
            journal.append(row)
    written = [json.loads(line) for line in journal.path.read_text().splitlines()]
    recorded = [json.loads(line) for line in path.read_text().splitlines()]
    assert [without_null(line) for line in written] == [without_null(line) for line in recorded]
    # A later version knew more of the machine; what an earlier one did not write is null.
    added = {name for new, old in zip(written, recorded, strict=True) for name in new.keys() - old}
    assert added <= {"clock_hz"}


def without_null(content: dict[str, Any]) -> dict[str, Any]:
    """An object of JSON and those in it, without what is null."""
    return {
        name: without_null(value) if isinstance(value, dict) else value
        for name, value in content.items()
        if value is not None
    }


def test_what_is_no_number_is_not_written(tmp_path: Path) -> None:
    with open_journal(tmp_path / "run.jsonl", resume=False) as journal:
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.append(Ended(clock_hz=float("nan")))
        assert journal.rows == []


def test_a_command_of_undecodable_bytes_is_kept(tmp_path: Path) -> None:
    with open_journal(tmp_path / "run.jsonl", resume=False) as journal:
        journal.append(Failed(job="a", reason="no file \udcff.bin"))
    assert read_journal(journal.path) == journal.rows


LAW = ScalingLaw(0.6912, 1.131e7, 0.1894, 0.3935)


@pytest.mark.parametrize("size", ["tiny", "small", "paper"])
def test_plans(size: str) -> None:
    plan = members(size, LAW)
    assert [member.role for member in plan].count("base") == 1
    assert {m.spec.streams for m in plan if m.role == "streams"} == set(STREAMS)
    assert len({member.label for member in plan}) == len(plan)
    base = plan[0].spec
    wider = [size_of(m.spec) for m in plan if m.role == "parameters"]
    for member in plan:
        if member.role == "streams":
            equal = LAW.equal_loss_size(size_of(member.spec), member.spec.streams)
            assert size_of(base) < equal < 1.02 * max(wider)


@pytest.mark.property
@given(st.sampled_from(["tiny", "small", "paper"]), st.floats(1e8, 1e11), st.booleans())
def test_groups_fit_and_lose_nobody(size: str, available: float, force: bool) -> None:
    plan, work = members(size, LAW), Workload(1, 64, 16)
    together, refused = groups(plan, work, "fp32", available, force=force)
    ran = [member for group in together for member in group if member.role != "base"]
    assert len(ran) + len(refused) == len(plan) - 1
    assert not (force and refused)
    assert not together or any(plan[0] in group for group in together)
    for group in together:
        need = sum(needed_bytes(member, work, "fp32") for member in group)
        assert need <= available or len(group) == 1 or force
    for _, reason in refused:
        assert "are free" in reason
