"""The commands `plan` and `layouts`, and the flags of a plan, which `plot pareto` has too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cost_analysis.cli.flags import Flags, SectionedCommand, flag, takes_flags
from cost_analysis.cli.option_types import (
    BYTES,
    DATA_TYPE,
    DATA_TYPES_HELP,
    NUMBERS,
    POSITIVE,
    SECONDS,
    WATTS,
    Several,
)
from cost_analysis.cli.options import (
    DEVICE,
    LinkFlags,
    ModelFlags,
    SeveralDeviceFlags,
    StorageFlags,
    SystemFlags,
    WorkloadFlags,
    base_flag,
    dataset_flag,
    request_from,
)
from cost_analysis.cli.output import OutputFlags, print_answer
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.dtypes import Precision, dtype_named
from cost_analysis.inputs.request import model_asked
from cost_analysis.search.layouts import GOALS, laid_out

if TYPE_CHECKING:
    from cost_analysis.law.scaling_law import Fit, ScalingLaw
    from cost_analysis.search.candidates import Board, Setup
    from cost_analysis.search.plan import Plan, Question


STREAMS = tuple(range(1, 9))
"""Numbers of streams that a plan looks at: as far as the published runs go."""


def _time(name: str, text: str) -> Any:
    return flag("Limits", f"--{name}", type=SECONDS, metavar="TIME", help=text)


def _length(name: str, text: str) -> Any:
    return flag(
        "Workload", f"--{name}", type=int, default=64, show_default=True, metavar="N", help=text
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFlags(Flags):
    """The limits of a plan."""

    memory_limit: float | None = flag(
        "Limits",
        "--memory_limit",
        type=BYTES,
        metavar="SIZE",
        help="Memory, like 8GB. [default: the device's]",
    )
    ttft_limit: float | None = _time("ttft_limit", "Time to the first token, like 200ms.")
    tpot_limit: float | None = _time("tpot_limit", "Time per output token after it.")
    latency_limit: float | None = _time("latency_limit", "Time of a whole request.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalFlags(Flags):
    """The objective of a plan."""

    target_loss: str | None = flag(
        "Goal",
        "--target_loss",
        metavar="LOSS|NAME",
        help="Instead of the lowest loss: the cheapest way to this one, or to that of a model.",
    )
    minimize: str | None = flag(
        "Goal",
        "--minimize",
        type=click.Choice(["memory", "latency", "energy", "cost"]),
        help="What the way to --target_loss is cheapest in. [default: latency]",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFlags(Flags):
    """The load of a model: batches, or requests at a rate."""

    batch_size: tuple[int, ...] | None = flag(
        "Workload", "--batch_size", type=NUMBERS, metavar="N[,N…]", help="Sequences. [default: 1]"
    )
    request_rate: float | None = flag(
        "Workload",
        "--request_rate",
        type=POSITIVE,
        metavar="RATE",
        help="Requests a second that arrive at random, instead of a batch size.",
    )
    input_length: int = _length("input_length", "Prompt tokens of each.")
    output_length: int = _length("output_length", "Generated tokens of each.")

    @property
    def batch_sizes(self) -> tuple[int, ...] | None:
        """Batch sizes to choose from; None where requests arrive at a rate."""
        return None if self.request_rate is not None else self.batch_size or (1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardFlags(Flags):
    """Devices to choose from, with their powers and prices."""

    devices: SeveralDeviceFlags
    power: tuple[float, ...] | None = flag(
        DEVICE,
        "--power",
        type=Several(WATTS),
        metavar="POWER[,…]",
        help="Power of the board, like 300W, for energy. [default: the device's limit]",
    )
    price_per_hour: tuple[float, ...] | None = flag(
        DEVICE,
        "--price_per_hour",
        type=Several(POSITIVE),
        metavar="$[,…]",
        help="Price of the device per hour, for cost; one, or one a device.",
    )

    def boards(self) -> tuple[Board, ...]:
        """The devices."""
        from cost_analysis.search.candidates import boards

        systems = self.devices.systems()
        return boards(systems, self.power or (None,), self.price_per_hour or (None,))


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFlags(Flags):
    """Formats to choose from, and what they cost in loss."""

    weight_dtype: tuple[str, ...] = flag(
        "Precision",
        "--weight_dtype",
        type=Several(DATA_TYPE, distinct=True),
        default="bf16",
        show_default=True,
        metavar="TYPE[,…]",
        help=f"Weight formats that are allowed: {DATA_TYPES_HELP}.",
    )
    others: StorageFlags
    precision_penalty: tuple[str, ...] = flag(
        "Precision",
        "--precision_penalty",
        multiple=True,
        metavar="TYPE=LOSS",
        help="What a weight format adds to the loss, int4=0.01; may be repeated. [default: 0]",
    )

    def precisions(self) -> list[Precision]:
        """The formats."""
        return [self.others.beside(weights) for weights in self.weight_dtype]


@dataclass(frozen=True, slots=True, kw_only=True)
class LawFlags(Flags):
    """The runs that the scaling law of a plan is fitted on."""

    dataset: str | None = dataset_flag("Law", None, "stack")
    runs: str | None = flag(
        "Law", "--runs", metavar="FILE", help="Your own runs to fit the law on (see `fit`)."
    )
    loss: str | None = flag("Law", "--loss", metavar="COLUMN", help="Loss column of --runs.")

    def fitted(self) -> tuple[Fit, str]:
        """The law, and what it was fitted on."""
        from cost_analysis.law.runs import published_runs, read_runs
        from cost_analysis.law.scaling_law import fit

        if self.runs is not None:
            if self.dataset is not None:
                raise InputError("give --runs or --dataset, not both")
            runs = read_runs(self.runs, self.loss)
            return fit(runs), f"your {len(runs)} runs"
        if self.loss is not None:
            raise InputError("--loss names a column of --runs; give --runs with it")
        dataset = self.dataset or "stack"
        runs = published_runs(dataset)
        return fit(runs), f"the {len(runs)} published runs, --dataset {dataset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFlags(Flags):
    """The limits and the goal of a plan, and the configurations that it chooses from."""

    limits: LimitFlags
    goal: GoalFlags
    base: str = base_flag("Models")
    streams: tuple[int, ...] = flag(
        "Models",
        "--P",
        type=NUMBERS,
        default=",".join(map(str, STREAMS)),
        show_default=True,
        metavar="N[,N…]",
        help="Numbers of parallel streams.",
    )
    load: LoadFlags
    boards: BoardFlags
    formats: WeightFlags
    law: LawFlags

    def setups(self) -> tuple[Setup, ...]:
        """Combinations of device, formats and batch size that the models may run with."""
        from cost_analysis.search.candidates import setups

        return setups(
            self.boards.boards(),
            self.formats.precisions(),
            self.load.batch_sizes,
            memory_limit=self.limits.memory_limit,
            penalties=_penalties(self.formats.precision_penalty),
        )


def question(asked: PlanFlags) -> Question:
    """The question that the flags of a plan ask."""
    from cost_analysis.inputs.models import load_model
    from cost_analysis.search.candidates import Space
    from cost_analysis.search.plan import Limits, Question

    load, kept, target = asked.load, asked.limits, asked.goal.target_loss
    if load.request_rate is not None and load.batch_size is not None:
        raise InputError("give --batch_size or --request_rate, not both")
    if asked.goal.minimize is not None and target is None:
        raise InputError("--minimize needs a loss to reach: give --target_loss")
    fitted, law = asked.law.fitted()
    chosen = asked.setups()
    space = Space(
        load_model(asked.base).spec,
        tuple(dict.fromkeys(asked.streams)),
        chosen,
        fitted.law,
        load.input_length,
        load.output_length,
        load.request_rate,
    )
    reached = None if target is None else target_loss(target, fitted.law)
    limits = Limits(kept.ttft_limit, kept.tpot_limit, kept.latency_limit, reached)
    objective = "loss" if target is None else asked.goal.minimize or "latency"
    return Question(space, limits, objective, fitted, law)


def answered(asked: Question) -> Plan:
    """The plan.

    Raises:
        click.ClickException: Nothing keeps the limits; exit code 1.
    """
    from cost_analysis.search.plan import InfeasibleError

    try:
        return asked.answer()
    except InfeasibleError as error:
        raise click.ClickException(str(error)) from None


def target_loss(target: str, law: ScalingLaw) -> float:
    """A loss that is given as a number, or by the law that of a model that is named.

    Raises:
        InputError: No such model, or a loss that no model of any size reaches.
    """
    try:
        loss = float(target)
    except ValueError:
        spec = model_asked(target, {}).spec
        from cost_analysis.law.family import size_of

        return float(law.loss(size_of(spec), spec.streams))
    law.equal_loss_parameters(loss)
    return loss


def _penalties(given: tuple[str, ...]) -> dict[str, float]:
    """The loss that each format adds, from texts TYPE=LOSS."""
    found: dict[str, float] = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            penalty, known = float(value), bool(dtype_named(name))
        except ValueError:
            penalty, known = -1.0, False
        if not 0 <= penalty < 100 or not known or name in found:
            raise InputError(
                f"precision_penalty is {text[:40]!r}; it must be a weight format and what it adds "
                "to the loss, like int4=0.01, once for each"
            )
        found[name] = penalty
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutsFlags(Flags):
    """Which layouts are listed."""

    devices: tuple[int, ...] = flag(
        "Layouts",
        "--devices",
        type=NUMBERS,
        default="1,2,4,8",
        show_default=True,
        metavar="N,…",
        help="Numbers of devices.",
    )
    minimize: str = flag(
        "Layouts",
        "--minimize",
        type=click.Choice(list(GOALS)),
        default="tpot",
        show_default=True,
        help="What they are ordered by; those that fit go first.",
    )
    top: int = flag(
        "Layouts",
        "--top",
        type=click.IntRange(1, 10_000),
        default=6,
        show_default=True,
        help="Layouts to list of each number of devices.",
    )


@click.command(cls=SectionedCommand)
@takes_flags
def layouts(
    listed: LayoutsFlags,
    model: ModelFlags,
    workload: WorkloadFlags,
    system: SystemFlags,
    links: LinkFlags,
    output: OutputFlags,
) -> None:
    """Every way to divide a model among devices: layers, stages, experts, streams."""
    from cost_analysis.report.layouts import layouts_page, layouts_records

    request = request_from(model, workload, system, links)
    found = laid_out(request, listed.devices, listed.minimize)
    records = layouts_records(found)
    print_answer(layouts_page(request, found, listed.top), records, records, output)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFlags(Flags):
    """How many configurations of a plan are listed, and which."""

    top: int = flag(
        "Output",
        "--top",
        type=click.IntRange(1, 1000),
        default=8,
        show_default=True,
        help="Configurations to list.",
    )
    rows: str | None = flag(
        "Output",
        "--rows",
        type=click.Choice(["plans", "pareto"]),
        help="With CSV or JSON: the best configurations, or the Pareto set.",
    )


@click.command(cls=SectionedCommand)
@takes_flags
def plan(flags: PlanFlags, listed: ListFlags, output: OutputFlags) -> None:
    """The best model within limits: size, streams and format, and why."""
    from cost_analysis.report.plan import pareto_records, plan_page, plan_record

    rows = listed.rows
    if rows is not None and output.chosen_format not in ("csv", "json"):
        raise InputError("--rows chooses the rows of a CSV or of JSON; give --format with it")
    asked = question(flags)
    found = answered(asked)
    record = plan_record(found, asked.fitted, listed.top)
    table = pareto_records(found) if rows == "pareto" else record["plans"]
    page = plan_page(found, asked.fitted, asked.law, listed.top)
    print_answer(page, table if rows else record, table, output)
