"""Predicted times of measured serving runs: many in a few array calls, linear in coefficients.

The time between two tokens is that of a decode step, the mean over the steps of a request. A mean
over all tokens holds the prompts of other requests as well: in a closed loop each of the other
c - 1 requests runs its prompt once while a request decodes its O - 1 steps, on the device that
already runs a step: the host adds nothing for it.

With measured kernels everything that engines differ by adds up: times of small kernels, of the
host, of sequences. So the cost model is evaluated once for each coefficient, not in each step of a
fit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.common.errors import InputError
from cost_analysis.cost.estimate import check_layout, passes
from cost_analysis.cost.latency import decode_phase
from cost_analysis.cost.operator import Operator
from cost_analysis.cost.roofline import Speeds, speeds_of
from cost_analysis.fitting.predictions import Floats
from cost_analysis.fitting.serving_runs import ServedRun
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import Precision, dtype_named
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.layers import Experts, LayerGroup
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.models import load_model
from cost_analysis.inputs.profiles import load_hardware
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import System
from cost_analysis.inputs.weights import expert_width

MOST_REQUESTS = 32.0
"""Requests at a time up to which runs are fitted and judged."""

UNSTATED_PROMPT = 500.0
"""Tokens of a prompt where they are not stated: about those of a chat."""

PROMPT_SHARE = 0.9
"""Share of the prompts of others that is in the mean time between tokens: a few of them run before
the first token."""

LINEAR: dict[str, Callable[[Any], Any]] = {
    "kernel_floor": lambda value: value,
    "kernel_gap": lambda value: value,
    "link_latency": lambda value: value,
    "step_host_time": lambda value: value,
    "sequence_host_time": lambda value: value,
    "kernel_factor": lambda value: value,
    "elementwise_share": lambda value: 1.0 / value,
}
"""Coefficients of engines, and by what of them time is linear."""


@dataclass(frozen=True, slots=True, eq=False)
class ServedRows:
    """Runs of one model in one format on one device by one engine, ready for one array call.

    Attributes:
        runs: The runs.
        places: Where they stand among all runs, (rows,).
        named: The engine of each.
        sources: What counts as much as any other in a fit: the model, under its engine.
        seconds: What was measured [s], (rows,).
        start: Predicted time where every linear term is 0 [s], (rows,).
        slopes: What a unit of each of `LINEAR` adds, (rows,).
    """

    runs: tuple[ServedRun, ...]
    places: npt.NDArray[np.intp]
    named: tuple[Engine, ...]
    sources: tuple[str, ...]
    seconds: Floats
    start: Floats
    slopes: dict[str, Floats]

    def predicted(self, engine: Engine) -> Floats:
        """Time between two tokens by an engine whose coefficients may be arrays [s].

        Only those of `LINEAR` may differ from the engine that the rows were made with.
        """
        seconds = self.start
        for name, linear in LINEAR.items():
            seconds = seconds + self.slopes[name] * linear(getattr(engine, name))
        return seconds


def served_rows(
    runs: Sequence[ServedRun], engine_of: Callable[[ServedRun], Engine]
) -> list[ServedRows]:
    """Runs in as few groups as their models, formats, devices and engines allow.

    Args:
        runs: Runs that can be represented (`represented_runs`).
        engine_of: The engine of a run, with all that is not fitted.
    """
    groups = defaultdict(list)
    for place, run in enumerate(runs):
        formats = run.weights, run.experts, run.cache
        groups[run.profile, run.hardware, engine_of(run).name, *formats].append(place)
    return [
        _rows([runs[place] for place in places], places, engine_of(runs[places[0]]))
        for places in groups.values()
    ]


def _rows(runs: list[ServedRun], places: list[int], engine: Engine) -> ServedRows:
    start, slopes = _linear(_Work(runs), engine)
    return ServedRows(
        runs=tuple(runs),
        places=np.array(places),
        named=(engine,) * len(runs),
        sources=tuple(f"{engine.name} {run.profile}" for run in runs),
        seconds=np.array([run.seconds for run in runs]),
        start=start,
        slopes=slopes,
    )


def _linear(work: _Work, engine: Engine) -> tuple[Floats, dict[str, Floats]]:
    """The time of runs as a sum of what coefficients add: evaluated at each twice its value."""
    whole = work.seconds(engine)
    start, slopes = whole, {}
    for name, linear in LINEAR.items():
        value = getattr(engine, name) or 1e-6
        moved = _with(engine, name, 2.0 * value)
        change = linear(2.0 * value) - linear(getattr(engine, name))
        slopes[name] = (work.seconds(moved) - whole) / change
        start = start - slopes[name] * linear(getattr(engine, name))
    return start, slopes


def _with(engine: Engine, name: str, value: Any) -> Engine:
    changed: dict[str, Any] = {name: value}
    return replace(engine, **changed)


class _Work:
    """What a group of runs computes, whatever the engine."""

    def __init__(self, runs: Sequence[ServedRun]) -> None:
        spec, lengths = spec_of(runs[0]), _lengths(runs)
        self.hardware = load_hardware(runs[0].hardware)
        self.precision, self.layout = _precision(runs[0]), _layout(runs)
        batch, prompt = lengths.batch_size, lengths.input_length
        own = batch / self.layout.expert_parallel
        self.steps = lengths.decode_steps
        self.step = passes(spec, lengths, self.precision, self.layout)
        self.alone, self.mixed = (
            passes(spec, Workload(1, tokens, 1), self.precision, self.layout).prefill
            for tokens in (prompt, np.round(prompt + own))
        )
        holds_prompts = np.array([run.statistic == "mean" for run in runs])
        self.prompts = np.where(holds_prompts, PROMPT_SHARE * (batch - 1.0) / self.steps, 0.0)

    def seconds(self, engine: Engine) -> Floats:
        """Time between two tokens [s]."""
        speeds = speeds_of(System(self.hardware, engine, self.precision, self.layout))
        step, launched = self.step, self.step.launched
        decode = decode_phase(step.first_step, step.growth, self.steps, launched, speeds)
        found: Floats = decode.seconds / self.steps + self.prompts * self._added(speeds)
        return found

    def _added(self, speeds: Speeds) -> Floats:
        """What a prompt adds to a step that it runs in [s].

        Its rows join those of the step in every product, so that weights are read once.
        """

        def others(operators: Sequence[Operator]) -> dict[tuple[str, str], Any]:
            return {
                (operator.name, operator.part): speeds.time(operator).seconds
                for operator in operators
                if operator.kind != "attention" and operator.part != "lm head"
            }

        attention = sum(
            speeds.time(operator).seconds for operator in self.alone if operator.kind == "attention"
        )
        before, after = others(self.step.first_step), others(self.mixed)
        shared = sum(before[name] for name in before.keys() & after.keys())
        added: Floats = attention + sum(after.values()) - shared
        return added


def _lengths(runs: Sequence[ServedRun]) -> Workload:
    """Batches and lengths of runs as whole numbers."""
    asked = (
        (run.batch, run.input_length or UNSTATED_PROMPT, max(run.output_length, 2.0))
        for run in runs
    )
    batch, prompt, output = np.maximum(np.round(np.array(list(asked))), 1.0).T
    return Workload(batch, prompt, output)


def _layout(runs: Sequence[ServedRun]) -> Layout:
    """Devices that share heads, whole experts on them, and groups with sequences of their own."""
    shared: Any = np.array([float(run.tensor_parallel) for run in runs])
    groups: Any = np.array([float(run.data_parallel) for run in runs])
    wholes: Any = np.array([_expert_groups(run) for run in runs])
    return Layout(
        tensor_parallel=shared,
        expert_parallel=1 if (groups == 1.0).all() else groups,
        expert_groups=1 if (wholes == 1.0).all() else wholes,
    )


def _expert_groups(run: ServedRun) -> float:
    """Parts of the devices that share heads, among which whole experts are divided.

    No engine cuts a block of weights that shares a scale (vLLM refuses such a division): experts
    whose parts would not be whole blocks are whole themselves, whatever the file says.
    """
    each = run.expert_parallel / run.data_parallel
    if each > 1 and run.tensor_parallel % each == 0:
        return each
    return float(run.tensor_parallel) if _cuts_blocks(run) else 1.0


def _cuts_blocks(run: ServedRun) -> bool:
    scales = dtype_named(run.experts or "bf16").scales
    if scales is None or scales.outputs <= 1:
        return False
    spec = load_model(run.profile).spec
    widths = {
        expert_width(spec, group.mlp) for group in spec.groups if isinstance(group.mlp, Experts)
    }
    return any(width % (run.tensor_parallel * scales.outputs) for width in widths)


def _precision(run: ServedRun) -> Precision:
    return Precision(weights=run.experts or run.weights, kv_cache=run.cache)


def spec_of(run: ServedRun) -> ModelSpec:
    """The model of a run; attention in 16 bits where the checkpoint keeps it so."""
    spec = load_model(run.profile).spec
    if run.weights == run.experts or run.weights != "bf16":
        return spec
    return replace(spec, layers=tuple(map(_with_wide_attention, spec.layers)))


def _with_wide_attention(group: LayerGroup) -> LayerGroup:
    return replace(group, attention=replace(group.attention, wide=True))


def represented_runs(
    runs: Iterable[ServedRun], most: float = MOST_REQUESTS
) -> tuple[list[ServedRun], list[tuple[ServedRun, str]]]:
    """Runs that the model can represent, up to a number of requests, and others with the reason."""
    kept, refused = [], []
    for run in runs:
        reason = run.refusal or _refusal(run, most)
        if reason:
            refused.append((run, reason))
        else:
            kept.append(run)
    return kept, refused


def _refusal(run: ServedRun, most: float) -> str:
    if round(run.batch / run.data_parallel) > most:
        return f"more than {most:.0f} requests at a time"
    try:
        device = load_hardware(run.hardware)
        check_layout(_layout([run]), spec_of(run), device)
        _check_formats(device, run)
    except InputError as error:
        return str(error)
    return ""


def _check_formats(device: Hardware, run: ServedRun) -> None:
    """Refuse formats that a device cannot multiply.

    Raises:
        InputError: Such a format.
    """
    device.matmul_peak(_precision(run).compute)
