"""The lines of a journal of measurements: a typed record for each kind, which "kind" names.

A field that is UNSET is left out of the line: it does not apply, as what only a GPU has on a
machine whose processors are measured. A field that could not be read is None, and null in the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

GpuFigure = float | None | UnsetType
"""A number that is read from a GPU: None where the driver does not say, UNSET without a GPU."""


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all kinds of lines share: the name of their kind, under "kind"."""


class RecordedMachine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine that a plan was made on.

    Attributes:
        cpu: Name of the processor.
        cores: Physical cores.
        logical_cores: Hardware threads.
        affinity: Those of them that the process may run on.
        clock: Of the processors, the mean over them [Hz].
        max_clock: Highest that they are allowed [Hz].
        governor: The kernel's policy for the clock.
        cpu_quota: Cores' worth of time that the control group grants; None means no limit.
        threads: Of the process.
        memory: Of the machine [B].
        memory_available: For new allocations [B].
        memory_limit: Of the control group [B]; None means no limit.
        load: Processes that ran or waited, averages of 1, 5 and 15 minutes.
        system: Operating system, its release, and the architecture.
        gpu: Name of the GPU; None where there is none to read.
        gpu_missing: Why no GPU can be read.
        gpu_uuid: Of the GPU.
        driver: Version of its driver.
        power_limit_watts: Enforced [W].
        max_sm_clock_hz: [Hz].
        max_memory_clock_hz: [Hz].
        mig: Whether the GPU is split into instances.
        device_memory_used_bytes: On the GPU before anything was loaded [B].
        gpu_unread: Field to the driver's name of the reason why it cannot be read.
    """

    cpu: str | None = None
    cores: int | None = None
    logical_cores: int | None = None
    affinity: tuple[int, ...] | None = None
    clock: float | None = None
    max_clock: float | None = None
    governor: str | None = None
    cpu_quota: float | None = None
    threads: int | None = None
    memory: float | None = None
    memory_available: float | None = None
    memory_limit: float | None = None
    load: tuple[float, float, float] | None = None
    system: str = ""
    gpu: str | UnsetType | None = UNSET
    gpu_missing: str | UnsetType = UNSET
    gpu_uuid: str | UnsetType | None = UNSET
    driver: str | UnsetType | None = UNSET
    power_limit_watts: GpuFigure = UNSET
    max_sm_clock_hz: GpuFigure = UNSET
    max_memory_clock_hz: GpuFigure = UNSET
    mig: bool | UnsetType | None = UNSET
    device_memory_used_bytes: GpuFigure = UNSET
    gpu_unread: dict[str, str] | UnsetType = UNSET


class PlannedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a plan, as it is run.

    Attributes:
        job: Its name, unique in the plan.
        label: Name of the model in tables; the base runs under it in every group.
        role: "base", "streams" or "parameters".
        group: Number of the group that is loaded together.
        base: Job of the base that it is compared with.
        paired: Whether base and model are in the same group, and run in turn.
        parameters: Of the model.
    """

    job: str
    label: str
    role: str
    group: int
    base: str
    paired: bool
    parameters: int


class Plan(Line, tag="plan", frozen=True, kw_only=True):
    """The first line of a validation: what is measured, where, and in which groups.

    Attributes:
        size: "tiny", "small" or "paper".
        dataset: Of the scaling law.
        dtype: Of weights and activations.
        batch_size: Sequences.
        input_length: Prompt tokens of each.
        output_length: Generated tokens of each.
        device: "cpu" or a CUDA device.
        engine: "eager" or "graphs".
        threads: CPU threads; None means PyTorch's choice.
        machine: The machine that it was made on.
        command: The command that began it.
        versions: Of the programs that take part; None where one is not known.
        jobs: The models, in the order in which they are run.
        refused: Label of a model that cannot be run to the reason.
    """

    size: str
    dataset: str
    dtype: str
    batch_size: int
    input_length: int
    output_length: int
    device: str
    engine: str
    threads: int | None = None
    machine: RecordedMachine = RecordedMachine()
    command: str = ""
    versions: dict[str, str | None] = {}
    jobs: tuple[PlannedJob, ...]
    refused: dict[str, str] = {}


