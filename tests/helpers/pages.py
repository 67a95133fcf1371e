"""Pages as they are printed."""

from __future__ import annotations

import re

from cost_analysis.report.render import PLAIN_WIDTH, Page, render_plain


def printed(page: Page) -> str:
    """The page as plain text, which must be narrow and without values that are none."""
    text = render_plain(page)
    assert max(map(len, text.splitlines())) <= PLAIN_WIDTH
    assert not re.search(r"\b(nan|None|inf)\b", text)
    return text
