"""An append-only record of measurements: one JSON object a line, on disk before the next begins.

A run that is killed loses at most the line that it was writing; `open_journal` removes such an
incomplete last line and returns the rest, so that a run can go on where it stopped.

The plan of a validation stands first: the base, the base with 2, 4 and 8 streams, and
parameter-scaled models. The base is in every group, so that a slow moment of the machine affects
all models that are compared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from cost_analysis.common.errors import LONGEST_PATH, InputError, shown
from cost_analysis.cost.memory import memory
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.models import load_model
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.law.family import size_of, widened
from cost_analysis.law.scaling_law import ScalingLaw
from cost_analysis.measure.journal_rows import AnyRow, Plan, Row, rows_of

LONGEST_REASON = 200
"""Characters of what is wrong with a line that a message repeats."""


class Journal:
    """A file that rows are appended to.

    Attributes:
        path: The file.
        rows: Every row of it, those that were there before included.
    """

    def __init__(self, path: Path, file: BinaryIO, rows: list[Row]) -> None:
        """Go on with an open file that holds `rows`."""
        self.path, self.rows = path, rows
        self._file = file

    def append(self, row: Row) -> None:
        """Write a row and wait until it is on disk."""
        # By the standard library: it refuses NaN, and takes a command's undecodable bytes.
        text = json.dumps(msgspec.to_builtins(row), allow_nan=False)
        self._file.write(text.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows.append(row)

    def of(self, kind: type[AnyRow]) -> list[AnyRow]:
        """The rows of a kind."""
        return rows_of(self.rows, kind)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Journal:
        """The journal itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def open_journal(path: Path, *, resume: bool) -> Journal:
    """A journal to append to.

    Args:
        path: The file; its folder must exist.
        resume: Go on with a journal that is there; otherwise it must not be.

    Raises:
        InputError: A file that cannot be written, is there already, or is no journal.
    """
    try:
        if path.exists() and not resume:
            raise InputError(f"{_named(path)} exists; give --resume to go on with it")
        rows, length = _parse(path.read_bytes(), path) if path.exists() else ([], 0)
        file = path.open("r+b" if path.exists() else "xb")
        file.truncate(length)
        file.seek(length)
    except OSError as error:
        raise InputError(f"cannot write {_named(path)}: {error.strerror}") from None
    return Journal(path, file, rows)


def read_journal(path: Path) -> list[Row]:
    """The rows of a journal.

    Raises:
        InputError: A file that cannot be read or is no journal.
    """
    try:
        return _parse(path.read_bytes(), path)[0]
    except OSError as error:
        raise InputError(f"cannot read {_named(path)}: {error.strerror}") from None


def _parse(content: bytes, path: Path) -> tuple[list[Row], int]:
    """The rows of a journal, and the bytes that they take: an incomplete last line is not one."""
    rows: list[Row] = []
    length = 0
    for number, line in enumerate(_whole_lines(content), start=1):
        try:
            rows.append(_row(line))
        except InputError as error:
            raise InputError(f"{_named(path)}, line {number}: {error}") from None
        length += len(line)
    return rows, length


def _row(line: bytes) -> Row:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError("not a JSON object")
    try:
        row: Row = msgspec.convert(content, Row)
    except msgspec.ValidationError as error:
        reason = str(error)[:LONGEST_REASON]
        raise InputError(f"not a line of a journal: {reason}") from None
    return row


def _whole_lines(content: bytes) -> Iterable[bytes]:
    return (line for line in content.splitlines(keepends=True) if line.endswith(b"\n"))


def _named(path: Path) -> str:
    return shown(str(path), LONGEST_PATH)


STREAMS = (2, 4, 8)
PROCESS_BYTES = 0.7e9
"""What a process holds beside its model: the interpreter, PyTorch and transformers [B]."""

TINY = ModelSpec(
    256, 1408, num_hidden_layers=4, num_attention_heads=8, vocab_size=4096, name="tiny"
)
"""The shape of the family, small enough for a first look."""


@dataclass(frozen=True, slots=True)
class Member:
    """A model of a plan.

    Attributes:
        label: "1.6B P=8".
        spec: The architecture.
        role: "base", "streams" or "parameters".
    """

    label: str
    spec: ModelSpec
    role: str


def members(size: str, law: ScalingLaw) -> list[Member]:
    """The models of a validation.

    Args:
        size: "tiny", "small" (the 0.5B family) or "paper" (1.6B, 2.8B and 4.4B as published).
        law: Sizes the parameter-scaled model of "tiny".
    """
    if size == "tiny":
        wide = law.equal_loss_size(size_of(TINY.with_streams(STREAMS[-1])), STREAMS[-1])
        base, wider = TINY, [("wider", widened(TINY, float(wide)))]
    else:
        names = {"small": ("0.5B", "0.7B", "1.1B"), "paper": ("1.6B", "2.8B", "4.4B")}[size]
        base, *rest = (load_model(name).spec for name in names)
        wider = list(zip(names[1:], rest, strict=True))
    name = base.name.upper()
    return [
        Member(f"{name} P=1", base, "base"),
        *(Member(f"{name} P={p}", base.with_streams(p), "streams") for p in reversed(STREAMS)),
        *(Member(f"{label} P=1", spec, "parameters") for label, spec in wider),
    ]


def needed_bytes(member: Member, workload: Workload, dtype: str) -> float:
    """Memory of the process that runs a model [B]."""
    held = memory(member.spec, workload, Precision(dtype, dtype, dtype)).total
    return float(held) + PROCESS_BYTES


def groups(
    plan: Sequence[Member], workload: Workload, dtype: str, available: float, *, force: bool
) -> tuple[list[list[Member]], list[tuple[Member, str]]]:
    """Models that are loaded together, the base in every group, and those that cannot be run.

    Args:
        plan: The models, the base first.
        workload: The request.
        dtype: Type of weights and activations.
        available: Memory that may be used [B].
        force: Also run models that do not seem to fit.
    """
    base, *others = plan
    need = {member.label: needed_bytes(member, workload, dtype) for member in plan}
    together: list[list[Member]] = []
    refused = []
    for member in others:
        if need[member.label] > available and not force:
            refused.append((member, too_large(need[member.label], available)))
        elif need[member.label] + need[base.label] > available:
            together.append([member])  # not beside the base: its times are not paired
        else:
            _join(together, base, member, need, available)
    if together and not any(base in group for group in together):
        together.insert(0, [base])  # nothing fits beside it, but all is measured against it
    return together, refused


def _join(
    together: list[list[Member]],
    base: Member,
    member: Member,
    need: dict[str, float],
    available: float,
) -> None:
    """Put a model into the first group with the base that has room, or into a new one."""
    for group in together:
        if group[0] == base and sum(need[m.label] for m in (*group, member)) <= available:
            group.append(member)
            return
    together.append([base, member])


def too_large(need: float, available: float) -> str:
    """The memory that a model needs and what is free, in words."""
    return f"needs {need / 2**30:.1f} GiB, {available / 2**30:.1f} GiB are free"


def plan_of(rows: Sequence[Row]) -> Plan:
    """The first row of a journal: what was to be measured, where, and in which groups.

    Raises:
        InputError: Rows that are not those of a validation.
    """
    plan = next(iter(rows), None)
    if not isinstance(plan, Plan):
        raise InputError("the journal does not begin with the plan of a validation")
    return plan
