from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import InputError
from cost_analysis.common.units import (
    format_bytes,
    format_count,
    format_figure,
    format_flops,
    format_interval,
    format_of_column,
    format_peak,
    format_per,
    format_rate,
    format_seconds,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("80 GiB", "B", 80 * 2**30),
        ("80 GB", "B", 80e9),
        ("3.35 TB/s", "B/s", 3.35e12),
        ("2039GB/s", "B/s", 2039e9),
        ("989.4 TFLOP/s", "FLOP/s", 989.4e12),
        ("624 TOP/s", "FLOP/s", 624e12),
        ("700 W", "W", 700.0),
        ("1.2e3 W", "W", 1200.0),
        ("11.8 us", "s", 11.8e-6),
        ("11.8 µs", "s", 11.8e-6),
        ("2 s", "s", 2.0),
    ],
)
def test_parse(text: str, unit: str, value: float) -> None:
    assert parse_quantity(text, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("80", "B"),
        ("0 GiB", "B"),
        ("-1 GiB", "B"),
        ("nan GiB", "B"),
        ("1e999 GiB", "B"),
        ("80 GiB/s", "B"),
        ("3 GB", "B/s"),
        ("3 Gbit/s", "B/s"),
        ("80 XB", "B"),
        ("5 GW/s", "W"),
        ("5 TOP", "FLOP/s"),
        ("1 ks", "s"),
        (80, "B"),
        (None, "W"),
        ("", "B"),
        ("8 GiB 8", "B"),
    ],
)
def test_parse_refuses(text: object, unit: str) -> None:
    with pytest.raises(InputError, match=r"write it like|is not between"):
        parse_quantity(text, unit)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_bytes(0), "0 B"),
        (format_bytes(512), "512 B"),
        (format_bytes(8.951 * 2**30), "8.95 GiB"),
        (format_bytes(2**30 - 1), "1.00 GiB"),
        (format_bytes(1023.9), "1.00 KiB"),
        (format_flops(4.5527e12), "4.55 TFLOP"),
        (format_rate(3.35e12, "B/s"), "3.35 TB/s"),
        (format_peak(624e12, "int8"), "624 TOP/s"),
        (format_peak(312e12, "bf16"), "312 TFLOP/s"),
        (format_count(4353203200), "4.35B"),
        (format_count(12), "12"),
        (format_figure(1250), "1,250"),
        (format_figure(999.7), "1,000"),
        (format_figure(12.5), "12.5"),
        (format_seconds(0.354), "354 ms"),
        (format_seconds(0.99999), "1.00 s"),
        (format_seconds(3.2e-6), "3.20 us"),
        (format_seconds(1e-12), "0.001 ns"),
        (format_seconds(0), "0 s"),
        (format_seconds(12345678), "1.23e+07 s"),
    ],
)
def test_format(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.property
@given(st.floats(1e-9, 1e30))
def test_formats_stay_within_their_column(value: float) -> None:
    for text in (format_bytes(value), format_flops(value), format_rate(value, "B/s")):
        assert len(text) <= 15
    assert len(format_seconds(value)) <= 12


@pytest.mark.property
@given(st.floats(1e4, 1e17))
def test_format_and_parse_agree_to_the_digits_shown(value: float) -> None:
    shown = parse_quantity(format_bytes(value), "B")
    assert shown == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("memory_total_bytes", 2.0**30, "1.00 GiB"),
        ("tokens_per_s", 1974.0, "1,974 /s"),
        ("latency_ttft_s", 0.0125, "12.5 ms"),
        ("flops_prefill", 4.5e12, "4.50 TFLOP"),
        ("increase_memory_relative", 0.0523, "5.2%"),
        ("parameters_total", 4.35e9, "4.35B"),
    ],
)
def test_formats_of_columns(column: str, value: float, expected: str) -> None:
    assert format_of_column(column)(value) == expected


def test_times_in_one_unit_and_figures_per_unit() -> None:
    assert format_interval(0.0109, 0.0146) == "10.9 to 14.6 ms"
    assert format_interval(0.9e-3, 1.2) == "0.0009 to 1.20 s"
    assert format_per(0.392, "J") == "0.392 /J"
