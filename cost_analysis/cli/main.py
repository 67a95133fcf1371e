"""The command line: a command parses, calls one function, and prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

import click

from cost_analysis import __version__
from cost_analysis.cli.estimate import _catalogue
from cost_analysis.cli.options import PROGRAM
from cost_analysis.common.errors import InputError

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


class DeferredCommand(click.Command):
    """Stands for a command until it is asked for: an estimate need not import all the others.

    Attributes:
        load: Imports the command.
    """

    def __init__(self, name: str, load: Callable[[], click.Command]) -> None:
        """A command of that name."""
        super().__init__(name)
        self.load = load


class DefaultGroup(click.Group):
    """A group that runs `estimate` when the first word is an option."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name, imported where it has not been yet."""
        command = super().get_command(ctx, cmd_name)
        if isinstance(command, DeferredCommand):
            command = self.commands[cmd_name] = command.load()
        return command

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


def _claim_commands() -> ModuleType:
    from cost_analysis.cli import compare

    return compare


def _law_commands() -> ModuleType:
    from cost_analysis.cli import fit

    return fit


def _precision_commands() -> ModuleType:
    from cost_analysis.cli import compare

    return compare


def _layout_commands() -> ModuleType:
    from cost_analysis.cli import plan

    return plan


def _plan_commands() -> ModuleType:
    from cost_analysis.cli import serving

    return serving


def _sweep_commands() -> ModuleType:
    from cost_analysis.cli import sweep

    return sweep


def _plot_command() -> ModuleType:
    from cost_analysis.cli import plot

    return plot


def _accuracy_commands() -> ModuleType:
    from cost_analysis.cli import fit

    return fit


def _measure_commands() -> ModuleType:
    from cost_analysis.cli import measure

    return measure


HOMES = {
    _claim_commands: ("claims", "compare", "crossover"),
    _law_commands: ("fit",),
    _precision_commands: ("precision",),
    _layout_commands: ("layouts",),
    _plan_commands: ("plan", "serving"),
    _sweep_commands: ("sweep",),
    _plot_command: ("plot",),
    _accuracy_commands: ("accuracy", "fit-latency"),
    _measure_commands: ("profile", "validate", "report", "calibrate", "parity"),
}
"""What imports the module of some commands."""


def _of_module(home: Callable[[], ModuleType], name: str) -> Callable[[], click.Command]:
    """What loads a command from its module, where it is called as its function."""

    def load() -> click.Command:
        command: click.Command = getattr(home(), name.replace("-", "_"))
        return command

    return load


for _home, _names in HOMES.items():
    for _name in _names:
        cli.add_command(DeferredCommand(_name, _of_module(_home, _name)))
for _folder in ("hardware", "models", "engines"):
    cli.add_command(DeferredCommand(_folder, _catalogue(_folder)))


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
