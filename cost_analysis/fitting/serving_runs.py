"""Measured serving runs: time per token of an engine at a batch, one run a row.

Two files are read, by their columns:

- closed loops at a fixed number of requests (`serving.csv`): mean time per output token, with the
  prompts of other requests in between;
- steps at a mean batch (`energy.csv`, ML.ENERGY): median time between tokens; the lengths of the
  prompts are not stated.

Neither says how the cache is stored. Runs of quantised weights are taken to have an fp8 cache under
TensorRT-LLM and on Blackwell, as the ModelOpt checkpoints state and the published recipes ask for;
all others a 16-bit one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from cost_analysis.common.errors import InputError
from cost_analysis.common.files import CsvTable, read_table
from cost_analysis.fitting.served_models import served_model
from cost_analysis.inputs.profiles import load_hardware

ENGINES = {"vllm": "vllm", "sglang": "sglang", "trtllm": "tensorrt-llm"}
"""Engines as the file names them, and our names."""

OLD_VLLM = "vllm-2025"
LAST_OLD_VLLM = 13
"""vLLM as it came in 2025, up to version 0.13: its graphs are cut at each attention, and kernels
of experts and of block-wise fp8 are not tuned for many sizes. Runs that state no version are those
of benchmarks that turn whole graphs on."""

SERVED_ENGINES = (*ENGINES.values(), OLD_VLLM)
"""Engines of served runs."""

STORED = {
    "bf16": "bf16",
    "fp8": "fp8",
    "fp8_block": "fp8-b128",
    "nvfp4": "nvfp4",
    "mxfp4": "mxfp4",
    "int4_wo": "int4",
}
"""Formats as the files name them, and our names."""

NARROW = ("nvfp4", "mxfp4", "int4")
"""Formats of four bits, in which some checkpoints store the experts alone."""


@dataclass(frozen=True, slots=True)
class ServedRun:
    """One measured run.

    Attributes:
        id: Its name in the file.
        model: The model's name on the Hub.
        profile: The model's profile; "" where there is none.
        hardware: Name of the device's profile.
        engine: One of `SERVED_ENGINES`, where it is known.
        version: The engine's version, as published; "" where it is not stated.
        weights: Format of the weights of attention and dense layers.
        experts: Format of the weights of routed experts.
        cache: Format of cached keys and values.
        tensor_parallel: Devices that share the heads of a sequence.
        data_parallel: Groups of such devices, each with sequences of its own.
        expert_parallel: Groups of devices among which whole experts are divided.
        input_length: Tokens of a prompt; None where they are not stated.
        output_length: Tokens that a request generates, or their mean.
        batch: Requests at a time, those of all groups together.
        seconds: Time between two tokens of a request [s].
        statistic: "mean" over all tokens, with the prompts of others in between, or "median".
        refusal: Why the model cannot represent the run, or nothing.
    """

    id: str
    model: str
    profile: str
    hardware: str
    engine: str
    version: str
    weights: str
    experts: str
    cache: str
    tensor_parallel: int
    data_parallel: int
    expert_parallel: int
    input_length: float | None
    output_length: float
    batch: float
    seconds: float
    statistic: str
    refusal: str = ""

    @property
    def kind(self) -> tuple[str, ...]:
        """What runs are alike in, beside lengths and layout: model, formats, device, engine."""
        return (self.profile, self.hardware, self.engine, self.weights, self.experts)

    @property
    def layout(self) -> tuple[int, ...]:
        """How the model is divided among devices."""
        return (self.tensor_parallel, self.data_parallel, self.expert_parallel)

    @property
    def devices(self) -> int:
        """Devices that run the model."""
        return self.tensor_parallel * self.data_parallel


def read_serving_runs(path: Path) -> tuple[ServedRun, ...]:
    """The runs of a file, closed loops or steps at a mean batch, as its columns say.

    Raises:
        InputError: A file that cannot be read, or that lacks a column.
    """
    table = read_table(path)
    if "median_itl_s" in table.header:
        return tuple(_steps(table))
    return _without_drafts(list(_closed_loops(table)))


DRAFTED = 1.3
"""Times of a configuration that was published twice, the longer over the shorter, from which the
shorter is taken to be of drafted tokens; repeats differ by less than 1.1."""


def _without_drafts(runs: Sequence[ServedRun]) -> tuple[ServedRun, ...]:
    """The runs, those refused that may have drafted tokens: the files do not say which did.

    They are all runs of a model that can, in one format on one device by one engine, where some
    configuration was published with times that are far apart.
    """
    times: dict[tuple[object, ...], dict[tuple[object, ...], list[float]]] = {}
    for run in runs:
        if not run.refusal and served_model(run.model).drafts:
            same = (run.layout, run.input_length, run.output_length, run.batch)
            times.setdefault(run.kind, {}).setdefault(same, []).append(run.seconds)
    drafted = {
        kind
        for kind, found in times.items()
        if any(max(seconds) > DRAFTED * min(seconds) for seconds in found.values())
    }
    reason = "tokens may be drafted: a configuration was published with times far apart"
    return tuple(
        replace(run, refusal=run.refusal or reason) if run.kind in drafted else run for run in runs
    )


class _Cells:
    """The cells of one row, by column."""

    def __init__(self, columns: dict[str, tuple[str, ...]], row: int) -> None:
        self._columns, self._row = columns, row

    def text(self, name: str) -> str:
        return self._columns[name][self._row]

    def number(self, name: str) -> float:
        """A positive number; 0 for a cell that holds none."""
        try:
            value = float(self.text(name))
        except ValueError:
            return 0.0
        return value if math.isfinite(value) and value > 0 else 0.0

    def count(self, name: str) -> int:
        """A whole number; 0 for a cell that holds none."""
        return int(self.number(name))


def _rows(table: CsvTable, names: tuple[str, ...]) -> Iterator[_Cells]:
    columns = {name: table.texts(table.column(name)) for name in names}
    return (_Cells(columns, row) for row in range(len(table.rows)))


_LOOP_COLUMNS = (
    "id",
    "mode",
    "model",
    "hardware",
    "engine",
    "engine_version",
    "gemm_format",
    "moe_format",
    "input_tokens",
    "output_tokens",
    "concurrency",
    "tensor_parallel",
    "pipeline_parallel",
    "attention_data_parallel",
    "moe_tensor_parallel",
    "moe_expert_parallel",
    "tpot_s",
)


def _closed_loops(table: CsvTable) -> Iterator[ServedRun]:
    for row in _rows(table, _LOOP_COLUMNS):
        model, engine = served_model(row.text("model")), row.text("engine")
        weights = _stored(row.text("gemm_format"), model.blocks)
        experts = _stored(row.text("moe_format"), model.blocks)
        if experts in NARROW and model.wide_attention:
            weights = "bf16"
        groups = row.count("attention_data_parallel") or 1
        yield ServedRun(
            id=row.text("id"),
            model=row.text("model"),
            profile=model.profile,
            hardware=row.text("hardware"),
            engine=_engine_of(engine, row.text("engine_version")),
            version=row.text("engine_version"),
            weights=weights,
            experts=experts,
            cache=_cache_format(engine, row.text("hardware"), experts),
            tensor_parallel=row.count("tensor_parallel") or 1,
            data_parallel=groups,
            expert_parallel=row.count("moe_expert_parallel") or 1,
            input_length=row.number("input_tokens"),
            output_length=row.number("output_tokens"),
            batch=row.number("concurrency") * groups,
            seconds=row.number("tpot_s"),
            statistic="mean",
            refusal=_loop_refusal(row, model.reason),
        )


def _engine_of(name: str, version: str) -> str:
    """Our name of an engine; an unknown one keeps its own."""
    numbers = version.split(".")
    if name == "vllm" and numbers[0] == "0" and numbers[1:2] and numbers[1].isdigit():
        return OLD_VLLM if int(numbers[1]) <= LAST_OLD_VLLM else ENGINES[name]
    return ENGINES.get(name, name)


def _loop_refusal(row: _Cells, reason: str) -> str:
    """Why a closed loop cannot be represented, or nothing."""
    if row.text("mode") != "agg":
        return "prompts and tokens are on devices of their own, at batches that are not stated"
    known = _known(row, reason)
    if known:
        return known
    if row.text("engine") not in ENGINES:
        return f"engine {row.text('engine')!r} is not known"
    for name in ("gemm_format", "moe_format"):
        if row.text(name) not in STORED and row.text(name):
            return f"format {row.text(name)!r} is not known"
    if row.count("pipeline_parallel") > 1:
        return "time per token of stages in a row is not told apart"
    if row.count("attention_data_parallel") > 1:
        return "the devices of attention in groups are stated in two ways"
    split = row.count("moe_tensor_parallel") * row.count("moe_expert_parallel")
    if split > 1 and split != row.count("tensor_parallel"):
        return f"attention is on {row.count('tensor_parallel')} devices and experts on {split}"
    return _missing(row, ("input_tokens", "output_tokens", "concurrency", "tpot_s"))


_STEP_COLUMNS = (
    "id",
    "model",
    "hardware",
    "devices",
    "tensor_parallel",
    "data_parallel",
    "expert_parallel",
    "weight_format",
    "mean_batch",
    "mean_output_tokens",
    "median_itl_s",
)


def _steps(table: CsvTable) -> Iterator[ServedRun]:
    for row in _rows(table, _STEP_COLUMNS):
        model, stored = served_model(row.text("model")), row.text("weight_format")
        experts = _stored(stored, model.blocks)
        groups = row.count("data_parallel") or 1
        yield ServedRun(
            id=row.text("id"),
            model=row.text("model"),
            profile=model.profile,
            hardware=row.text("hardware"),
            engine=OLD_VLLM,
            version="2025",
            weights="bf16" if experts in NARROW and model.wide_attention else experts,
            experts=experts,
            cache="bf16",
            tensor_parallel=max(row.count("devices") // groups, 1),
            data_parallel=groups,
            expert_parallel=row.count("expert_parallel") or 1,
            input_length=None,
            output_length=row.number("mean_output_tokens"),
            batch=row.number("mean_batch"),
            seconds=row.number("median_itl_s"),
            statistic="median",
            refusal=_step_refusal(row, model.reason),
        )


def _step_refusal(row: _Cells, reason: str) -> str:
    """Why a run at a mean batch cannot be represented, or nothing."""
    known = _known(row, reason)
    if known:
        return known
    if row.text("weight_format") not in STORED:
        return f"format {row.text('weight_format')!r} is not known"
    return _missing(row, ("devices", "mean_batch", "mean_output_tokens", "median_itl_s"))


def _known(row: _Cells, reason: str) -> str:
    """Why the model or the device of a row is not known, or nothing."""
    if reason:
        return f"model {row.text('model')!r}: {reason}"
    try:
        _is_blackwell(row.text("hardware"))
    except InputError as error:
        return str(error)
    return ""


def _missing(row: _Cells, names: tuple[str, ...]) -> str:
    missing = [name for name in names if not row.number(name)]
    return f"no {', '.join(missing)}" if missing else ""


def _stored(name: str, blocks: bool) -> str:
    """Our name of a format; an empty cell is 16-bit, and fp8 that of the published checkpoint."""
    found = STORED.get(name, "bf16")
    return "fp8-b128" if found == "fp8" and blocks else found


def _cache_format(engine: str, hardware: str, stored: str) -> str:
    """The format of the cache, which files do not state."""
    if stored == "bf16":
        return "bf16"
    try:
        narrow = engine == "trtllm" or _is_blackwell(hardware)
    except InputError:
        return "bf16"
    return "fp8" if narrow else "bf16"


@cache
def _is_blackwell(hardware: str) -> bool:
    """Whether a device is of that generation.

    Raises:
        InputError: No such device.
    """
    return "Blackwell" in load_hardware(hardware).architecture
