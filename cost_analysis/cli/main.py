"""The program: its commands, how errors are printed, and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import click

from cost_analysis import __version__
from cost_analysis.cli.options import PROGRAM
from cost_analysis.common.errors import InputError

DEFAULT_COMMAND = "estimate"

SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": lambda token: token.replace("-", "_"),
    "max_content_width": 80,
}


class ClosedPipeError(Exception):
    """The reader of the output, such as `| head`, has closed the pipe."""


@contextmanager
def closed_pipe_as_own_error() -> Iterator[None]:
    """Raise an error of our own for a closed pipe, for which click would exit with code 1.

    Raises:
        ClosedPipeError: The pipe is closed.
    """
    try:
        yield
    except BrokenPipeError:
        raise ClosedPipeError from None


MODULES = {
    DEFAULT_COMMAND: "estimate",
    "claims": "compare",
    "compare": "compare",
    "crossover": "compare",
    "precision": "compare",
    "fit": "fit",
    "accuracy": "fit",
    "fit-latency": "fit",
    "layouts": "plan",
    "plan": "plan",
    "kernels": "kernels",
    "fit-kernels": "kernels",
    "serving": "serving",
    "sweep": "sweep",
    "plot": "plot",
    "profile": "measure",
    "validate": "measure",
    "report": "measure",
    "calibrate": "measure",
    "parity": "measure",
    "hardware": "estimate",
    "models": "estimate",
    "engines": "estimate",
}
"""The module of each command in this package, where its function has the command's name."""


class Commands(MutableMapping[str, click.Command]):
    """The commands by name, each imported when it is first asked for."""

    def __init__(self) -> None:
        """The commands of `MODULES`, none of them imported yet."""
        self._found: dict[str, click.Command | None] = dict.fromkeys(MODULES)

    def __getitem__(self, name: str) -> click.Command:
        """A command by its name."""
        found = self._found[name]
        if found is None:
            module = import_module(f"cost_analysis.cli.{MODULES[name]}")
            found = self._found[name] = getattr(module, name.replace("-", "_"))
        return found

    def __setitem__(self, name: str, command: click.Command) -> None:
        """Add a command."""
        self._found[name] = command

    def __delitem__(self, name: str) -> None:
        """Remove a command."""
        del self._found[name]

    def __iter__(self) -> Iterator[str]:
        """The names of the commands."""
        return iter(self._found)

    def __len__(self) -> int:
        """The number of commands."""
        return len(self._found)


class DefaultGroup(click.Group):
    """A group that runs `estimate` when the first word is an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default command before options that have none."""
        own = {"-h", "--help", "--version"}
        if args and args[0].startswith("-") and args[0] not in own:
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args or ["--help"])

    def make_context(self, *given: Any, **named: Any) -> click.Context:
        """Make the context; help is printed here."""
        with closed_pipe_as_own_error():
            return super().make_context(*given, **named)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with closed_pipe_as_own_error():
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


@click.group(cls=DefaultGroup, commands=Commands(), context_settings=SETTINGS, help=HELP)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """What a language model costs to run with P parallel streams."""


CLOSED_PIPE = 141
"""What a shell reports of a program that a closed pipe ended: 128 + SIGPIPE."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program.

    Exit code 0, 2 for bad input, 1 for a failed run, 130 for Ctrl-C, 141 for a closed pipe.
    """
    if sys.stdout is None:  # started with standard output closed
        sys.exit(1)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    try:
        _run(arguments)
    except (ClosedPipeError, BrokenPipeError):
        _discard_buffered_output()
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        _discard_buffered_output()
        _fail(f"cannot write the answer: {error.strerror}", 1)


def _run(arguments: Sequence[str] | None) -> NoReturn:
    """Run a command, and write what is still buffered.

    Raises:
        ClosedPipeError: The pipe is closed.
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


def _discard_buffered_output() -> None:
    """Discard what is still buffered; Python would try to write it at exit, and fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> NoReturn:
    sentence = " ".join(message.split()).removesuffix(".")
    click.echo(f"{PROGRAM}: error: {sentence}", err=True)
    sys.exit(code)
