"""Files of fitted curves: reading, writing, borrowing; times by them."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cost_analysis.common.errors import InputError
from cost_analysis.inputs.engine import KernelSources
from cost_analysis.inputs.profiles import load_hardware, profile_names, profiles_folder
from cost_analysis.kernels.curves import (
    FAMILIES,
    FittedCurve,
    FittedKernels,
    curves_path,
    curves_text,
    key_of,
    load_curves,
    read_curves,
)
from cost_analysis.kernels.shapes import AllReduce, Attention, Experts, LatentAttention, Product

FILES = sorted((profiles_folder() / "kernels").rglob("*.toml"))
ALL = KernelSources("vllm", "vllm", "vllm", "vllm")


def test_every_measured_device_has_curves_and_they_are_small() -> None:
    devices = {load_hardware(name).kernels for name in profile_names("hardware")} - {""}
    assert {path.parent.name for path in FILES} == devices
    assert len(devices) == 10
    assert sum(path.stat().st_size for path in FILES) < 300_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_file_is_the_same_after_reading_and_writing(path: Path, tmp_path: Path) -> None:
    curves = read_curves(path)
    assert all(fitted.source.startswith("aiconfigurator-core 0.12") for fitted in curves.values())
    assert all(0 < fitted.start < 1e-3 for fitted in curves.values())
    copy = tmp_path / path.name
    for sibling in path.parent.glob("*.toml"):
        (tmp_path / sibling.name).write_bytes(sibling.read_bytes())
    copy.write_text(curves_text(curves, ["a copy"]))
    assert read_curves(copy) == curves


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_times_are_positive_and_scalars_equal_arrays(path: Path) -> None:
    for (family, name), fitted in read_curves(path).items():
        shape = shape_of(family, name)
        many = np.asarray(fitted.curve.seconds(shape))
        assert (many > 0).all()
        assert np.isfinite(many).all()
        for place, value in enumerate(many.tolist()):
            one: Any = shape._replace(
                **{
                    size: column.tolist()[place]
                    for size, column in shape._asdict().items()
                    if isinstance(column, np.ndarray)
                }
            )
            assert fitted.curve.seconds(one) == value


def shape_of(family: str, name: str) -> Any:
    """Some shapes of a family, in a format."""
    few = np.array([1.0, 8.0, 300.0])
    if family in ("product", "quantise"):
        return Product(few, 4096.0, 11008.0, name)
    if family in ("decode", "prompt"):
        decodes = family == "decode"
        queries = np.ones(3) if decodes else few
        return Attention(few, queries, few * 7.0, 16.0, 2.0, 128.0, 0.0, name, decodes)
    if family in ("latent_decode", "latent_prompt"):
        decodes = family == "latent_decode"
        return LatentAttention(few, few**0.0, few * 7.0, 16.0, 576.0, name, decodes)
    if family == "experts":
        return Experts(few, 2048.0, 768.0, 128.0, 128.0, 8.0, name)
    return AllReduce(few * 1e4, np.array([2.0, 4.0, 8.0]))


def test_shapes_are_found_by_family_and_format() -> None:
    for family in FAMILIES:
        if family != "quantise":
            name = "bf16" if family == "all_reduce" else "fp8"
            assert key_of(shape_of(family, name)) == (family, name)


def test_streams_are_nearly_free_in_a_decode_step_and_not_in_a_prompt() -> None:
    kernels = FittedKernels("h100-sxm-80gb", ALL)

    def seconds(rows: float) -> float:
        found = kernels.time(Product(rows, 2048.0, 22016.0, "bf16"))
        assert found is not None
        return float(found.seconds)

    assert seconds(8.0) < 1.1 * seconds(1.0)
    assert seconds(8192.0) > 4.0 * seconds(1024.0)


def test_narrow_products_are_padded_and_lose_their_quantising() -> None:
    kernels = FittedKernels("b200", ALL)
    curves = load_curves("b200", "vllm")
    one, eight = (Product(rows, 4096.0, 12288.0, "fp8") for rows in (1.0, 8.0))
    curve = curves["product", "fp8"].curve
    assert curve.seconds(one) > 1.5 * curve.seconds(eight)  # as measured
    found = kernels.time(one)
    assert found is not None
    assert found.seconds < curve.seconds(eight)


def test_a_relative_with_half_the_bandwidth_reads_more_slowly() -> None:
    shape = Product(1.0, 16384.0, 65536.0, "bf16")  # 2 GB
    times = [
        FittedKernels("a100-sxm-80gb", ALL, rates).time(shape) for rates in ((1.0, 1.0), (0.5, 1.0))
    ]
    assert times[0] is not None
    assert times[1] is not None
    # A little of it is computing, which is as fast.
    assert 1.6 * times[0].seconds < times[1].seconds < 2.0 * times[0].seconds


def test_an_engine_without_kernels_has_no_times() -> None:
    kernels = FittedKernels("h100-sxm-80gb", KernelSources())
    assert not kernels
    assert kernels.time(Product(1.0, 64.0, 64.0, "bf16")) is None
    assert load_curves("t4", "vllm") == {}


def test_damage_is_one_sentence(tmp_path: Path) -> None:
    path = curves_path(tmp_path, "h100-sxm-80gb", "vllm")
    path.parent.mkdir(parents=True)
    curve = load_curves("h100-sxm-80gb", "vllm")["all_reduce", "bf16"]
    text = curves_text({("all_reduce", "bf16"): replace(curve, lender="")}, [])
    for wrong, message in (
        (text.replace("devices =", "gpus ="), "its fields must be those of ReduceCurve"),
        (text + "\n[norm.bf16]\nx = 1\n", "norm"),
        ('[borrowed]\n"product.bf16" = "mine"\n', "mine"),
    ):
        path.write_text(wrong)
        with pytest.raises(InputError, match=message):
            read_curves(path)


def test_curves_are_flat() -> None:
    curves = load_curves("h100-sxm-80gb", "vllm")
    for fitted in curves.values():
        assert isinstance(fitted, FittedCurve)
        curve: Any = fitted.curve
        for item in fields(curve):
            assert isinstance(getattr(curve, item.name), float | int | tuple)
