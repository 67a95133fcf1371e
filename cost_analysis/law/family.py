"""Models of one shape in other sizes: one depth and one number of heads, other widths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from cost_analysis.common.arrays import Array, Number, single, single_count
from cost_analysis.common.errors import InputError
from cost_analysis.common.units import format_count
from cost_analysis.inputs.layers import Experts
from cost_analysis.inputs.models import load_model
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.inputs.weights import parameters

TOLERANCE = 0.01
"""Largest relative error of a widened model's parameter count."""

FAMILY = ("0.5b", "0.7b", "1.1b", "1.6b", "2.8b", "4.4b")
"""The published sizes, smallest first."""


@cache
def family() -> tuple[ModelSpec, ...]:
    """The published models at P = 1, smallest first."""
    return tuple(load_model(name).spec for name in FAMILY)


def size_of(spec: ModelSpec) -> Number:
    """Parameters without embeddings, prefixes and aggregator included: the law's N."""
    return parameters(spec).non_embedding


def describe(model: ModelSpec) -> str:
    """A one-line description of an architecture."""
    name = f"{model.name.upper()}: " if model.name else ""
    return (
        f"{name}{format_count(single(size_of(model)))} parameters without embeddings, "
        f"hidden {model.hidden_size}, MLP {model.intermediate_size}, "
        f"{model.num_hidden_layers} layers"
    )


def widened(spec: ModelSpec, size: float) -> ModelSpec:
    """The P = 1 model of `size` parameters without embeddings at the depth and shape of `spec`.

    The hidden size is a multiple of the heads and of 128, the MLP a multiple of 128 or, where the
    count needs finer steps, of a smaller power of two. Of the shapes whose count is right to
    within 1 %, it is the one whose ratio of the widths is nearest to that of `spec`.

    Args:
        spec: The model whose depth, heads and vocabulary are kept.
        size: Parameters without embeddings, N.

    Raises:
        InputError: No such model: the count is too small for the depth, or experts have a width
            of their own, which no ratio ties to the others.
    """
    if any(isinstance(kind.mlp, Experts) and kind.mlp.width is not None for kind in spec.layers):
        raise InputError(
            f"{spec_title(spec)} cannot be widened: its experts have a width of their own; name a "
            "model to compare with"
        )
    multiple = hidden_multiple(spec)
    shape = single(spec.intermediate_size / spec.hidden_size)
    ratio = size / single(size_of(spec.with_streams(1)))
    guess = single(spec.hidden_size) * math.sqrt(ratio)
    nearest = max(1, round(guess / multiple))
    best: tuple[float, ModelSpec] | None = None
    for step in range(max(1, nearest - 3), nearest + 4):
        for model in _candidates(spec, step * multiple, size):
            if abs(single(size_of(model)) / size - 1) <= TOLERANCE:
                wide = single(model.intermediate_size / model.hidden_size)
                off = abs(math.log(wide / shape))
                if best is None or off < best[0]:
                    best = (off, model)
                break
    if best is None:
        raise InputError(
            f"no model of {format_count(size)} parameters without embeddings has "
            f"{spec.num_hidden_layers} layers and a hidden size that is a multiple of {multiple}"
        )
    return best[1]


def _candidates(spec: ModelSpec, hidden: int, size: float) -> Sequence[ModelSpec]:
    """Models of one hidden size, the MLP as near the count as multiples of 128, 64, … allow."""
    bare, two = (single(size_of(spec.with_widths(hidden, inner))) for inner in (1, 2))
    wanted = (size - bare) / (two - bare) + 1
    found = []
    for multiple in (128, 64, 32, 16, 8, 4, 2, 1):
        inner = round(wanted / multiple) * multiple
        if inner >= 1:
            found.append(spec.with_widths(hidden, inner))
    return found


def spec_title(spec: ModelSpec) -> str:
    """The name of a model in a sentence."""
    return spec.name.upper() or f"a model of hidden size {spec.hidden_size}"


def in_family(spec: ModelSpec) -> bool:
    """Whether a model is a published one, apart from its streams."""
    plain = replace(spec, streams=1)
    return any(
        plain
        == replace(
            member,
            name=spec.name,
            prefix_tokens=spec.prefix_tokens,
            max_position_embeddings=spec.max_position_embeddings,
        )
        for member in family()
    )


LARGEST = 1e12
"""Parameters without embeddings of the largest model of a plan."""


def model_sizes(base: ModelSpec, largest: float = LARGEST) -> ModelSpec:
    """Models of the depth, heads and vocabulary of `base` in steps of 1 % of their size or less.

    Hidden sizes are multiples of the heads and of 128; between two of them the MLP is widened or
    narrowed in powers of two, so that the sizes follow on each other. The base is among them, and
    where it is a published model the other published ones are too.

    Args:
        base: The model, of any number of streams.
        largest: Parameters without embeddings at which to stop, N.

    Returns:
        One model whose widths are arrays (sizes,), N rising.
    """
    multiple = hidden_multiple(base)
    reach = math.sqrt(largest / single(size_of(base.with_streams(1))))
    steps = max(2, math.ceil(reach * single(base.hidden_size) / multiple) + 2)
    hidden = np.arange(1, steps + 1, dtype=np.float64) * multiple
    widths = [pair for row in _bands(base, hidden) for pair in row]
    members = family() if in_family(base) else (base,)
    widths += [(float(m.hidden_size), float(m.intermediate_size)) for m in members]
    outer, inner = np.array(sorted(set(widths))).T
    sizes = np.asarray(size_of(base.with_widths(outer, inner)))
    order = np.argsort(sizes, kind="stable")[: np.count_nonzero(sizes <= largest)]
    return base.with_widths(outer[order], inner[order])


def _bands(base: ModelSpec, hidden: Array) -> list[list[tuple[float, float]]]:
    """For each hidden size the MLP widths up to halfway to its neighbours' sizes."""
    one, two = (
        np.asarray(size_of(base.with_widths(hidden, np.full_like(hidden, width))))
        for width in (1, 2)
    )
    slope = two - one
    shape = single(base.intermediate_size / base.hidden_size)
    middle = one + (shape * hidden - 1) * slope
    between = np.sqrt(middle[1:] * middle[:-1])
    lows = np.concatenate([middle[:1] / 2, between])
    highs = np.concatenate([between, middle[-1:]])
    columns = (hidden, one, slope, middle, lows, highs)
    return [_band(*row) for row in zip(*columns, strict=True)]


def _band(
    hidden: float, one: float, slope: float, middle: float, low: float, high: float
) -> list[tuple[float, float]]:
    """MLP widths of one hidden size between two sizes: multiples of a power of two."""
    step = 2.0 ** max(0, math.floor(math.log2(TOLERANCE * min(low, middle) / slope)))
    first = max(1, math.ceil((low - one + slope) / slope / step))
    last = math.ceil((high - one + slope) / slope / step) + 1  # so that no gap is left
    return [(float(hidden), width * step) for width in range(first, last)]


def hidden_multiple(spec: ModelSpec) -> int:
    """The number whose multiples are hidden sizes of models of the same heads: 128 divides it."""
    return math.lcm(128, single_count(spec.num_attention_heads) if spec.scales_heads else 1)
