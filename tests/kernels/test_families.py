"""Least work of kernels, and where shapes lie in their table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.common.errors import InputError
from cost_analysis.kernels.families import (
    FAMILIES,
    Roofs,
    Work,
    attended,
    find_roofs,
    flat,
    format_of,
    is_possible,
    part_of,
)
from cost_analysis.kernels.library import Library, find_library
from cost_analysis.kernels.shapes import (
    AllReduce,
    Attention,
    Experts,
    LatentAttention,
    Product,
    Shape,
)
from tests.helpers.kernel_tables import BANDWIDTH, LINK, PEAK

ROOFS = Roofs({"bfloat16": 1e15, "fp8": 2e15}, 3e12, 4e11)


def work(shape: Shape) -> Work:
    return FAMILIES[type(shape)].work(flat(shape)[0], ROOFS)


def test_roofs_are_read_from_the_package(library: Library) -> None:
    assert find_roofs(library, "h100") == Roofs(
        {"bfloat16": PEAK, "fp8": 2 * PEAK}, BANDWIDTH, LINK
    )
    assert ROOFS.peak("fp8-block") == ROOFS.peak("fp8") == 2e15
    assert ROOFS.peak("int4") == ROOFS.peak("nvfp4") == 1e15  # no units of its own


@pytest.mark.parametrize("text", ["gpu: 1\n", "gpu: {mem_bw: 1}\nnode: {intra_node_bw: 1}\n"])
def test_a_damaged_description_is_said(package: Path, text: str) -> None:
    (package / "systems" / "l40s.yaml").write_text(text)
    with pytest.raises(InputError, match=r"description of l40s .* is damaged"):
        find_roofs(find_library(package), "l40s")


def test_products() -> None:
    least = work(Product(8.0, 1024.0, 512.0, "bf16"))
    assert least.flops[0] == 2 * 8 * 1024 * 512
    assert least.bytes[0] == 2 * (1024 * 512 + 8 * 1024 + 8 * 512)
    assert least.seconds[0] == max(least.flops[0] / 1e15, least.bytes[0] / 3e12)
    assert work(Product(8.0, 1024.0, 512.0, "int4")).bytes[0] < least.bytes[0] / 3
    assert work(Product(8.0, 1024.0, 512.0, "fp8")).bytes[0] < least.bytes[0] / 1.9


@pytest.mark.property
@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 90))
def test_attended_positions_are_those_counted_one_by_one(
    queries: int, past: int, window: int
) -> None:
    counted = sum(min(past + i + 1, window) for i in range(queries))
    found = attended(np.array([float(queries)]), np.array([float(past)]), np.array([float(window)]))
    assert found[0] == counted


@pytest.mark.parametrize("decodes", [True, False])
def test_attention_reads_its_window(decodes: bool) -> None:
    queries = 1.0 if decodes else 1024.0
    whole = work(Attention(2.0, queries, 1024.0, 16.0, 2.0, 128.0, 0.0, "bf16", decodes))
    same = work(Attention(2.0, queries, 1024.0, 16.0, 2.0, 128.0, 1024.0, "bf16", decodes))
    less = work(Attention(2.0, queries, 1024.0, 16.0, 2.0, 128.0, 128.0, "bf16", decodes))
    pairs = 1024.0 if decodes else 1024 * 1025 / 2
    assert whole.flops[0] == same.flops[0] == 4 * 2 * 16 * 128 * pairs
    assert whole.bytes[0] == same.bytes[0] == 4 * 2 * 128 * (2 * 1024 + 16 * queries)
    assert less.flops[0] < whole.flops[0] / 4
    assert (less.bytes[0] < whole.bytes[0]) == decodes  # a prompt reads all of it once


def test_experts_reach_more_of_them_with_more_tokens() -> None:
    few, many = (work(Experts(n, 2048.0, 768.0, 128.0, 128.0, 8.0, "bf16")) for n in (1.0, 1e4))
    matrices = 3 * 2048 * 768 * 2
    rows = 8 * 4 * (2048 + 768)
    assert few.bytes[0] == pytest.approx(8 * matrices + rows)
    assert many.bytes[0] == pytest.approx(128 * matrices + 1e4 * rows)
    part = work(Experts(16.0, 2048.0, 768.0, 128.0, 16.0, 8.0, "bf16"))
    assert part.flops[0] == 6 * 16 * 8 / 8 * 2048 * 768


def test_all_reduce_and_latent_attention() -> None:
    sent = work(AllReduce(1e6, np.array([2.0, 8.0])))
    assert sent.bytes.tolist() == [1e6, 1.75e6]
    assert (sent.seconds == sent.bytes / 4e11).all()
    decode = work(LatentAttention(2.0, 1.0, 512.0, 16.0, 576.0, "bf16", True))
    assert decode.flops[0] == 2 * 2 * 16 * 512 * (576 + 512)
    prompt = work(LatentAttention(2.0, 512.0, 512.0, 16.0, 576.0, "fp8", False))
    assert prompt.flops[0] == 2 * 2 * 16 * 512 * 513 / 2 * (192 + 128)


def test_the_same_blocks_lie_at_the_same_place() -> None:
    """32 KV heads of one sequence are as many blocks as 8 of four."""
    place = FAMILIES[Attention].coordinates
    many = flat(Attention(1.0, 1.0, 512.0, 32.0, 32.0, 128.0, 0.0, "bf16", True))[0]
    few = flat(Attention(4.0, 1.0, 512.0, 8.0, 8.0, 128.0, 0.0, "bf16", True))[0]
    assert (place(many).axes == place(few).axes).all()
    past = flat(Attention(1.0, 64.0, 112.0, 8.0, 8.0, 128.0, 0.0, "bf16", False))[0]
    assert place(past).beyond[0] == 112 / 64


def test_latents_of_another_width_lie_beyond_the_table() -> None:
    place = FAMILIES[LatentAttention].coordinates
    shape = flat(LatentAttention(1.0, 1.0, 512.0, 16.0, np.array([576.0, 288.0]), "bf16", True))[0]
    assert place(shape).beyond.tolist() == [1.0, 2.0]


def test_what_breaks_a_roof_is_impossible() -> None:
    shape = Product(np.array([1.0, 1.0, 1024.0]), np.full(3, 65536.0), np.full(3, 8192.0), "bf16")
    least = FAMILIES[Product].work(shape, ROOFS).seconds
    seconds = least * np.array([1.0, 0.5, 0.9])
    assert is_possible(shape, seconds, ROOFS).tolist() == [True, False, False]
    small = flat(Product(np.array([1.0]), 1024.0, 1024.0, "bf16"))[0]
    assert is_possible(small, np.array([1e-8]), ROOFS).all()  # from a cache
    experts = flat(Experts(np.array([8.0]), 8.0, 8.0, 8.0, 8.0, 8.0, "bf16"))[0]
    assert is_possible(experts, np.array([0.0]), ROOFS).all()


def test_shapes_become_flat_and_are_divided() -> None:
    sizes = np.array([[1.0, 2.0], [3.0, 4.0]])
    shape, dimensions = flat(Product(sizes, 64, 32.0, "fp8"))
    assert dimensions == (2, 2)
    assert isinstance(shape, Product)
    assert np.asarray(shape.rows).tolist() == [1, 2, 3, 4]
    part = part_of(shape, np.array([False, True, False, True]))
    assert np.asarray(part.rows).tolist() == [2, 4]
    assert format_of(part) == "fp8"
    assert flat(AllReduce(1.0, 2.0))[1] == ()
