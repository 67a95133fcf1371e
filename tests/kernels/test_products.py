"""The curve of a product: by hand, laws, and one product against many to the last bit."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.common.arrays import single
from cost_analysis.kernels.products import ROW_CLASSES, SHAPE_CLASSES, SIZES, ProductCurve
from cost_analysis.kernels.shapes import Product

CELLS = (len(ROW_CLASSES) + 1) * len(SIZES)
SHAPE_CELLS = (len(SHAPE_CLASSES) + 1) * len(SIZES) ** 2

PLAIN = ProductCurve(
    multiprocessors=100.0,
    cache=50e6,
    bandwidth=2e12,
    peak=800e12,
    weight_bytes=2.0,
    input_bytes=2.0,
    start=3e-6,
    memory_share=0.9,
    cache_speed=3.0,
    passing_speed=1.0,
    compute_share=0.8,
    exposed=0.0,
    row_seconds=0.0,
    conversion=0.0,
    input_seconds=0.0,
    chain_seconds=0.0,
    edge_cost=0.0,
    split_inputs=25.0,
    whole_waves=0.0,
    copies=6.0,
    rotated=99.0,
    cached=0.75,
    fades=0.25,
    by_outputs=(0.0,) * CELLS,
    by_inputs=(0.0,) * CELLS,
    by_shape=(0.0,) * SHAPE_CELLS,
)


def rough() -> ProductCurve:
    """A curve in which every number matters."""
    random = np.random.default_rng(3)

    def corrections(count: int) -> tuple[float, ...]:
        return tuple(random.uniform(-300.0, 300.0, count).tolist())

    return replace(
        PLAIN,
        weight_bytes=0.5625,
        input_bytes=1.0,
        passing_speed=1.7,
        exposed=0.3,
        row_seconds=6e-9,
        conversion=3.1,
        input_seconds=1e-10,
        chain_seconds=7e-10,
        edge_cost=0.3,
        split_inputs=700.0,
        whole_waves=0.4,
        rotated=1.0,
        by_outputs=corrections(CELLS),
        by_inputs=corrections(CELLS),
        by_shape=corrections(SHAPE_CELLS),
    )


ROUGH = rough()
ROWS = st.integers(1, 40_000) | st.sampled_from([1, 2, 16, 17, 64, 65, 2048, 8192])
WIDTHS = st.integers(1, 70_000) | st.sampled_from([32, 128, 1024, 4096, 32768, 65536])


def product(rows: Any, inputs: Any, outputs: Any) -> Product:
    return Product(rows, inputs, outputs, "bf16")


def test_one_row_by_hand() -> None:
    """4096 × 4096 weights of 2 bytes, and 2 × (4096 + 4096) beside them, at 1.8 TB/s."""
    time = PLAIN.seconds(product(1.0, 4096.0, 4096.0))
    assert time == pytest.approx(3e-6 + (2 * 4096**2 + 2 * 8192) / 1.8e12, rel=1e-12)


def test_many_rows_by_hand() -> None:
    """Full tiles on multiprocessors that share the work evenly: FLOPs over 640 TFLOP/s."""
    time = PLAIN.seconds(product(8192.0, 8192.0, 8192.0))
    assert time == pytest.approx(3e-6 + 2 * 8192**3 / 640e12, rel=1e-12)


def test_tiles_are_whole() -> None:
    """65 rows take two tiles of 64, or one of 128: as long as 128 rows, and twice 64."""
    curve = replace(PLAIN, peak=8e12)
    at = [single(curve.seconds(product(m, 8192.0, 65536.0))) - 3e-6 for m in (64.0, 65.0, 128.0)]
    assert at[1] == pytest.approx(at[2], rel=1e-3)
    assert at[1] == pytest.approx(2 * at[0], rel=1e-3)


def test_waves_are_whole_by_their_share() -> None:
    """101 tiles on 100 multiprocessors: two waves, where a part counts as a whole."""
    curve = replace(PLAIN, peak=8e12)
    shape = product(64.0, 65536.0, 101 * 64.0)
    even, whole = (single(replace(curve, whole_waves=w).seconds(shape)) for w in (0.0, 1.0))
    assert (whole - 3e-6) / (even - 3e-6) == pytest.approx(2 / 1.01, rel=1e-6)


def test_few_tiles_split_the_inputs_so_far() -> None:
    """One tile alone: a hundredth of the work each, but not fewer than `split_inputs`."""
    curve = replace(PLAIN, peak=8e10)
    shape = product(64.0, 10_000.0, 64.0)
    split, half, alone = (
        single(replace(curve, split_inputs=least).seconds(shape)) - 3e-6
        for least in (100.0, 5_000.0, 20_000.0)
    )
    assert half == pytest.approx(50 * split, rel=1e-6)
    assert alone == pytest.approx(100 * split, rel=1e-6)


def test_small_weights_are_warm_and_large_ones_never() -> None:
    """Six copies of 6 MB fit in 37.5 MB; 40 MB in six copies leave nothing."""
    small, large = product(1.0, 1000.0, 3000.0), product(1.0, 4000.0, 5000.0)
    saved = single(PLAIN.seconds(small)) - single(PLAIN.seconds(small, warm=True))
    assert saved == pytest.approx(6e6 / 1.8e12 * (1 - 1 / 3), rel=1e-9)
    assert PLAIN.seconds(large) == PLAIN.seconds(large, warm=True)


def test_a_loop_that_just_fills_the_cache_is_warm() -> None:
    """Where the benchmark makes no more copies than fill L2, half of L2 stays in it."""
    curve = replace(PLAIN, copies=5.0, rotated=1.0, cached=1.0, fades=0.08)
    half, less = product(1.0, 2500.0, 5000.0), product(1.0, 2500.0, 4000.0)
    assert single(curve.seconds(half, warm=True)) < 0.5 * single(curve.seconds(half))
    assert curve.seconds(less, warm=True) == curve.seconds(less)


def test_corrections_step_over_rows_and_are_linear_over_sizes() -> None:
    by_outputs = list(PLAIN.by_outputs)
    by_outputs[len(SIZES) + 1] = 500.0  # 2 to 16 rows, outputs of `SIZES[1]`
    curve = replace(PLAIN, by_outputs=tuple(by_outputs))

    def factor(rows: float, outputs: float) -> float:
        shape = product(rows, 4096.0, outputs)
        return single(curve.seconds(shape)) / single(PLAIN.seconds(shape))

    middle = (SIZES[1] + SIZES[2]) / 2
    assert factor(2.0, SIZES[1]) == pytest.approx(1.5)
    assert factor(16.0, middle) == pytest.approx(1.25)
    assert factor(2.0, SIZES[0]) == factor(1.0, SIZES[1]) == factor(17.0, SIZES[1]) == 1.0


@given(rows=ROWS, inputs=WIDTHS, outputs=WIDTHS, warm=st.booleans())
def test_one_is_as_many_to_the_last_bit(rows: int, inputs: int, outputs: int, warm: bool) -> None:
    many = ROUGH.seconds(product(np.array([float(rows)]), inputs, outputs), warm=warm)
    assert isinstance(many, np.ndarray)
    assert ROUGH.seconds(product(rows, inputs, outputs), warm=warm) == many[0]


@given(rows=ROWS, inputs=WIDTHS, outputs=WIDTHS)
def test_cold_is_never_shorter(rows: int, inputs: int, outputs: int) -> None:
    shape = product(rows, inputs, outputs)
    assert 0 < single(ROUGH.seconds(shape, warm=True)) <= single(ROUGH.seconds(shape))


@given(rows=ROWS, inputs=WIDTHS, outputs=WIDTHS)
def test_four_digits_are_enough(rows: int, inputs: int, outputs: int) -> None:
    """Every number rounded as a profile stores it: the time moves by less than 0.3 %."""
    stored: dict[str, Any] = {
        name: tuple(float(f"{v:.4g}") for v in value)
        if isinstance(value, tuple)
        else float(f"{value:.4g}")
        for name, value in asdict(ROUGH).items()
    }
    shape = product(rows, inputs, outputs)
    exact = single(ROUGH.seconds(shape))
    assert single(ProductCurve(**stored).seconds(shape)) == pytest.approx(exact, rel=3e-3)


def test_broadcasts() -> None:
    rows, widths = np.array([[1.0], [8.0], [64.0]]), np.array([512.0, 4096.0])
    times = ROUGH.seconds(product(rows, widths, 8192.0))
    assert isinstance(times, np.ndarray)
    assert times.shape == (3, 2)
    assert times[2, 1] == ROUGH.seconds(product(64.0, 4096.0, 8192.0))


def test_one_product_needs_no_numpy() -> None:
    code = (
        "import sys\n"
        "from cost_analysis.kernels.products import ProductCurve\n"
        "from cost_analysis.kernels.shapes import Product\n"
        f"curve = ProductCurve(**{asdict(PLAIN)!r})\n"
        "curve.seconds(Product(8, 4096, 4096, 'bf16'))\n"
        "print('numpy' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
