"""Flags of several devices."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cost_analysis.errors import InputError
from cost_analysis.layout import Layout
from cost_analysis.option_types import Quantity
from cost_analysis.options import size_option
from cost_analysis.sections import chain, section_option

LAYOUT = "Several devices"
"""Heading of the flags of a layout."""

link_options = chain(
    section_option(
        LAYOUT,
        "--interconnect",
        type=Quantity("B/s"),
        metavar="RATE",
        help="Link between devices, both directions together, like 900GB/s. [default: the "
        "device's]",
    ),
    size_option(LAYOUT, "devices_per_node", "all", "Devices that the interconnect joins."),
    section_option(
        LAYOUT,
        "--network",
        type=Quantity("B/s"),
        metavar="RATE",
        help="Link of each device to other nodes, each direction, like 50GB/s.",
    ),
)

layout_options = chain(
    size_option(LAYOUT, "tensor_parallel", 1, "Devices that share each layer."),
    size_option(LAYOUT, "pipeline_parallel", 1, "Stages of layers, each on devices of its own."),
    size_option(LAYOUT, "expert_parallel", 1, "Groups that share sequences and routed experts."),
    size_option(
        LAYOUT, "stream_parallel", 1, "Groups that share the streams; each has all weights."
    ),
    link_options,
)


def refuse_layout(options: dict[str, Any], command: str) -> None:
    """Refuse several devices where an answer is about one.

    Raises:
        InputError: A flag of a layout is given.
    """
    for item in fields(Layout):
        if options.get(item.name) not in (None, 1):
            raise InputError(f"{command} is about one device; leave --{item.name} out")