class Loaded(Line, tag="loaded", frozen=True, kw_only=True):
    """A model was loaded.

    Attributes:
        job: The job.
        load_seconds: Building or reading the model [s].
        threads: CPU threads that it runs on.
        parameters: That it holds.
        affinity: Hardware threads that its process may run on.
    """

    job: str
    load_seconds: float
    threads: int
    parameters: int
    affinity: tuple[int, ...] = ()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request, timed.

    Attributes:
        prefill: Time to the first token's logits [s].
        steps: Time of each decode step [s].
        total: The whole request [s].
    """

    prefill: float
    steps: tuple[float, ...] = ()
    total: float


class Run(Line, tag="run", frozen=True, kw_only=True):
    """The requests of a job in one round, and what was read meanwhile.

    Attributes:
        job: The job.
        round: Number of the round; negative in the warm-up, whose runs do not count.
        energy_joules: Of one request [J]; None where it could not be read.
        energy_source: "counter", "power" or "rapl"; None likewise.
        energy_missing: Why the energy was not read, or read in a lesser way.
        device_memory_used_bytes: On the GPU, at most [B].
        process_memory_bytes: Of the job's process on the GPU, at most [B].
        sm_clock_hz: Mean [Hz].
        memory_clock_hz: Mean [Hz].
        temperature_celsius: Mean [degC].
        utilisation: Share of the time in which a kernel ran.
        watts: Mean power [W].
        prefill: Of the first request: time to the first token's logits [s].
        steps: Of the first request: time of each decode step [s].
        total: The whole first request [s].
        again: More requests of the same round, where one is too short for its energy to be read.
        memory_before_bytes: Of the process before the model was loaded [B].
        memory_loaded_bytes: After it was loaded [B].
        memory_peak_bytes: At most during the last request [B].
        memory_reserved_bytes: That PyTorch's allocator had reserved on a GPU at most [B].
    """

    job: str
    round: int
    energy_joules: float | None = None
    energy_source: str | None = None
    energy_missing: str = ""
    device_memory_used_bytes: GpuFigure = UNSET
    process_memory_bytes: GpuFigure = UNSET
    sm_clock_hz: GpuFigure = UNSET
    memory_clock_hz: GpuFigure = UNSET
    temperature_celsius: GpuFigure = UNSET
    utilisation: GpuFigure = UNSET
    watts: GpuFigure = UNSET
    prefill: float
    steps: tuple[float, ...] = ()
    total: float
    again: tuple[Request, ...] | UnsetType = UNSET
    memory_before_bytes: float
    memory_loaded_bytes: float | UnsetType = UNSET
    memory_peak_bytes: float
    memory_reserved_bytes: float | UnsetType = UNSET


class Failed(Line, tag="failed", frozen=True, kw_only=True):
    """A job ended early, and is not run again.

    Attributes:
        job: The job.
        reason: A sentence without its stop.
    """

    job: str
    reason: str


class Finished(Line, tag="finished", frozen=True, kw_only=True):
    """A job has all its runs.

    Attributes:
        job: The job.
    """

    job: str


class Ended(Line, tag="ended", frozen=True, kw_only=True):
    """All groups of a validation have been run.

    Attributes:
        clock_hz: Of the processors by then [Hz].
        sampler_cost: Processor time that reading the GPU took, as a share of one core.
        sampler_rate: Readings per second.
    """

    clock_hz: float | None = None
    sampler_cost: float | UnsetType = UNSET
    sampler_rate: float | UnsetType = UNSET


class Finding(Line, tag="finding", frozen=True, kw_only=True):
    """Something that makes the readings doubtful.

    Attributes:
        text: What, why, and what to do about it.
    """

    text: str


Row = Plan | Loaded | Run | Failed | Finished | Ended | Finding
"""A line of a journal."""

AnyRow = TypeVar("AnyRow", bound=Line)


def rows_of(rows: Iterable[Row], kind: type[AnyRow]) -> list[AnyRow]:
    """The rows of a kind."""
    return [row for row in rows if isinstance(row, kind)]


def counted_runs(rows: Iterable[Row]) -> list[Run]:
    """The runs that count: those after the warm-up."""
    return [run for run in rows_of(rows, Run) if run.round >= 0]


def requests_of(run: Run) -> Sequence[Request]:
    """The requests of a run.

    A short request is repeated within its round until the window is long enough for its energy to
    be read; the repeats are under `again`.
    """
    first = Request(prefill=run.prefill, steps=run.steps, total=run.total)
    return (first, *(run.again or ()))
