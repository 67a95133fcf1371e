"""Journals that are torn, and the plans that they begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import InputError, Workload
from cost_analysis.baselines import size_of
from cost_analysis.journal import open_journal, read_journal
from cost_analysis.scaling_law import ScalingLaw
from cost_analysis.validation_plan import STREAMS, groups, members, needed_bytes

rows = st.lists(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9)), max_size=6
)


@pytest.mark.property
@given(rows, st.integers(0, 200))
def test_a_torn_line_is_cut_off_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, content: list[dict[str, object]], torn: int
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
        journal.append({"after": 1})
    assert read_journal(path) == [*content[:kept], {"after": 1}]


def test_what_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(InputError, match="give --resume to go on"):
        open_journal(path, resume=False)
    with pytest.raises(InputError, match="No such file"):
        open_journal(tmp_path / "no" / "run.jsonl", resume=False)
    with pytest.raises(InputError, match="No such file"):
        read_journal(tmp_path / "none.jsonl")
    for bad in ("[1]\n", "x\n", "\x00\xff\n", '{"a": 1}\n3\n'):
        path.write_text(bad, encoding="latin-1")
        with pytest.raises(InputError, match="not a JSON object"):
            open_journal(path, resume=True)


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
