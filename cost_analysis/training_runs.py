"""Training runs that a scaling law is fitted on: the published ones, or a user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.csv_table import CsvTable, read_table
from cost_analysis.errors import InputError, unknown_name
from cost_analysis.profiles import profiles_folder
from cost_analysis.units import format_count

Array = npt.NDArray[np.float64]

SIZE_COLUMNS = ("non_embedding_parameters", "N")
LOSS_COLUMNS = ("loss", "loss_stack_v2_python", "loss_pile")
DATASETS = {"stack": "loss_stack_v2_python", "pile": "loss_pile"}
"""Data sets of the published runs and their columns."""

DATASET_NAMES = {"stack": "Stack-V2-Python", "pile": "Pile"}
"""What people call them."""

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
