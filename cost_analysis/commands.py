"""The command line: a command parses, calls one function, and prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from cost_analysis import (
    __version__,
    accuracy_commands,
    catalogue,
    claim_commands,
    law_commands,
    layout_commands,
    measure_commands,
    pages,
    plan_commands,
    plot_command,
    precision_commands,
    records,
    sweep_commands,
)
from cost_analysis.compare import answer as request_answer
from cost_analysis.delivery import chosen_format, deliver
from cost_analysis.errors import InputError
from cost_analysis.layout_options import layout_options, refuse_layout
from cost_analysis.options import (
    model_options,
    output_options,
    request_from,
    system_options,
    workload_options,
)
from cost_analysis.profiles import profile_names
from cost_analysis.sections import SectionedCommand, section_option

PROGRAM = "parscale-cost"
DEFAULT_COMMAND = "estimate"

SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": lambda token: token.replace("-", "_"),
    "max_content_width": 80,
}


class ClosedPipeError(Exception):
    """Nobody reads on: `| head` has what it wants."""


@contextmanager
def told_from_click() -> Iterator[None]:
    """Keep a closed pipe from click, which would leave with exit code 1, as if a run had failed.

    Raises:
        ClosedPipeError: Nobody reads on.
    """
    try:
        yield
    except BrokenPipeError:
        raise ClosedPipeError from None


class DefaultGroup(click.Group):
    """A group that runs `estimate` when the first word is an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command in front of bare options."""
        own = {"-h", "--help", "--version"}
        if args and args[0].startswith("-") and args[0] not in own:
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args or ["--help"])

    def make_context(self, *given: Any, **named: Any) -> click.Context:
        """Make the context; help is printed here."""
        with told_from_click():
            return super().make_context(*given, **named)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with told_from_click():
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, then the options of the default one."""
        self.format_commands(ctx, formatter)
        self.commands[DEFAULT_COMMAND].format_options(ctx, formatter)
        with formatter.section("Program"):
            formatter.write_dl([("--version", "Show the version and exit.")])


# Click keeps a paragraph that begins with \b as it is.
HELP = """What a language model costs to run with P parallel streams.

\b
Memory, latency and FLOPs of one request, and what the streams add:
    parscale-cost --hidden_size 2560 --P 2 --batch_size 2
    parscale-cost --model 1.8B --P 8 --gpu_config h100-sxm-80gb
"""


@click.group(cls=DefaultGroup, context_settings=SETTINGS, help=HELP)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """What a language model costs to run with P parallel streams."""


@cli.command(cls=SectionedCommand)
@model_options
@workload_options
@system_options
@layout_options
@section_option(
    "Answer",
    "--cost_model",
    type=click.Choice(["operators", "published"]),
    default="operators",
    show_default=True,
    help="Ours, or the paper's own beside it.",
)
@section_option(
    "Answer",
    "--rows",
    type=click.Choice(["estimate", "operators"]),
    help="With CSV: a row for the request, or one for each operator. [default: estimate]",
)
@output_options
def estimate(
    cost_model: str, rows: str | None, form: str | None, output: str | None, **options: Any
) -> None:
    """Memory, latency and FLOPs of one request (the default command)."""
    if cost_model == "published":
        refuse_layout(options, "the published cost model")
    request = request_from(options)
    answer = request_answer(request, with_published=cost_model == "published")
    for warning in request.warnings:
        click.echo(f"{PROGRAM}: warning: {warning}", err=True)
    record = records.estimate_record(answer)
    if rows is not None and chosen_format(form, output) != "csv":
        raise InputError("--rows chooses the rows of a CSV; give --format csv with it")
    table = record["operators"] if rows == "operators" else [records.estimate_row(answer)]
    deliver(pages.estimate_page(answer), record, table, form, output)


for command in (
    claim_commands.claims,
    claim_commands.compare,
    claim_commands.crossover,
    law_commands.fit,
    precision_commands.precision,
    layout_commands.layouts,
    plan_commands.plan,
    plan_commands.serving,
    sweep_commands.sweep,
    plot_command.plot,
    accuracy_commands.accuracy,
    accuracy_commands.fit_latency,
    measure_commands.profile,
    measure_commands.validate,
    measure_commands.report,
    measure_commands.calibrate,
    measure_commands.parity,
):
    cli.add_command(command)


def _catalogue(what: catalogue.Catalogue) -> None:
    """Add a command that lists the profiles of a kind, or shows one."""

    @cli.command(what.folder, cls=SectionedCommand, help=what.help)
    @click.argument("name", required=False)
    @output_options
    def show(name: str | None, form: str | None, output: str | None) -> None:
        found = [what.load(each) for each in ([name] if name else profile_names(what.folder))]
        listed = [what.record(profile) for profile in found]
        page = what.page(found[0]) if name else what.list_page(found)
        deliver(page, listed[0] if name else listed, what.rows(found), form, output)


for kind in catalogue.CATALOGUES:
    _catalogue(kind)


CLOSED_PIPE = 141
"""What a shell reports of a program that a closed pipe ended: 128 + SIGPIPE."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program.

    Exit code 0, 2 for bad input, 1 for a failed run, 130 for Ctrl-C, 141 where nobody reads on.
    """
    if sys.stdout is None:  # started with standard output closed
        sys.exit(1)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    try:
        _run(arguments)
    except (ClosedPipeError, BrokenPipeError):
        _drop_what_is_buffered()
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        _drop_what_is_buffered()
        _fail(f"cannot write the answer: {error.strerror}", 1)


def _run(arguments: Sequence[str] | None) -> NoReturn:
    """Run the program, and write all that it has to say.

    Raises:
        ClosedPipeError: Nobody reads on.
        OSError: It cannot be written.
    """
    try:
        code = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except InputError as error:
        _fail(str(error), 2)
    except click.Abort:
        _fail("interrupted", 130)
    sys.exit(code if isinstance(code, int) else 0)


def _drop_what_is_buffered() -> None:
    """What is still buffered cannot be written either; Python would say so at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> NoReturn:
    sentence = " ".join(message.split()).removesuffix(".")
    click.echo(f"{PROGRAM}: error: {sentence}", err=True)
    sys.exit(code)
