from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import InputError
from cost_analysis.measure.journal import open_journal, read_journal

rows = st.lists(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9)), max_size=6
)


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
