"""Flags of the commands on claims: streams, and lists of batch sizes and lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cost_analysis.option_types import NUMBERS
from cost_analysis.sections import Command, section_option

if TYPE_CHECKING:
    from cost_analysis.request_costs import Setting


def streams_option(lowest: int) -> Callable[[Command], Command]:
    """The number of streams, from the least that the command takes."""
    return section_option(
        "Claim",
        "--P",
        "streams",
        type=click.IntRange(lowest),
        default=8,
        show_default=True,
        metavar="N",
        help="Parallel streams.",
    )


def lists(batch: str, lengths: str) -> Callable[[Command], Command]:
    """Lists of batch sizes and lengths; their help states the defaults."""

    def decorate(command: Command) -> Command:
        """Give a command lists of batch sizes and lengths."""
        for name, shown in (
            ("output_length", lengths),
            ("input_length", lengths),
            ("batch_size", batch),
        ):
            command = section_option(
                "Workload",
                f"--{name}",
                name,
                type=NUMBERS,
                metavar="N[,N…]",
                help=f"One, or several to average over. [default: {shown}]",
            )(command)
        return command

    return decorate


def settings(options: dict[str, Any], batches: tuple[tuple[int, ...], ...]) -> list[Setting]:
    """The settings that the lists of batch sizes and lengths ask for."""
    from cost_analysis.request_costs import DIAGONAL, Setting

    batch, prompt, answer = (
        options.pop(name) for name in ("batch_size", "input_length", "output_length")
    )
    chosen = batches if batch is None else (batch,)
    if prompt is None and answer is None:
        prompt = answer = DIAGONAL
    return [Setting(sizes, prompt or answer, answer or prompt) for sizes in chosen]
