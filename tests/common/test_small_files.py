"""Reading small files within a limit, and writing files with their permissions."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cost_analysis import InputError
from cost_analysis.common.files import LARGEST_FILE, put, read_json, read_small


def test_the_home_folder_and_a_byte_order_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbftext")
    assert read_small(Path("~/a.txt"), "grid") == ("grid '~/a.txt'", "text")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe\x00", "'.*' is not UTF-8 text"),
        (b" " * (LARGEST_FILE + 1), "is larger than 4000000 bytes"),
        (b"{", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": 1, "a": 2}', "'a' is given twice, with different values"),
    ],
)
def test_files_that_are_not_json_objects(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_json(tmp_path / "a.json")


def test_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    put(path, b"old")
    path.chmod(0o640)
    put(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
