"""Whether training runs suffice for a fit, and which questions lie outside their range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.arrays import Number
from cost_analysis.errors import InputError
from cost_analysis.law_curve import Array
from cost_analysis.training_runs import Runs
from cost_analysis.units import format_count

LEAST_RUNS, LEAST_SIZES = 5, 3
"""One run more than the law has parameters, and sizes that identify E, A and alpha."""

LARGEST_SPAN = 1e8
"""Largest N over smallest N, or loss over loss, that can be one study in one unit."""

EDGE = 1.01
"""N past the outermost runs by less than this factor is at their edge, not beyond it."""


def refuse_unfit(runs: Runs) -> None:
    """Refuse runs from which E, A, alpha and k cannot be identified.

    Raises:
        InputError: Too few runs, sizes or stream counts, or losses that are all equal.
    """
    points = len(set(zip(runs.parameters, runs.streams, strict=True)))
    sizes, streams = len(set(runs.sizes)), np.unique(runs.streams)
    if points < LEAST_RUNS:
        raise InputError(
            f"the law has 4 parameters and needs at least {LEAST_RUNS} runs that differ in N or P, "
            f"not {points}"
        )
    if sizes < LEAST_SIZES:
        raise InputError(
            f"E, A and alpha can be identified from {LEAST_SIZES} model sizes or more; "
            f"the runs have {sizes}"
        )
    if len(streams) < 2:
        raise InputError(
            f"all runs have P = {streams[0]:g}; k can be identified from two values of P or more"
        )
    if runs.loss.min() == runs.loss.max():
        raise InputError(f"all runs have the loss {runs.loss[0]:g}; a law cannot be fitted")
    for name, values in (("N", runs.parameters), ("loss", runs.loss)):
        if values.max() > LARGEST_SPAN * values.min():
            raise InputError(
                f"{name} of the runs goes from {values.min():g} to {values.max():g}; "
                f"the largest may be {LARGEST_SPAN:g} times the smallest (check the units)"
            )


def resample_suffices(runs: Runs, weights: Array) -> npt.NDArray[np.bool_]:
    """Whether the parameters can be identified from each resample, (samples,).

    Args:
        runs: The runs.
        weights: How often each sample holds each run, (samples, runs).
    """
    points = [f"{n} {p}" for n, p in zip(runs.parameters, runs.streams, strict=True)]
    kinds: tuple[tuple[Sequence[Any], int], ...] = (
        (points, LEAST_RUNS - 1),
        (runs.sizes, LEAST_SIZES),
        (list(runs.streams), 2),
    )
    drawn = (weights > 0).astype(np.float64)
    enough = [_distinct(drawn, labels) >= least for labels, least in kinds]
    return enough[0] & enough[1] & enough[2]


def _distinct(drawn: Array, labels: Sequence[Any]) -> npt.NDArray[np.int64]:
    """How many different labels each sample draws, (samples,)."""
    number = np.unique(np.asarray(labels), return_inverse=True)[1]
    return np.asarray((drawn @ np.eye(number.max() + 1)[number] > 0).sum(axis=1))


def evidence_warnings(
    runs: Runs, parameters: Number = None, streams: Number = None, loss: Number = None
) -> list[str]:
    """A sentence for each value outside the range of the runs that a law was fitted on.

    Args:
        runs: The runs.
        parameters: Parameters without embeddings, N, that the law is asked about.
        streams: Parallel streams, P.
        loss: Losses that it is asked about.
    """
    sentences = []
    if streams is not None and np.max(streams) > runs.streams.max():
        sentences.append(
            f"P = {np.max(streams):g} is beyond the runs, which end at P = {runs.streams.max():g}"
        )
    if parameters is not None:
        sentences += _beyond("N", parameters, runs.parameters, format_count, EDGE)
    if loss is not None:
        sentences += _beyond("loss", loss, runs.loss, "{:.4f}".format, 1.0)
    return [f"{sentence}: the law is extrapolated" for sentence in sentences]


def _beyond(
    name: str, values: Number, known: Array, written: Callable[[float], str], edge: float
) -> list[str]:
    """Sentences on values below and above those that are known."""
    low, high, least, most = np.min(values), np.max(values), known.min(), known.max()
    sentences = []
    if low * edge < least:
        sentences.append(f"{name} = {written(low)} is below the runs, from {written(least)}")
    if high > most * edge:
        sentences.append(f"{name} = {written(high)} is above the runs, up to {written(most)}")
    return sentences
