"""Published measurements: what each row says, and why one cannot be represented."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cost_analysis import InputError
from cost_analysis.fitting.measurements import (
    FORMATS,
    METRICS,
    PCIE,
    Measurement,
    read_measurements,
)
from cost_analysis.inputs.profiles import profiles_folder

SHIPPED = profiles_folder() / "measurements.csv"


def lines() -> list[dict[str, str]]:
    with SHIPPED.open(newline="") as file:
        return list(csv.DictReader(file))


def read(folder: Path, **changes: str) -> Measurement:
    """The first shipped row, changed."""
    row = lines()[0] | changes
    path = folder / "mine.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)
    (found,) = read_measurements(path)
    return found


@pytest.mark.golden
def test_shipped_rows_are_read_as_they_are_written() -> None:
    rows, found = lines(), read_measurements()
    assert len(rows) == len(found)
    assert not Counter(row["id"] for row in rows) - Counter({row["id"] for row in rows})
    for row, one in zip(rows, found, strict=True):
        assert (one.texts["id"], one.value, one.metric) == (
            row["id"], float(row["value"]), row["metric"],
        )  # fmt: skip
        assert one.metric in METRICS
        assert one.refusal == ""
        assert one.sizes["hidden_size"] == int(row["hidden_size"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metric": "joules"}, "metric 'joules' is not known"),
        ({"hidden_size": "", "head_dim": "x"}, "no hidden_size, head_dim"),
        ({"batch_size": "0"}, "no batch_size"),
        ({"batch_size": "1e999"}, "no batch_size"),
        ({"tensor_parallel": "9"}, "more than 8 devices: the link between nodes is not known"),
        ({"metric": "decode_ms_per_step", "output_length": "1"}, "an output of two tokens"),
        ({"weight_dtype": "ternary"}, "weight format 'ternary' is not known"),
        ({"hardware": "abacus"}, "unknown device 'abacus'"),
    ],
)
def test_why_a_row_cannot_be_represented(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    assert reason in read(tmp_path, **changes).refusal


@pytest.mark.parametrize(
    ("stated", "formats"),
    [
        ("fp16", ("fp16", "fp16", "fp16")),
        (" BF16 ", ("bf16", "bf16", "bf16")),
        ("fp32", ("fp32", "fp32", "fp32")),
        ("q4_0", ("int4", "fp16", "fp16")),
        ("Q8_0", ("int8", "fp16", "fp16")),
        ("int4-g128", ("int4", "fp16", "fp16")),
        ("fp8 e4m3", ("fp8", "fp16", "fp16")),
    ],
)
def test_formats_as_sources_call_them(
    tmp_path: Path, stated: str, formats: tuple[str, str, str]
) -> None:
    found = read(tmp_path, weight_dtype=stated).precision
    assert (found.weights, found.activations, found.kv_cache) == formats
    assert set(FORMATS.values()) >= {formats[0]}


def test_a_link_logits_and_the_class_that_a_row_states(tmp_path: Path) -> None:
    plain = read(tmp_path, hardware="a100-sxm-80gb", hardware_detail="", note="", engine="eager")
    assert plain.device.interconnect != PCIE
    assert (plain.logits, plain.engine_class) == ("last", "eager")
    result = read(
        tmp_path, hardware="epyc-9654", hardware_detail="PCIe interconnect",
        note="logits of all positions", engine="eager",
    )  # fmt: skip
    assert result.device.interconnect == PCIE
    assert (result.logits, result.engine_class) == ("all", "cpu")


@pytest.mark.parametrize(
    ("metric", "is_rate"),
    [("decode_tokens_per_s", True), ("prefill_ms", False), ("total_latency_s", False)],
)
def test_rates_are_better_when_larger(tmp_path: Path, metric: str, is_rate: bool) -> None:
    assert read(tmp_path, metric=metric).is_rate == is_rate


def test_files_that_are_no_measurements(tmp_path: Path) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"value": "fast"}, "'fast' is not a positive number"),
        ({"value": "-1"}, "'-1' is not a positive number"),
    ]
    for changes, sentence in bad:
        with pytest.raises(InputError, match=sentence):
            read(tmp_path, **changes)
    (tmp_path / "a.csv").write_text("id,value\na,1\n")
    with pytest.raises(InputError, match="has no column"):
        read_measurements(tmp_path / "a.csv")
