"""The flags of a plan, and the question that they ask; `plot pareto` has them too.

The layouts command: every way to divide a model among devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

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
    SectionedCommand,
    base_option,
    chain,
    dataset_option,
    link_options,
    model_options,
    output_options,
    request_from,
    section_option,
    several_device_options,
    storage_options,
    system_options,
    workload_options,
)
from cost_analysis.cli.output import chosen_format, deliver
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.dtypes import Precision, dtype_named
from cost_analysis.inputs.request import make_request, make_system
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.search.layouts import GOALS, laid_out

if TYPE_CHECKING:
    from cost_analysis.law.scaling_law import Fit, ScalingLaw
    from cost_analysis.search.plan import Plan, Question


STREAMS = tuple(range(1, 9))
"""Numbers of streams that a plan looks at: as far as the published runs go."""

law_options = chain(
    dataset_option("Law", None, "stack"),
    section_option(
        "Law", "--runs", metavar="FILE", help="Your own runs to fit the law on (see `fit`)."
    ),
    section_option("Law", "--loss", metavar="COLUMN", help="Loss column of --runs."),
)


def _limit(name: str, kind: click.ParamType[float], shown: str, text: str) -> Any:
    return section_option("Limits", f"--{name}", name, type=kind, metavar=shown, help=text)


plan_options = chain(
    _limit("memory_limit", BYTES, "SIZE", "Memory, like 8GB. [default: the device's]"),
    _limit("ttft_limit", SECONDS, "TIME", "Time to the first token, like 200ms."),
    _limit("tpot_limit", SECONDS, "TIME", "Time per output token after it."),
    _limit("latency_limit", SECONDS, "TIME", "Time of a whole request."),
    section_option(
        "Goal",
        "--target_loss",
        metavar="LOSS|NAME",
        help="Instead of the lowest loss: the cheapest way to this one, or to that of a model.",
    ),
    section_option(
        "Goal",
        "--minimize",
        type=click.Choice(["memory", "latency", "energy", "cost"]),
        help="What the way to --target_loss is cheapest in. [default: latency]",
    ),
    base_option("Models"),
    section_option(
        "Models",
        "--P",
        "streams",
        type=NUMBERS,
        default=",".join(map(str, STREAMS)),
        show_default=True,
        metavar="N[,N…]",
        help="Numbers of parallel streams.",
    ),
    section_option(
        "Workload", "--batch_size", type=NUMBERS, metavar="N[,N…]", help="Sequences. [default: 1]"
    ),
    section_option(
        "Workload",
        "--request_rate",
        type=POSITIVE,
        metavar="RATE",
        help="Requests a second that arrive at random, instead of a batch size.",
    ),
    section_option(
        "Workload",
        "--input_length",
        type=int,
        default=64,
        show_default=True,
        metavar="N",
        help="Prompt tokens of each.",
    ),
    section_option(
        "Workload",
        "--output_length",
        type=int,
        default=64,
        show_default=True,
        metavar="N",
        help="Generated tokens of each.",
    ),
    several_device_options,
    section_option(
        "Device and engine",
        "--power",
        type=Several(WATTS),
        metavar="POWER[,…]",
        help="Power of the board, like 300W, for energy. [default: the device's limit]",
    ),
    section_option(
        "Device and engine",
        "--price_per_hour",
        type=Several(POSITIVE),
        metavar="$[,…]",
        help="Price of the device per hour, for cost; one, or one a device.",
    ),
    section_option(
        "Precision",
        "--weight_dtype",
        type=Several(DATA_TYPE, distinct=True),
        default="bf16",
        show_default=True,
        metavar="TYPE[,…]",
        help=f"Weight formats that are allowed: {DATA_TYPES_HELP}.",
    ),
    storage_options,
    section_option(
        "Precision",
        "--precision_penalty",
        multiple=True,
        metavar="TYPE=LOSS",
        help="What a weight format adds to the loss, int4=0.01; may be repeated. [default: 0]",
    ),
    law_options,
)


def question(options: dict[str, Any]) -> Question:
    """The question that the flags of a plan ask."""
    from cost_analysis.inputs.models import load_model
    from cost_analysis.search.candidates import Space, setups
    from cost_analysis.search.plan import Limits, Question

    if options["request_rate"] is not None and options["batch_size"] is not None:
        raise InputError("give --batch_size or --request_rate, not both")
    if options["minimize"] is not None and options["target_loss"] is None:
        raise InputError("--minimize needs a loss to reach: give --target_loss")
    fitted, law = fitted_law(options)
    chosen = setups(
        [system(options, name) for name in options["gpu_config"]],
        [
            Precision(name, options["activation_dtype"], options["kv_cache_dtype"])
            for name in options["weight_dtype"]
        ],
        None if options["request_rate"] is not None else options["batch_size"] or (1,),
        memory_limit=options["memory_limit"],
        power=options["power"] or (None,),
        prices=options["price_per_hour"] or (None,),
        penalties=_penalties(options["precision_penalty"]),
    )
    space = Space(
        load_model(options["base"]).spec,
        tuple(dict.fromkeys(options["streams"])),
        chosen,
        fitted.law,
        options["input_length"],
        options["output_length"],
        options["request_rate"],
    )
    target = options["target_loss"]
    limits = Limits(
        options["ttft_limit"],
        options["tpot_limit"],
        options["latency_limit"],
        None if target is None else target_loss(target, fitted.law),
    )
    objective = "loss" if target is None else options["minimize"] or "latency"
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


def fitted_law(options: dict[str, Any]) -> tuple[Fit, str]:
    """The law that the flags ask for, and what it was fitted on."""
    from cost_analysis.law.runs import published_runs, read_runs
    from cost_analysis.law.scaling_law import fit

    if options["runs"] is not None:
        if options["dataset"] is not None:
            raise InputError("give --runs or --dataset, not both")
        runs = read_runs(options["runs"], options["loss"])
        return fit(runs), f"your {len(runs)} runs"
    if options["loss"] is not None:
        raise InputError("--loss names a column of --runs; give --runs with it")
    dataset = options["dataset"] or "stack"
    runs = published_runs(dataset)
    return fit(runs), f"the {len(runs)} published runs, --dataset {dataset}"


def system(options: dict[str, Any], device: str) -> Any:
    """A device and what runs models on it."""
    return make_system(
        device, options["engine"], options["flops_efficiency"], options["bandwidth_efficiency"]
    )[:2]


def target_loss(target: str, law: ScalingLaw) -> float:
    """A loss that is given as a number, or by the law that of a model that is named.

    Raises:
        InputError: No such model, or a loss that no model of any size reaches.
    """
    try:
        loss = float(target)
    except ValueError:
        spec = named_model(target)
        from cost_analysis.law.family import size_of

        return float(law.loss(size_of(spec), spec.streams))
    law.equal_loss_parameters(loss)
    return loss


def named_model(name: str) -> ModelSpec:
    """A model profile, or a published checkpoint with its streams."""
    return make_request(model=name, architecture={}, workload={}, precision={}).spec


def _penalties(given: tuple[str, ...]) -> dict[str, float]:
    """What formats add to the loss, from TYPE=LOSS."""
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


@click.command(cls=SectionedCommand)
@section_option(
    "Layouts",
    "--devices",
    type=NUMBERS,
    default="1,2,4,8",
    show_default=True,
    metavar="N,…",
    help="Numbers of devices.",
)
@section_option(
    "Layouts",
    "--minimize",
    type=click.Choice(list(GOALS)),
    default="tpot",
    show_default=True,
    help="What they are ordered by; those that fit go first.",
)
@section_option(
    "Layouts",
    "--top",
    type=click.IntRange(1, 10_000),
    default=6,
    show_default=True,
    help="Layouts to list of each number of devices.",
)
@model_options
@workload_options
@system_options
@link_options
@output_options
def layouts(
    devices: tuple[int, ...],
    minimize: str,
    top: int,
    form: str | None,
    output: str | None,
    **options: Any,
) -> None:
    """Every way to divide a model among devices: layers, stages, experts, streams."""
    from cost_analysis.report.layouts import layouts_page, layouts_records

    request = request_from(options)
    found = laid_out(request, devices, minimize)
    records = layouts_records(found)
    deliver(layouts_page(request, found, top), records, records, form, output)


@click.command(cls=SectionedCommand)
@plan_options
@section_option(
    "Output",
    "--top",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Configurations to list.",
)
@section_option(
    "Output",
    "--rows",
    type=click.Choice(["plans", "pareto"]),
    help="With CSV or JSON: the best configurations, or the Pareto set.",
)
@output_options
def plan(top: int, rows: str | None, form: str | None, output: str | None, **options: Any) -> None:
    """The best model within limits: size, streams and format, and why."""
    from cost_analysis.report.plan import pareto_records, plan_page, plan_record

    if rows is not None and chosen_format(form, output) not in ("csv", "json"):
        raise InputError("--rows chooses the rows of a CSV or of JSON; give --format with it")
    asked = question(options)
    found = answered(asked)
    record = plan_record(found, asked.fitted, top)
    table = pareto_records(found) if rows == "pareto" else record["plans"]
    page = plan_page(found, asked.fitted, asked.law, top)
    deliver(page, table if rows else record, table, form, output)
