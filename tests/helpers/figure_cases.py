"""Numbers of figures that several tests use, computed once."""

from __future__ import annotations

from functools import cache

import pytest

from cost_analysis import Workload, load_engine, load_hardware, load_model
from cost_analysis.compare.claims_on_gpus import ClaimsOnGpus
from cost_analysis.compare.cost_models import Setting
from cost_analysis.figures.breakdown import Breakdown, breakdown_parts
from cost_analysis.figures.costs import CostGrid, cost_grid
from cost_analysis.figures.crossover_map import CrossoverMap, crossover_map
from cost_analysis.figures.law import LossSurface, loss_curves, loss_surface
from cost_analysis.fitting.accuracy import Prediction, predictions, represented
from cost_analysis.fitting.measurements import read_measurements
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.system import System
from cost_analysis.law.equal_loss import chosen_baseline
from cost_analysis.law.runs import published_runs
from cost_analysis.law.scaling_law import Fit, fit
from cost_analysis.measure.verdicts import Verdict, read_verdicts
from cost_analysis.search.candidates import Space, boards, setups
from cost_analysis.search.plan import Limits, Plan, Question
from cost_analysis.search.queueing import Lengths, Server
from cost_analysis.search.serving import ServingView, serving_view
from tests.helpers.data import ROOT
from tests.helpers.gpu_claims import plain_claims

BASE = load_model("1.6B").spec
RUNS = ROOT / "profiles" / "runs"
STREAMS = (1, 2, 4, 8)
BATCHES = (1, 2, 4, 8)


@cache
def system(engine: str = "graphs") -> System:
    return System(load_hardware("a100-sxm-80gb"), load_engine(engine), Precision())


@cache
def law() -> Fit:
    return fit(published_runs("stack"))


@cache
def curves() -> tuple[LossSurface, ...]:
    return tuple(loss_curves(dataset) for dataset in ("stack", "pile"))


@cache
def surfaces() -> tuple[LossSurface, ...]:
    return tuple(loss_surface(dataset) for dataset in ("stack", "pile"))


@cache
def grid() -> CostGrid:
    return cost_grid(BASE, STREAMS, Setting(BATCHES), system())


@cache
def ratios(engine: str = "graphs", cost_model: str = "operators") -> CrossoverMap:
    streamed = BASE.with_streams(8)
    baseline = chosen_baseline(streamed, "law", law())
    return crossover_map(streamed, baseline, system(engine), cost_model)


@cache
def on_gpus() -> ClaimsOnGpus:
    """The claims on measured devices, by kernels whose times are a plain formula."""
    with pytest.MonkeyPatch.context() as patch:
        return plain_claims(patch)


@cache
def measured_runs() -> dict[str, list[Verdict]]:
    """Verdicts of the recorded runs."""
    found = read_verdicts([str(path) for path in sorted(RUNS.glob("*.jsonl"))])
    return {name: verdicts for name, (_, verdicts) in found.items()}


@cache
def predicted_rows() -> list[Prediction]:
    """Predictions of the cited rows."""
    return predictions(represented(read_measurements())[0])


@cache
def parts(output_length: int = 64) -> Breakdown:
    return breakdown_parts(BASE, STREAMS, Workload(2, 100, output_length), system())


ONE_SECOND = Limits(latency=1.0)


@cache
def planned(
    streams: tuple[int, ...] = STREAMS,
    rate: float | None = None,
    limits: Limits = ONE_SECOND,
    memory: float | None = None,
) -> tuple[Question, Plan]:
    """A plan and its question."""
    chosen = setups(
        boards([system()]), [Precision()], (1,) if rate is None else None, memory_limit=memory
    )
    space = Space(BASE, streams, chosen, law().law, rate=rate)
    asked = Question(space, limits, "loss", law(), "the published runs")
    return asked, asked.answer()


@cache
def served(
    streams: tuple[int, ...] = STREAMS,
    lengths: tuple[int, int] = (512, 128),
    memory: float | None = None,
) -> ServingView:
    """A model under load."""
    server = Server(BASE, Lengths(*lengths), system(), most=256)
    return serving_view(server, streams, memory_limit=memory)
