"""What a report says of a model that is divided among devices."""

from __future__ import annotations

from collections.abc import Mapping

from cost_analysis.estimate import Estimate
from cost_analysis.layout import Layout, micro_batches
from cost_analysis.records import Record, exchange_rows
from cost_analysis.report import Table
from cost_analysis.units import format_bytes, format_seconds

LARGEST_NODE = 8
"""Devices that most servers join by one interconnect; beyond it a report says what it assumes."""

_WAYS = {
    "tensor_parallel": "share each layer",
    "expert_parallel": "groups share sequences and experts",
    "stream_parallel": "groups share the streams",
    "pipeline_parallel": "pipeline stages",
}


def devices_in_words(cost: Estimate) -> str:
    """The device, and how many of it."""
    if cost.layout.is_single:
        return cost.hardware.description
    return f"{cost.layout.devices:.0f} x {cost.hardware.description}"


def layout_in_words(layout: Layout) -> str:
    """How the devices divide a model: `4 share each layer, 2 pipeline stages`."""
    counts = {name: getattr(layout, name) for name in _WAYS}
    used = [f"{counts[name]:.0f} {text}" for name, text in _WAYS.items() if counts[name] > 1]
    return ", ".join(used) or "one device"


def layout_lines(cost: Estimate) -> list[str]:
    """How the devices divide the model; nothing for a single one."""
    if cost.layout.is_single:
        return []
    parts = micro_batches(cost.layout, cost.workload.batch_size)
    batches = f", {parts:.0f} micro-batches" if parts > 1 else ""
    return [f"{layout_in_words(cost.layout)}{batches}; memory is that of the fullest device"]


def operators_whose(cost: Estimate) -> str:
    """Whose operators a table lists, where there is more than one device."""
    if cost.layout.is_single:
        return ""
    if cost.layout.pipeline_parallel > 1:
        return ", a device of each stage in turn, one micro-batch"
    return ", on each device"


def exchange_tables(cost: Estimate) -> list[Table]:
    """What each device sends to others, in the prefill and in a decode step."""
    if cost.layout.is_single:
        return []
    found: dict[tuple[str, str, str], dict[str, Record]] = {}
    for row in exchange_rows(cost):
        link = "in node" if row["link"] == "interconnect" else "network"
        key = (_named(row), link, f"{row['spanned_devices']}")
        found.setdefault(key, {})[row["phase"]] = row
    steps = {"prefill": 1.0, "decode": float(cost.workload.decode_steps)}
    rows = [
        (*key, *(cell for phase, share in steps.items() for cell in _cells(phases, phase, share)))
        for key, phases in found.items()
    ]
    headers = ("exchange", "link", "among", "prefill", "time", "a step", "time")
    return [Table("Between devices: what each one sends", headers, tuple(rows), left=(0, 1))]


def _named(row: Record) -> str:
    parted = row["exchange"] == "all-reduce"
    return f"{row['exchange']}: {row['part']}" if parted else str(row["exchange"])


def _cells(phases: Mapping[str, Record], phase: str, share: float) -> tuple[str, str]:
    """Bytes and seconds of a phase, or of a step of it."""
    row = phases.get(phase)
    if row is None:
        return "", ""
    return format_bytes(row["sent_bytes"] / share), format_seconds(row["seconds"] / share)


def layout_notes(cost: Estimate) -> list[str]:
    """What is assumed of several devices, and what they send for a token."""
    if cost.layout.is_single:
        return []
    notes = [_sent_for_a_token(cost)] if cost.workload.decode_steps > 0 else []
    if cost.hardware.devices_per_node is None and cost.layout.devices > LARGEST_NODE:
        notes.append(
            f"all {cost.layout.devices:.0f} devices are taken to be joined by one interconnect; "
            "--devices_per_node and --network say otherwise"
        )
    if cost.layout.expert_parallel > 1:
        notes.append(
            "experts: tokens are taken to be routed evenly; weights read are those of the device "
            "on which most experts are reached"
        )
    return notes


def link_bytes_per_token(cost: Estimate) -> dict[str, float]:
    """What all devices together send for one generated token of one sequence, by link [B]."""
    work = cost.workload
    batch = work.batch_size / micro_batches(cost.layout, work.batch_size)
    sent: dict[str, float] = {}
    for operator in cost.first_step:
        if operator.kind == "exchange":
            within = cost.hardware.is_within_a_node(operator.spans)
            link = "interconnect" if within else "network"
            everyones = float(operator.link_bytes * cost.layout.group / batch)
            sent[link] = sent.get(link, 0.0) + everyones
    return sent


def _sent_for_a_token(cost: Estimate) -> str:
    sent = [
        f"{format_bytes(amount)} over the {link}"
        for link, amount in link_bytes_per_token(cost).items()
    ]
    return f"sent for each generated token, by all devices: {', '.join(sent)}"
