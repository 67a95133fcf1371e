"""Training runs that a law is fitted on, and whether they suffice for a fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.common.arrays import Array, Number
from cost_analysis.common.errors import InputError, unknown_name
from cost_analysis.common.files import CsvTable, read_table
from cost_analysis.common.units import format_count
from cost_analysis.inputs.profiles import profiles_folder

SIZE_COLUMNS = ("non_embedding_parameters", "N")
LOSS_COLUMNS = ("loss", "loss_stack_v2_python", "loss_pile")
DATASETS = {"stack": "loss_stack_v2_python", "pile": "loss_pile"}
"""Data sets of the published runs and their columns."""

DATASET_NAMES = {"stack": "Stack-V2-Python", "pile": "Pile"}
"""Names that users may give, and the data set of each."""

SMALLEST, LARGEST = 1e-100, 1e100
"""Limits of every value, so that products of a few stay floats."""

FAMILY_WIDTH = 1.1
"""Models of one size differ by prefixes and aggregator only: up to 2 % in the published runs."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Training runs, one an index.

    Attributes:
        parameters: Parameters without embeddings, N, (runs,).
        streams: Parallel streams, P, (runs,).
        loss: Final loss, (runs,).
        sizes: Name of the size that a run belongs to; models of one size differ in P only. Left
            out, runs whose N lie within 10 % are of one size.
    """

    parameters: Array
    streams: Array
    loss: Array
    sizes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every value, and name the sizes.

        Raises:
            InputError: Not three equally long lists of positive numbers, P whole.
        """
        for name in ("parameters", "streams", "loss"):
            object.__setattr__(self, name, _checked(name, getattr(self, name)))
        lengths = {self.parameters.size, self.streams.size, self.loss.size}
        if len(lengths) > 1:
            raise InputError(
                f"runs need as many parameters as streams and losses, not {self.parameters.size}, "
                f"{self.streams.size} and {self.loss.size}"
            )
        names = tuple(self.sizes) or _families(self.parameters)
        if len(names) != self.parameters.size:
            raise InputError(f"{self.parameters.size} runs have {len(names)} names of sizes")
        object.__setattr__(self, "sizes", names)

    def __len__(self) -> int:
        """Number of runs."""
        return self.loss.size


def _checked(name: str, values: Any) -> Array:
    """A list of positive numbers as float64; P must be whole and at least 1."""
    try:
        array = np.array(values, np.float64, ndmin=1)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} of the runs must be numbers") from None
    if array.ndim != 1:
        raise InputError(f"{name} of the runs must be one list, not {array.ndim}-dimensional")
    good = (array > SMALLEST) & (array < LARGEST)
    wanted = "a positive number"
    if name == "streams":
        good &= array == np.floor(array)
        wanted = "a whole number from 1"
    if not good.all():
        row = int(np.argmin(good))
        raise InputError(f"run {row + 1}: {name} is {array[row]:g}; it must be {wanted}")
    array.setflags(write=False)
    return array


def _families(parameters: Array) -> tuple[str, ...]:
    """The size of every run, named by its smallest model."""
    names = np.empty(parameters.size, dtype=object)
    first = 0.0
    for index in np.argsort(parameters, kind="stable"):
        if parameters[index] > first * FAMILY_WIDTH:
            first = float(parameters[index])
        names[index] = format_count(first)
    return tuple(names)


def published_runs(dataset: str) -> Runs:
    """The 24 published runs: six sizes, each at P = 1, 2, 4 and 8.

    Args:
        dataset: "stack" (Stack-V2-Python) or "pile".

    Raises:
        InputError: No such data set.
    """
    if dataset not in DATASETS:
        raise unknown_name("data set", dataset, DATASETS)
    return read_runs(profiles_folder() / "training_runs.csv", DATASETS[dataset])


def read_runs(path: str | Path, loss: str | None = None) -> Runs:
    """Training runs from a CSV file with a header, one run a row.

    Args:
        path: The file. Columns `non_embedding_parameters` (or `N`), `P` and a loss; a column
            `size` names the sizes.
        loss: Name of the loss column; None takes `loss`, `loss_stack_v2_python` or `loss_pile`,
            whichever the file has.

    Raises:
        InputError: A file that cannot be read, a column that is missing, or a cell that is not a
            positive number.
    """
    table = read_table(Path(path))
    losses = _loss_column(table) if loss is None else table.column(loss)
    return Runs(
        np.array(table.positive_numbers(table.column(*SIZE_COLUMNS))),
        np.array(table.positive_numbers(table.column("P"), whole=True)),
        np.array(table.positive_numbers(losses)),
        table.texts("size") if "size" in table.header else (),
    )


def _loss_column(table: CsvTable) -> str:
    """The only loss column, where the user named none."""
    found = [name for name in LOSS_COLUMNS if name in table.header]
    if len(found) > 1:
        raise InputError(f"{table.name!r} has several losses; name one of {', '.join(found)}")
    return found[0] if found else table.column(*LOSS_COLUMNS)


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
    runs: Runs,
    parameters: Number | None = None,
    streams: Number | None = None,
    loss: Number | None = None,
) -> list[str]:
    """A sentence for each value outside the range of the runs that a law was fitted on.

    Args:
        runs: The runs.
        parameters: Parameters without embeddings, N, at which the law is evaluated.
        streams: Parallel streams, P.
        loss: Losses at which its inverse is evaluated.
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
