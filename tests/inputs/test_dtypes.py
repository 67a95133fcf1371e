"""Bytes and compute types of the storage formats, and the format of each part of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import InputError, Precision
from cost_analysis.inputs.dtypes import DTYPES, EXAMPLES, WIDER, dtype_named
from tests.helpers.arrays import several
from tests.helpers.strategies import dtypes

INPUTS, OUTPUTS = 300.0, 10.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fp32", 12000),
        ("bf16", 6000),
        ("fp16", 6000),
        # One 16-bit scale an output channel.
        ("int8", 3000 + 10 * 2),
        ("fp8", 3000 + 10 * 2),
        # 300 inputs are three groups of 128 or fewer.
        ("int4", 1500 + 3 * 10 * 2),
        ("int4-g128", 1500 + 3 * 10 * 2),
        ("int4-g32", 1500 + 10 * 10 * 2),
        ("int4-g300", 1500 + 10 * 2),
        ("int4-g65536", 1500 + 10 * 2),
        # Zero points are as wide as the values.
        ("int4-zp", 1500 + 3 * 10 * 2.5),
        ("int4-g32-zp", 1500 + 10 * 10 * 2.5),
        ("int8-zp", 3000 + 10 * 3),
        ("int8-g128-zp", 3000 + 3 * 10 * 3),
        ("fp8-g100", 3000 + 3 * 10 * 2),
        # Three blocks wide, one high, a float32 scale each; five high with smaller ones.
        ("fp8-b128", 3000 + 3 * 4),
        ("int8-b2", 3000 + 150 * 5 * 4),
        # One byte for 32 values; one for 16 and four for the matrix.
        ("mxfp4", 1500 + 10 * 10),
        ("nvfp4", 1500 + 19 * 10 + 4),
    ],
)
def test_matrix_bytes_by_hand(name: str, expected: float) -> None:
    dtype = dtype_named(name)
    assert dtype.name == name
    assert dtype.matrix_bytes(INPUTS, OUTPUTS) == expected
    outputs = np.array([0.0, OUTPUTS])
    assert several(dtype.matrix_bytes(INPUTS, outputs)).tolist() == [0, expected]
    assert several(dtype.matrix_bytes(np.full(2, INPUTS), outputs)).tolist() == [0, expected]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bf16", 2),
        # Scales for a token, a head or a tensor are not counted; those of groups are.
        ("int8", 1),
        ("fp8", 1),
        ("int4", 0.5 + 2 / 128),
        ("int4-g32-zp", 0.5 + 2.5 / 32),
        ("fp8-b128", 1 + 4 / 128),
        ("mxfp4", 4.25 / 8),
        ("nvfp4", 4.5 / 8),
    ],
)
def test_bytes_of_activations_and_cached_values(name: str, expected: float) -> None:
    assert dtype_named(name).bytes == expected


def test_what_formats_are_computed_in() -> None:
    assert {dtype.unit for dtype in DTYPES.values()} == WIDER.keys()
    assert {dtype_named(name).unit for name in EXAMPLES} == {"int4", "int8", "fp8"}
    for unit, wider in WIDER.items():
        assert unit not in wider
        assert set(wider) <= WIDER.keys()
        for name in wider:
            assert set(WIDER[name]) <= set(wider)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("f16", "unknown data type 'f16'; did you mean fp16 or bf16"),
        ("mxpf4", "did you mean mxfp4"),
        ("int4-g", "did you mean int4-g32"),
        ("int4-32", "did you mean int4-g32"),
        ("int4-zp-g32", "unknown data type"),
        ("fp8-b128x128", "did you mean fp8-b128"),
        ("bf16-g32", "unknown data type 'bf16-g32'"),
        ("mxfp4-g16", "unknown data type 'mxfp4-g16'; did you mean mxfp4"),
        ("INT8", "did you mean int8"),
        ("int4-g٣٢", "unknown data type"),
        ("int4-g0", "has 0 values a scale; it must be from 2 to 65536"),
        ("int4-g99999999", "has 99999999 values a scale"),
        ("int4-g9999999999", "unknown data type"),
        ("int4-b128", "only fp8 and int8 have scales for blocks"),
        ("fp8-zp", "only int4 and int8 have zero points"),
        ("int8-b128-zp", "only int4 and int8 have zero points, and not in blocks"),
        (["bf16"], "unknown data type"),
        (None, "unknown data type 'None'"),
    ],
)
def test_refused_names(name: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as error:
        dtype_named(name)
    assert "\n" not in str(error.value)


def test_precision_of_parts() -> None:
    quantised = Precision(weights="int4")
    assert quantised.matrix.name == "int4"
    assert quantised.unquantised.name == "bf16"
    assert quantised.compute.name == "bf16"
    assert Precision("int4", "fp32", "bf16").unquantised.name == "bf16"
    assert Precision("int4", "fp16", "bf16").unquantised.name == "fp16"
    eight = Precision("int8", "int8", "int8")
    assert eight.compute.name == "int8"
    assert eight.accumulate.name == eight.unquantised.name == eight.head_compute.name == "bf16"
    assert Precision("fp32", "bf16", "bf16").compute.name == "fp32"
    assert Precision("bf16", "fp32", "bf16").compute.name == "fp32"
    assert Precision("fp16", "fp16", "fp8").cache.bytes == 1
    with pytest.raises(InputError, match="unknown data type 'int5'"):
        Precision(kv_cache="int5")


sizes = st.integers(1, 20_000).map(float)
groups = st.integers(2, 65_536)


@pytest.mark.property
@given(sizes, sizes, st.sampled_from(["int4", "int8", "fp8"]), groups, groups)
def test_larger_groups_never_need_more_bytes(
    inputs: float, outputs: float, values: str, one: int, other: int
) -> None:
    few, many = sorted((one, other))
    for shape in ("g", "b") if values != "int4" else ("g",):
        fine, coarse = (
            dtype_named(f"{values}-{shape}{size}").matrix_bytes(inputs, outputs)
            for size in (few, many)
        )
        assert fine >= coarse >= inputs * outputs * DTYPES[values].bits / 8
    assert dtype_named(f"{values}-g{few}").bytes >= dtype_named(f"{values}-g{many}").bytes


@pytest.mark.property
@given(sizes, sizes, st.sampled_from(["int4", "int8", "int4-g32", "int8-g7"]))
def test_zero_points_add_their_own_width(inputs: float, outputs: float, name: str) -> None:
    plain, zeros = dtype_named(name), dtype_named(f"{name}-zp")
    scales = plain.matrix_bytes(inputs, outputs) - inputs * outputs * plain.bits / 8
    added = zeros.matrix_bytes(inputs, outputs) - plain.matrix_bytes(inputs, outputs)
    assert added == pytest.approx(scales * plain.bits / 16)


@pytest.mark.property
@given(dtypes, dtypes)
def test_nothing_is_computed_in_less_than_it_is_stored_in(weights: str, activations: str) -> None:
    formats = Precision(weights, activations)
    stored = max(formats.matrix.bits, formats.activation.bits)
    assert formats.compute.bits == stored
    assert formats.accumulate.bits >= 16
    assert formats.head_compute.bits >= max(16, formats.unquantised.bits)
    for wider in WIDER[formats.compute.unit]:
        assert dtype_named(wider).bits >= stored
