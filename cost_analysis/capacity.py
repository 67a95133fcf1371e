"""How much of a workload fits a device."""

from __future__ import annotations

import math
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
        lambda size: _free(spec, replace(workload, batch_size=size), precision, limit, layout)
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
        lambda size: _free(spec, replace(workload, input_length=size), precision, limit, layout)
    )
    return prompt + output if prompt else 0


def _free(
    spec: ModelSpec, workload: Workload, precision: Precision, limit: float, layout: Layout
) -> float:
    """What a workload leaves of a limit [B]; below 0 it does not fit."""
    return float(limit - memory(spec, workload, precision, layout).total)


def _largest(free: Callable[[int], float]) -> int:
    """The largest size that fits, given that everything smaller fits too.

    Memory is almost linear in a size, so the next guess is where a line through the two sizes
    around the limit meets it; every other guess halves what lies between them, whatever it is like.
    """
    low, high, is_linear = 0, 1, True
    left, lack = math.inf, free(high)
    while lack >= 0 and high < LARGEST_SIZE:
        low, left = high, lack
        high = min(8 * high, LARGEST_SIZE)
        lack = free(high)
    if lack >= 0:
        return LARGEST_SIZE
    while high - low > 1:
        share = left / (left - lack) if is_linear and low else 0.5
        guess = min(max(low + int((high - low) * share), low + 1), high - 1)
        found = free(guess)
        low, left = (guess, found) if found >= 0 else (low, left)
        high, lack = (high, lack) if found >= 0 else (guess, found)
        is_linear = not is_linear
    return low
