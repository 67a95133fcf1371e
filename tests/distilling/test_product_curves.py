"""Curves of products: one that is known is found again, and real tables are met."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from cost_analysis import InputError
from cost_analysis.common.arrays import single
from cost_analysis.common.files import read_table
from cost_analysis.distilling.product_curves import (
    curve_errors,
    fit_product_curve,
    held_out_errors,
)
from cost_analysis.distilling.product_timings import (
    ProductFacts,
    ProductTimings,
    clean_timings,
    fold_of,
)
from cost_analysis.kernels.products import ProductCurve
from cost_analysis.kernels.shapes import Product

MIB = 2.0**20
FACTS = ProductFacts(132.0, 50 * MIB, 3.35e12, 989e12, 2.0, 2.0)
REAL = {
    "h100_sxm": FACTS,
    "l40s": ProductFacts(142.0, 96 * MIB, 864e9, 724e12, 1.0, 1.0),
    "b200_sxm": ProductFacts(148.0, 126 * MIB, 8e12, 9000e12, 0.5625, 0.5625),
}
ROWS = (1.0, 2.0, 8.0, 16.0, 33.0, 64.0, 65.0, 128.0, 257.0, 1024.0, 4096.0, 16384.0)
WIDTHS = (64.0, 256.0, 1024.0, 2048.0, 4096.0, 6144.0, 8192.0, 16384.0, 65536.0)


def timings(*rows: tuple[float, float, float, float]) -> ProductTimings:
    """Of rows, inputs, outputs and seconds."""
    return ProductTimings(*np.array(rows).T)


def made_up(noise: float = 0.0) -> ProductTimings:
    """A grid of shapes with the times of a curve that is known."""
    rows, inputs, outputs = np.array(list(product(ROWS, WIDTHS, WIDTHS))).T
    random = np.random.default_rng(0)
    times = np.asarray(known().seconds(Product(rows, inputs, outputs, "bf16"), warm=True))
    return ProductTimings(
        rows, inputs, outputs, times * np.exp(noise * random.normal(size=times.shape))
    )


def known() -> ProductCurve:
    """A curve with a start, shares, whole waves and a cache, and no corrections."""
    return ProductCurve(
        **{name: getattr(FACTS, name) for name in FACTS.__dataclass_fields__},
        start=3e-6,
        memory_share=0.9,
        cache_speed=3.0,
        passing_speed=1.0,
        compute_share=0.8,
        exposed=0.3,
        row_seconds=0.0,
        conversion=0.0,
        input_seconds=1e-10,
        chain_seconds=2e-10,
        edge_cost=0.1,
        split_inputs=1000.0,
        whole_waves=0.3,
        copies=6.0,
        rotated=99.0,
        cached=0.75,
        fades=0.25,
        by_outputs=(0.0,) * 40,
        by_inputs=(0.0,) * 40,
        by_shape=(0.0,) * 64,
    )


def golden(data: Path, device: str) -> ProductTimings:
    """The sample of a device's table."""
    table = read_table(data / "kernel_products.csv")
    chosen = np.array(table.texts(table.column("device"))) == device
    names = ("rows", "inputs", "outputs", "seconds")
    columns = [np.array(table.positive_numbers(table.column(name))) for name in names]
    return ProductTimings(*(column[chosen] for column in columns))


DATA = Path(__file__).parents[1] / "data"


def test_a_known_curve_is_found_on_shapes_left_out() -> None:
    """Without noise the form holds it; what is left is the start of the fit and rounding."""
    errors = held_out_errors(made_up(), FACTS)
    assert errors.whole.median < 0.015
    assert errors.whole.ninth_decile < 0.05
    assert errors.within_fifth > 0.98
    assert errors.ratios.median < 0.01


def test_noise_is_not_learnt() -> None:
    """Times that scatter by 5 %: the curve is within 2 % of the truth in the median."""
    curve = fit_product_curve(made_up(noise=0.05), FACTS)
    assert curve_errors(curve, made_up()).whole.median < 0.02


def test_corrections_take_what_no_formula_tells() -> None:
    """Products of 65 to 128 rows that take half as long again."""
    table = made_up()
    odd = (table.rows > 64) & (table.rows <= 128)
    slower = replace(table, seconds=table.seconds * np.where(odd, 1.5, 1.0))
    errors = curve_errors(fit_product_curve(slower, FACTS), slower.part(odd))
    assert errors.whole.median < 0.03


@pytest.mark.parametrize(
    ("device", "median"), [("h100_sxm", 0.05), ("l40s", 0.09), ("b200_sxm", 0.05)]
)
def test_samples_of_real_tables(device: str, median: float) -> None:
    """A few shapes of a published table, fitted and predicted."""
    clean = clean_timings(golden(DATA, device), REAL[device])
    assert clean.beyond_roofs == clean.host_bound == clean.repeated == 0
    errors = curve_errors(fit_product_curve(clean.timings, REAL[device]), clean.timings)
    assert errors.whole.median < median
    assert errors.within_fifth > 0.85


def test_small_weights_of_a_real_table_were_in_the_cache() -> None:
    """On an L40S, 13 MB take 0.4 to 0.8 of what its memory would need; 67 MB take all of it."""
    table = golden(DATA, "l40s")
    curve = fit_product_curve(table, REAL["l40s"])
    small, large = Product(1.0, 3072.0, 4096.0, "fp8"), Product(1.0, 8192.0, 8192.0, "fp8")
    assert single(curve.seconds(small, warm=True)) < 0.85 * single(curve.seconds(small))
    assert curve.seconds(large, warm=True) == curve.seconds(large)
    assert single(curve.seconds(small)) > 3072 * 4096 / 864e9


def test_errors_by_hand() -> None:
    """A curve against its own times, of which one in four is halved."""
    shapes = [(1.0, 512.0, 512.0), (8.0, 512.0, 512.0), (64.0, 512.0, 512.0), (9e3, 64.0, 64.0)]
    curve = known()
    times = [single(curve.seconds(Product(*shape, "bf16"), warm=True)) for shape in shapes]
    times[1] /= 2.0
    errors = curve_errors(
        curve, timings(*((*shape, time) for shape, time in zip(shapes, times, strict=True)))
    )
    assert errors.within_fifth == 0.75
    assert errors.whole.count == 4
    assert [(bucket.first, bucket.last) for bucket in errors.buckets[:3]] == [
        (1, 1), (2, 16), (17, 64),
    ]  # fmt: skip
    assert [bucket.median for bucket in errors.buckets] == pytest.approx([0.0, 1.0, 0.0, 0.0])
    assert errors.ratios.median == pytest.approx(1.0)
    assert errors.ratios.count == 1


def test_too_little_is_said() -> None:
    table = made_up()
    with pytest.raises(InputError, match="needs 100 timings or more, not 12"):
        fit_product_curve(table.part(np.arange(12)), FACTS)
    with pytest.raises(InputError, match="part 4 of the shapes is empty"):
        held_out_errors(table.part(fold_of(table.inputs, table.outputs) != 4), FACTS)
