"""Curves of attention: found again where one made the timings, and near real timings."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from cost_analysis.distilling.attention_curves import (
    errors_of,
    fit_decode,
    fit_prompt,
    held_out_errors,
)
from cost_analysis.distilling.attention_timings import (
    Timings,
    columns_of,
    folds_of,
    shaped,
    timings_of,
)
from cost_analysis.kernels.attention import DecodeCurve, PromptCurve
from cost_analysis.kernels.shapes import Attention, LatentAttention
from tests.helpers.data import read_rows
from tests.kernels.test_attention import GROUPS, PROMPT, STEP

BANDWIDTH, PEAK = 3.35e12, 989e12
SIZES = ("sequences", "queries", "context", "query_heads", "kv_heads", "head_dim", "window")
PEAKS = {"h100_sxm": (3.35e12, 989e12), "l40s": (864e9, 362e12), "a100_sxm": (2.039e12, 312e12)}


def grid(decodes: bool) -> Attention:
    """Some sequences, contexts by powers of 4, heads of three models."""
    counts = [1.0, 2.0, 8.0, 32.0, 128.0, 1024.0]
    sequences, context, heads = np.meshgrid(counts, 4.0 ** np.arange(2, 8), range(3))
    few = sequences * context < 1e6
    place = heads[few]
    query_heads, kv_heads = np.array([16.0, 32.0, 64.0])[place], np.array([2.0, 8.0, 8.0])[place]
    queries = 1.0 if decodes else context[few]
    sizes = (sequences[few], queries, context[few], query_heads, kv_heads, 128.0, 0.0)
    return Attention(*sizes, cache="bf16", decodes=decodes)


def made(curve: DecodeCurve | PromptCurve, noise: float = 0.0) -> Timings:
    shape = grid(isinstance(curve, DecodeCurve))
    random = np.random.default_rng(0).standard_normal(np.shape(shape.sequences))
    return timings_of(shape, np.asarray(curve.seconds(shape, warm=True)) * np.exp(noise * random))


def test_it_finds_what_made_the_timings() -> None:
    decode = fit_decode(made(GROUPS), BANDWIDTH, PEAK)
    errors = errors_of(decode, made(GROUPS))
    assert (errors.median < 0.01, errors.ninety < 0.03, errors.ratio < 0.02) == (True,) * 3
    assert decode.memory == pytest.approx(GROUPS.memory, rel=0.03)
    prompt = fit_prompt(made(PROMPT), BANDWIDTH, PEAK)
    errors = errors_of(prompt, made(PROMPT))
    assert (errors.median < 0.01, errors.ninety < 0.03) == (True,) * 2
    assert prompt.peaks[1] == pytest.approx(PROMPT.peaks[1], rel=0.05)
    assert prompt.packed == PROMPT.packed


def test_noise_and_a_stray_timing_move_little() -> None:
    timings = made(GROUPS, noise=0.03)
    seconds = timings.seconds.copy()
    seconds[5] *= 100.0
    curve = fit_decode(replace(timings, seconds=seconds), BANDWIDTH, PEAK)
    assert errors_of(curve, made(GROUPS)).median < 0.03


def test_a_fit_is_deterministic_and_four_digits_are_enough() -> None:
    timings = made(PROMPT, noise=0.03)
    curve = fit_prompt(timings, BANDWIDTH, PEAK)
    assert fit_prompt(timings, BANDWIDTH, PEAK) == curve
    changes: dict[str, Any] = {}
    for name in PromptCurve.__slots__:
        value = getattr(curve, name)
        short = [float(f"{each:.4g}") for each in np.atleast_1d(value)]
        changes[name] = tuple(short) if isinstance(value, tuple) else short[0]
    rounded = PromptCurve(**changes).seconds(timings.shape)
    assert np.allclose(np.asarray(rounded), np.asarray(curve.seconds(timings.shape)), rtol=2e-3)


def real(device: str, phase: str) -> Timings:
    rows = [row for row in read_rows("kernel_attention.csv") if row["device"] == device]
    rows = [row for row in rows if row["phase"] == phase]
    columns = [np.array([float(row[name]) for row in rows]) for name in SIZES]
    like = STEP._replace(cache=rows[0]["cache"], decodes=phase == "decode")
    return timings_of(shaped(like, columns), np.array([float(row["seconds"]) for row in rows]))


@pytest.mark.golden
@pytest.mark.parametrize("device", ["h100_sxm", "l40s"])
def test_decode_steps_of_real_kernels(device: str) -> None:
    timings = real(device, "decode")
    curve = fit_decode(timings, *PEAKS[device])
    errors = errors_of(curve, timings)
    assert errors.rows >= 90
    assert errors.median < 0.04
    assert errors.ninety < 0.15
    assert errors.ratio < 0.04
    if device == "l40s":  # its FlashAttention 2 packs no windows and no heads without a group
        assert (curve.lone_groups[0], curve.lone_windows) == (2.0, 1.0)


@pytest.mark.golden
@pytest.mark.parametrize("device", ["h100_sxm", "a100_sxm"])
def test_prompts_of_real_kernels(device: str) -> None:
    timings = real(device, "prompt")
    bandwidth, peak = PEAKS[device]
    curve = fit_prompt(timings, bandwidth, 2.0 * peak if device == "h100_sxm" else peak)
    errors = errors_of(curve, timings)
    assert errors.rows >= 90
    assert errors.median < 0.04
    assert errors.ninety < 0.15


def test_latent_attention_is_fitted_in_the_same_way() -> None:
    shape = grid(True)
    sizes = (shape.sequences, 1.0, shape.context, shape.query_heads, 576.0)
    latent = LatentAttention(*sizes, cache="fp8", decodes=True)
    timings = timings_of(latent, np.asarray(GROUPS.seconds(latent, warm=True)))
    errors = errors_of(fit_decode(timings, BANDWIDTH, PEAK), timings)
    assert errors.median < 0.02


def test_errors_are_of_shapes_that_the_fit_has_not_seen() -> None:
    timings, seen = made(GROUPS), []

    def fit(part: Timings) -> DecodeCurve:
        seen.append(part)
        return GROUPS

    errors = held_out_errors(timings, fit, fold=3)
    assert set(folds_of(seen[0].shape).tolist()) == {0, 1, 2, 4}
    inside = folds_of(timings.shape) == 3
    assert errors["all"].rows == inside.sum() == timings.seconds.size - seen[0].seconds.size
    assert errors["all"].median < 1e-12
    buckets = [each for name, each in errors.items() if name.startswith("sequences")]
    assert sum(each.rows for each in buckets) == errors["all"].rows
    double = replace(GROUPS, start=GROUPS.start * 2.0)
    worse = held_out_errors(timings, lambda _: double, fold=3)
    assert worse["context 1-512"].median > worse["context 8193-131072"].median > 0
    assert worse["all"].bias > 0


def test_prompts_of_one_token_are_left_out() -> None:
    shape = grid(False)
    timings = timings_of(shape, np.asarray(PROMPT.seconds(shape)))
    one = timings.part(np.asarray(timings.shape.context) == 16.0)
    odd = replace(one, shape=one.shape._replace(queries=np.ones(one.seconds.size)))
    pairs = zip(columns_of(timings.shape), columns_of(odd.shape), strict=True)
    columns = [np.concatenate(pair) for pair in pairs]
    seconds = np.concatenate([timings.seconds, odd.seconds * 100.0])
    both = timings_of(shaped(shape, columns), seconds)
    fit = partial(fit_prompt, bandwidth=BANDWIDTH, peak=PEAK)
    assert fit(both) == fit(timings)
