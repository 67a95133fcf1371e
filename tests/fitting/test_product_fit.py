"""What matrix products reach, from timings that are made up of known shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cost_analysis import InputError, load_hardware
from cost_analysis.fitting.product_fit import PRODUCTS, fit_operators

NAMES = ("hardware", "tp", "num_tokens", "hidden", "ffn", "n_head", "n_kv_head", "gated")
FLOOR, FLOPS, BANDWIDTH = 5e-6, 0.6, 0.8


def timings(device: str, *, gated: bool, noise: float = 0.0) -> list[str]:
    """Lines as a device would give that has a floor and reaches shares of its roofs."""
    hardware, random, lines = load_hardware(device), np.random.default_rng(0), []
    for split in (1, 2):
        for tokens in (1, 8, 64, 512, 4096):
            hidden, inner, heads, kv = 4096, 11008, 32, 8
            # Attention in and out, MLP up and down, by hand: inputs and outputs on one device.
            qkv = hidden // split + 2 * (kv // split) * (hidden // heads)
            up = (2 if gated else 1) * inner // split
            products = ((hidden, qkv), (hidden // split, hidden), (hidden, up),
                        (inner // split, hidden))  # fmt: skip
            medians = []
            for inputs, outputs in products:
                moved = 2 * (inputs * outputs + tokens * (inputs + outputs)) / hardware.bandwidth
                computed = 2 * tokens * inputs * outputs / hardware.peak["fp16"]
                seconds = FLOOR + float(np.hypot(computed / FLOPS, moved / BANDWIDTH))
                medians.append(seconds * 1e3 * float(np.exp(noise * random.standard_normal())))
            cells = (device, split, tokens, hidden, inner, heads, kv, gated, *medians)
            lines.append(",".join(map(str, cells)))
    return lines


def written(folder: Path, lines: list[str]) -> Path:
    header = ",".join((*NAMES, *(f"{name}_median_ms" for name in PRODUCTS)))
    path = folder / "timings.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.mark.parametrize("gated", [True, False])
def test_it_finds_what_made_the_timings(tmp_path: Path, gated: bool) -> None:
    (found,) = fit_operators(written(tmp_path, timings("a100-sxm-80gb", gated=gated)))
    assert (found.device, found.rows) == ("a100-sxm-80gb", 40)
    assert found.floor == pytest.approx(FLOOR, rel=1e-3)
    assert (found.flops, found.bandwidth) == pytest.approx((FLOPS, BANDWIDTH), rel=1e-3)
    assert np.abs(found.errors).max() < 1e-3


def test_devices_are_fitted_apart_and_noise_does_little(tmp_path: Path) -> None:
    lines = [
        *timings("h100-sxm-80gb", gated=True, noise=0.02),
        *timings("a100-sxm-80gb", gated=True, noise=0.02),
    ]
    found = fit_operators(written(tmp_path, lines))
    assert [each.device for each in found] == ["a100-sxm-80gb", "h100-sxm-80gb"]
    for each in found:
        assert each.floor == pytest.approx(FLOOR, rel=0.1)
        assert (each.flops, each.bandwidth) == pytest.approx((FLOPS, BANDWIDTH), rel=0.05)
        assert 0 < np.abs(each.errors).max() < 0.1


def test_files_that_are_no_timings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        fit_operators(tmp_path / "none.csv")
    path = tmp_path / "a.csv"
    path.write_text("hardware,tp\na100,1\n")
    with pytest.raises(InputError, match="has no column 'num_tokens'"):
        fit_operators(path)
    line = timings("a100-sxm-80gb", gated=True)[0].replace("a100-sxm-80gb", "abacus")
    path = written(tmp_path, [line])
    with pytest.raises(InputError, match="unknown device 'abacus'"):
        fit_operators(path)
