"""How much of a workload fits a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cost_analysis.layout import SINGLE, Layout
from cost_analysis.memory import memory
from cost_analysis.spec import LARGEST_SIZE, ModelSpec, Precision, Workload


def largest_batch(
    spec: ModelSpec,
    workload: Workload,
    precision: Precision,
    limit: float,
    layout: Layout = SINGLE,
) -> int:
    """The largest batch whose memory stays within `limit` bytes; 0 if not even one sequence does.

    Args:
        spec: The model, a single one.
        workload: Lengths of the request; its batch size does not matter.
        precision: Storage formats.
        limit: Memory of a device that may be used [B].
        layout: How the model is divided among devices.
    """
    return _largest(
        lambda size: _fits(spec, replace(workload, batch_size=size), precision, limit, layout)
    )


def longest_context(
    spec: ModelSpec,
    workload: Workload,
    precision: Precision,
    limit: float,
    layout: Layout = SINGLE,
) -> int:
    """The most prompt and output tokens of each sequence that stay within `limit` bytes.

    The prompt grows, output length and batch stay; 0 if not even a prompt of one token fits.
    """
    output = int(workload.output_length)
    prompt = _largest(
        lambda size: _fits(spec, replace(workload, input_length=size), precision, limit, layout)
    )
    return prompt + output if prompt else 0


def _fits(
    spec: ModelSpec, workload: Workload, precision: Precision, limit: float, layout: Layout
) -> bool:
    return bool(memory(spec, workload, precision, layout).total <= limit)


def _largest(fits: Callable[[int], bool]) -> int:
    """The largest size that fits, given that everything smaller fits too."""
    low, high = 0, 1
    while high < LARGEST_SIZE and fits(high):
        low, high = high, min(2 * high, LARGEST_SIZE)
    if high == LARGEST_SIZE and fits(high):
        return LARGEST_SIZE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
