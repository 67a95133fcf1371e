"""Pages of text and tables: plain ones are padded as rich pads them."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.report import render
from cost_analysis.report.render import Page, Table, render_plain

words = st.sampled_from(
    ["a", "1,234", "5.6%", "±", "x2", "[y]", ":smile:", "ccc-ddd", "e/f", "é", "漢字", "", "z" * 50]
)
lines = st.lists(words, max_size=18).map(" ".join)
headers = st.sampled_from(["name", "FLOPs", "time, ms", "", "a b", "[bold]", ":x:"])


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = tuple(draw(st.lists(headers, min_size=1, max_size=5)))
    cells = st.lists(words, max_size=3).map(" ".join)
    rows = st.lists(st.tuples(*(cells for _ in columns)), max_size=4)
    left = st.sets(st.integers(0, len(columns) - 1), max_size=2)
    return Table(draw(lines), columns, tuple(draw(rows)), tuple(draw(left)), draw(st.booleans()))


pages = st.builds(
    Page,
    lines,
    st.lists(lines, max_size=3).map(tuple),
    st.lists(tables(), max_size=2).map(tuple),
    st.lists(lines, max_size=3).map(tuple),
)


@given(pages)
def test_a_padded_page_is_as_rich_prints_it(page: Page) -> None:
    with mock.patch.object(render, "_is_narrow", return_value=False):
        drawn = render_plain(page)
    assert render_plain(page) == drawn


def test_a_page_of_the_program_is_only_padded() -> None:
    table = Table("Memory", ("part", "GiB"), (("weights", "8.86"), ("total", "8.92")), (0,), True)
    page = Page(
        "a model", ("memory  8.92 GiB",), (table,), ("A note that is long" + " and long" * 30,)
    )
    with mock.patch("rich.console.Console", side_effect=AssertionError):
        text = render_plain(page)
    assert "\n  part      GiB\n  weights  8.86\n  total    8.92\n" in text
    assert max(map(len, text.splitlines())) <= 80
