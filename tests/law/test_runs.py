"""Training runs from files and arrays: read as they are, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cost_analysis import InputError
from cost_analysis.law.runs import Runs, evidence_warnings, published_runs, read_runs
from cost_analysis.law.scaling_law import fit

HEADER = "N,P,loss\n"
ROWS = "".join(f"{n}e8,{p},{1 + (n * p) ** -0.2:.4f}\n" for n in (1, 2, 4, 8) for p in (1, 2))


def written(folder: Path, text: str) -> Path:
    path = folder / "runs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_of_one_s_own(tmp_path: Path) -> None:
    runs = read_runs(written(tmp_path, "\ufeff" + HEADER + ROWS + "\n"))
    assert len(runs) == 8
    assert runs.sizes[:3] == ("100M", "100M", "200M")
    assert fit(runs).r_squared > 0.999
    sheet = "size, P ,non_embedding_parameters,pile\n" + "".join(
        f"s{row},{p},{n},{y}\n" for row, (n, p, y) in enumerate([(1e8, 1, 2.0), (2e8, 2, 1.5)])
    )
    runs = read_runs(str(written(tmp_path, sheet)), loss="pile")
    assert (runs.sizes, runs.loss.tolist()) == (("s0", "s1"), [2.0, 1.5])


@pytest.mark.parametrize(
    ("text", "loss", "sentence"),
    [
        ("", None, "is empty"),
        ("N,P\n1e8,1\n", None, "has no column 'loss' or 'loss_stack_v2_python' or 'loss_pile'"),
        ("n_params,P,loss\n1e8,1,2\n", None, "'non_embedding_parameters' or 'N'; it has n_params"),
        ("N,P,losss\n1e8,1,2\n", None, "is it 'losss'?"),
        ("N,P,loss\n1e8,1,2\n", "los", "has no column 'los'; is it 'loss'"),
        ("N,P,loss_pile,loss\n1e8,1,2,3\n", None, "several losses; name one of loss, loss_pile"),
        ("N,P,P,loss\n1e8,1,2,3\n", None, "has the column 'P' twice"),
        ("N,P,loss\n1e8,1\n", None, "line 2: 2 cells under 3 columns"),
        (HEADER + "1e8,1,2\n1.6B,1,2\n", None, "line 3, column 'N': '1.6B' is not a positive"),
        (HEADER + "\n1e8,1,nan\n", None, "line 3, column 'loss': 'nan' is not a positive number"),
        (HEADER + "inf,1,2\n", None, "line 2, column 'N': 'inf'"),
        (HEADER + "1e8,1,-2\n", None, "line 2, column 'loss': '-2'"),
        (HEADER + "1e8,1.5,2\n", None, "column 'P': '1.5' is not a whole number from 1"),
        (HEADER + "1e8,0,2\n", None, "column 'P': '0' is not a whole number from 1"),
        (HEADER + "1e8,1," + "9" * 200_000 + "\n", None, "line 2: field larger"),
    ],
)
def test_files_that_are_no_runs(tmp_path: Path, text: str, loss: str | None, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_runs(written(tmp_path, text), loss)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*No such file"):
        read_runs(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot read"):
        read_runs("a\0b")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_runs(tmp_path / "binary.csv")
    (tmp_path / "large.csv").write_bytes(b"1" * 4_000_001)
    with pytest.raises(InputError, match="larger than 4000000 bytes"):
        read_runs(tmp_path / "large.csv")
    with pytest.raises(InputError, match="unknown data set 'stac'; did you mean stack"):
        published_runs("stac")


def arrays(size: Any, streams: Any, loss: Any = None) -> Runs:
    size, streams = np.array(size, float), np.array(streams, float)
    falling = 1 + (1e8 / size) ** 0.3 / streams**0.1
    return Runs(size, streams, falling if loss is None else np.array(loss, float))


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        (arrays([1e8, 2e8, 4e8, 8e8], [1, 1, 1, 2]), "at least 5 runs .* not 4"),
        (arrays([1e8] * 6, [1] * 6), "at least 5 runs .* not 1"),
        (
            arrays([1e8, 1.02e8, 1.04e8, 4e8, 4.1e8], [1, 2, 4, 1, 2]),
            "from 3 model sizes or more; .* have 2",
        ),
        (
            arrays([1e8, 2e8, 4e8, 8e8, 16e8], [1] * 5),
            "all runs have P = 1; k can be identified from two",
        ),
        (arrays([1, 2, 4, 8, 16], [1, 2, 1, 2, 1], [2] * 5), "all runs have the loss 2"),
        (arrays([1, 2, 4, 8, 16], [1, 2, 1, 2, 1], [1, 2, 3, 4, 5]), "do not fall with N"),
        (
            arrays([0.5, 2e8, 4e8, 8e8, 16e8], [1, 1, 1, 2, 2]),
            "0.5 to 1.6e[+]09; .*check the units",
        ),
    ],
)
def test_runs_that_are_no_evidence(runs: Runs, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        fit(runs)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (([1e8, 2e8], [1, 1], [2.0]), "not 2, 2 and 1"),
        (([1e8, -2e8], [1, 1], [2, 2]), "run 2: parameters is -2e[+]08; it must be a positive"),
        (([1e8, 2e8], [1, 1.5], [2, 2]), "run 2: streams is 1.5; it must be a whole number from 1"),
        (([1e8, 2e8], [1, 1], [np.nan, 2]), "run 1: loss is nan; it must be a positive number"),
        (([1e8, 2e8], [1, 1], ["low", "high"]), "loss of the runs must be numbers"),
        (([[1e8], [2e8]], [1, 1], [2, 2]), "must be one list, not 2-dimensional"),
        (([1e8, 2e8], [1, 1], [2, 2], ("a",)), "2 runs have 1 names"),
    ],
)
def test_arrays_that_are_no_runs(values: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Runs(*values)


def test_beyond_the_evidence() -> None:
    runs = published_runs("stack")
    assert not evidence_warnings(runs, np.array([5.36e8, 4.42e9]), 8, np.array([0.98, 1.17]))
    assert not evidence_warnings(runs)
    assert evidence_warnings(runs, np.array([1e8, 7e9]), 16, np.array([0.9, 1.2])) == [
        "P = 16 is beyond the runs, which end at P = 8: the law is extrapolated",
        "N = 100M is below the runs, from 536M: the law is extrapolated",
        "N = 7.00B is above the runs, up to 4.41B: the law is extrapolated",
        "loss = 0.9000 is below the runs, from 0.9794: the law is extrapolated",
        "loss = 1.2000 is above the runs, up to 1.1722: the law is extrapolated",
    ]
