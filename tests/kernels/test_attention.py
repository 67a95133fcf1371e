"""Curves of attention kernels: laws of physics, and the same bits for numbers and arrays."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.distilling.attention_timings import shaped
from cost_analysis.kernels.attention import (
    LATENT_WIDTH,
    DecodeCurve,
    PromptCurve,
    scores_of,
    sizes_of,
)
from cost_analysis.kernels.shapes import Attention, LatentAttention

DECODE = DecodeCurve(
    start=1e-5,
    start_widths=(0.9, 1.0, 1.1, 1.2),
    blocks=(0.0, 1e-7, 3e-7, 9e-7, 2e-6, 1.6e-5, 5.4e-5),
    block_widths=(0.8, 1.0, 1.3, 3.0),
    keys=(0.0, 4e-7, 2e-6, 2.2e-6, 2.3e-6, 3e-6, 5e-6),
    rows=(0.99, 1.0, 1.0, 1.05, 1.1, 1.2, 1.3, 1.6),
    copy=(1e-7, 3e-6),
    memory=3e12,
    cached=9e12,
    held=3e7,
    lost=4.5e7,
    head_rate=2e12,
    peak=3e14,
    overlap=0.3,
    margin=64.0,
    lone_groups=(2.0, 32.0),
    lone_windows=0.0,
    lone_tokens=0.0,
    lone_start=8e-6,
    lone_blocks=(0.0, 1e-6, 2e-6, 6e-6, 2e-5),
    lone_keys=(0.0, 1e-6, 2e-6, 3e-6, 8e-6),
    lone_head_rate=1e11,
    lone_again=6e12,
)
GROUPS = replace(DECODE, lone_groups=(1.0, 1e9))
PROMPT = PromptCurve(
    start=1.2e-5,
    start_widths=(0.9, 1.0, 1.1, 1.2),
    short=1e-6,
    tile=2e-8,
    tile_widths=(0.9, 1.0, 1.2, 1.5),
    packed=1.0,
    key=1e-8,
    key_widths=(0.9, 1.0, 2.0, 3.0),
    masked=60.0,
    window_masked=120.0,
    peaks=(5e14, 6.5e14, 7e14, 3e14),
    memory=3e12,
    cached=6e12,
    held=3e7,
    lost=6e7,
    written=(5e-11, 1e-10, 2e-10, 5e-10, 6e-10),
    overlap=0.2,
    tile_overlap=0.0,
)


STEP = Attention(1.0, 1.0, 1024.0, 16.0, 2.0, 128.0, 0.0, "bf16", True)


def decode(sequences: Any = 1.0, context: Any = 1024.0, **changes: Any) -> Attention:
    return STEP._replace(sequences=sequences, context=context, **changes)


def prompt(sequences: Any = 1.0, queries: Any = 1024.0, **changes: Any) -> Attention:
    changes = {"context": queries, "decodes": False} | changes
    return STEP._replace(sequences=sequences, queries=queries, **changes)


COUNTS = st.integers(1, 4096).map(float)
CURVES = [
    DECODE,
    replace(DECODE, lone_windows=1.0, lone_tokens=8192.0),
    PROMPT,
    replace(PROMPT, packed=0.0),
]
SHAPES = st.builds(
    Attention,
    sequences=COUNTS,
    queries=st.sampled_from([1.0, 2.0, 7.0, 500.0]),
    context=st.integers(500, 1 << 17).map(float),
    query_heads=st.sampled_from([8.0, 16.0, 64.0]),
    kv_heads=st.sampled_from([1.0, 2.0, 8.0]),
    head_dim=st.sampled_from([64.0, 80.0, 128.0, 256.0, 512.0]),
    window=st.sampled_from([0.0, 128.0, 4096.0]),
    cache=st.sampled_from(["bf16", "fp8"]),
    decodes=st.booleans(),
)


@pytest.mark.property
@pytest.mark.parametrize("curve", CURVES)
@given(shapes=st.lists(SHAPES, min_size=2, max_size=4), warm=st.booleans())
def test_arrays_give_the_same_bits_as_numbers(
    curve: DecodeCurve | PromptCurve, shapes: list[Attention], warm: bool
) -> None:
    shapes = [each._replace(cache=shapes[0].cache, decodes=shapes[0].decodes) for each in shapes]
    columns = [np.array(column) for column in list(zip(*shapes, strict=True))[:7]]
    together = curve.seconds(shaped(shapes[0], columns), warm=warm)
    alone = [float(curve.seconds(each, warm=warm)) for each in shapes]
    assert np.asarray(together).tolist() == alone
    assert type(curve.seconds(shapes[0], warm=warm)) is float
    assert min(alone) > 0.0


@pytest.mark.property
@pytest.mark.parametrize("curve", [GROUPS, replace(DECODE, lone_groups=(1e9, 1e9))])
@given(sequences=COUNTS, context=st.integers(1, 1 << 16).map(float), warm=st.booleans())
def test_more_to_read_never_takes_less(
    curve: DecodeCurve, sequences: float, context: float, warm: bool
) -> None:
    once = curve.seconds(decode(sequences, context), warm=warm)
    longer = curve.seconds(decode(sequences, context + 1.0), warm=warm)
    assert longer >= once * (1.0 - 1e-12)
    assert curve.seconds(decode(sequences + 1.0, context), warm=warm) >= once * (1.0 - 1e-12)
    assert curve.seconds(decode(sequences, context)) >= once * (1.0 - 1e-12)


def test_a_large_cache_is_read_at_the_rate_of_the_memory() -> None:
    """2 KV heads × 2 × 128 × 2 bytes a position, to within what blocks and starts take."""
    shape = decode(64.0, 100_000.0)
    read = 64 * 100_000 * 1024 / DECODE.memory
    for warm in (False, True):
        assert 1.0 < DECODE.seconds(shape, warm=warm) / read < 1.02
    assert DECODE.seconds(shape._replace(cache="fp8")) / read == pytest.approx(0.5, rel=0.03)


def test_a_cache_in_l2_is_read_from_there_only_if_it_is_warm() -> None:
    shape = decode(8.0, 2048.0)  # 17 MB, which L2 holds
    assert DECODE.seconds(shape) > 1.1 * DECODE.seconds(shape, warm=True)
    beyond = decode(8.0, 8192.0)
    assert DECODE.seconds(beyond) == DECODE.seconds(beyond, warm=True)


def test_few_blocks_read_no_faster_from_memory_than_from_l2() -> None:
    slow = replace(DECODE, cached=1e12)
    shape = decode(8.0, 2048.0)
    assert slow.seconds(shape) == slow.seconds(shape, warm=True)


def test_a_decode_step_by_hand() -> None:
    """One sequence, 512 positions, 8 query heads of one KV head: knots of every table."""
    read = (512 * 512 + 4 * 128 * 8) / DECODE.memory
    head = 512 * 512 / DECODE.head_rate
    assert head > read
    expected = DECODE.start + DECODE.keys[3] + head
    found = DECODE.seconds(decode(1.0, 512.0, query_heads=8.0, kv_heads=1.0))
    assert found == pytest.approx(expected, rel=1e-12)


def test_who_runs_in_the_kernel_of_lone_heads() -> None:
    lone = replace(DECODE, start=1.0)
    assert lone.seconds(decode(kv_heads=16.0)) < 0.1  # no group
    assert lone.seconds(decode(query_heads=48.0, kv_heads=1.0)) < 0.1  # a large one
    assert lone.seconds(decode(kv_heads=2.0)) >= 1.0
    assert lone.seconds(decode(window=128.0)) >= 1.0
    assert replace(lone, lone_windows=1.0).seconds(decode(window=128.0)) < 0.1
    few = replace(lone, lone_tokens=8192.0)
    assert few.seconds(decode(1.0, 4095.0)) < 0.1
    assert few.seconds(decode(1.0, 4096.0)) >= 1.0


def test_a_window_bounds_what_is_read() -> None:
    near = GROUPS.seconds(decode(64.0, 128.0 + GROUPS.margin, window=128.0))
    assert GROUPS.seconds(decode(64.0, 100_000.0, window=128.0)) == near
    assert near == GROUPS.seconds(decode(64.0, 128.0 + GROUPS.margin))


def test_queries_of_a_step_are_rows_of_a_group() -> None:
    """Two of four heads each read the same cache as one of eight: the same rows, the same time."""
    two = GROUPS.seconds(decode(64.0, 4096.0, queries=2.0, query_heads=8.0))
    one = GROUPS.seconds(decode(64.0, 4096.0, query_heads=16.0))
    assert two == pytest.approx(one, rel=1e-9)
    assert GROUPS.seconds(decode(64.0, 4096.0, queries=4.0)) > one
    assert GROUPS.seconds(decode(64.0, 4096.0, queries=256.0)) > 3.0 * one


@pytest.mark.property
@given(queries=st.integers(1, 60), past=st.integers(0, 60), window=st.integers(1, 130))
def test_scores_are_those_that_a_mask_leaves(queries: int, past: int, window: int) -> None:
    rows = np.arange(past, past + queries)[:, None]
    columns = np.arange(past + queries)[None, :]
    mask = (columns <= rows) & (columns > rows - window)
    context = float(past + queries)
    assert scores_of(float(queries), context, min(float(window), context)) == mask.sum()


def test_a_long_prompt_multiplies_at_the_peak() -> None:
    flops = 4 * 128 * 16 * 32768 * 32769 / 2
    ratio = PROMPT.seconds(prompt(4.0, 32768.0)) / (4 * flops / PROMPT.peaks[1])
    assert 1.0 < ratio < 1.03


@pytest.mark.property
@given(sequences=COUNTS, queries=st.integers(2, 4096).map(float), past=st.integers(1, 10**5))
def test_a_past_costs(sequences: float, queries: float, past: int) -> None:
    bare = PROMPT.seconds(prompt(sequences, queries))
    longer = prompt(sequences, queries, context=queries + past)
    assert PROMPT.seconds(longer) > bare
    assert PROMPT.seconds(longer, warm=True) <= PROMPT.seconds(longer)
    assert PROMPT.seconds(prompt(sequences, queries), warm=True) == bare


def test_chunks_of_a_prompt_multiply_what_it_multiplies() -> None:
    """A prompt of 64 K in 8 chunks over their past: the work is the same, but for the rereading."""
    chunk = 8192.0
    chunks = sum(
        float(PROMPT.seconds(prompt(8.0, chunk, context=chunk * (place + 1)))) for place in range(8)
    )
    whole = float(PROMPT.seconds(prompt(8.0, 8 * chunk)))
    assert 1.0 < chunks / whole < 1.1


def test_a_window_saves_products() -> None:
    assert PROMPT.seconds(prompt(8.0, 8192.0, window=128.0)) < 0.2 * float(
        PROMPT.seconds(prompt(8.0, 8192.0))
    )
    assert PROMPT.seconds(prompt(8.0, 100.0, window=128.0)) == PROMPT.seconds(prompt(8.0, 100.0))


def test_latent_attention_decodes_one_latent_for_all_heads() -> None:
    latent = LatentAttention(64.0, 1.0, 50_000.0, 16.0, 576.0, "bf16", True)
    assert sizes_of(latent)[3:7] == (16.0, 1.0, 288.0, 0.0)
    read = 64 * 50_000 * 576 * 2 / GROUPS.memory
    assert 1.0 < float(GROUPS.seconds(latent)) / read < 1.05
    full = LatentAttention(1.0, 512.0, 512.0, 16.0, 576.0, "bf16", False)
    assert sizes_of(full)[3:6] == (16.0, 16.0, LATENT_WIDTH)
    assert PROMPT.seconds(full) == PROMPT.seconds(
        prompt(1.0, 512.0, kv_heads=16.0, head_dim=LATENT_WIDTH)
    )


def test_one_number_needs_no_numpy() -> None:
    code = (
        "import sys\n"
        "from cost_analysis.kernels.attention import DecodeCurve, PromptCurve\n"
        "from cost_analysis.kernels.shapes import Attention\n"
        f"decode, prompt = {DECODE!r}, {PROMPT!r}\n"
        "shape = Attention(1.0, 1.0, 9.0, 16.0, 2.0, 128.0, 0.0, 'bf16', True)\n"
        "decode.seconds(shape), prompt.seconds(shape)\n"
        "assert 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
