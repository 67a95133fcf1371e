"""A model divided among devices, and all layouts of it, as records and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cost_analysis.common.arrays import single, single_count
from cost_analysis.common.units import format_bytes, format_seconds
from cost_analysis.cost.estimate import Estimate
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.layout import Layout, micro_batches
from cost_analysis.inputs.request import Request
from cost_analysis.report.estimate_record import exchange_rows, layout_record
from cost_analysis.report.render import Page, Record, Table, whole
from cost_analysis.search.layouts import GOALS, LaidOut

LARGEST_NODE = 8
"""Devices that most servers join by one interconnect; with more, a note states the assumption."""

_WAYS = {
    "tensor_parallel": "share each layer",
    "expert_parallel": "groups share sequences and experts",
    "stream_parallel": "groups share the streams",
    "expert_groups": "parts hold whole experts",
    "pipeline_parallel": "pipeline stages",
}


def devices_in_words(hardware: Hardware, layout: Layout) -> str:
    """The device, and how many of it."""
    if layout.is_single:
        return hardware.description
    return f"{layout.devices:.0f} x {hardware.description}"


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
            link = cost.hardware.link_among(single_count(operator.spans))
            everyones = float(operator.link_bytes * cost.layout.group / batch)
            sent[link] = sent.get(link, 0.0) + everyones
    return sent


def _sent_for_a_token(cost: Estimate) -> str:
    sent = [
        f"{format_bytes(amount)} over the {link}"
        for link, amount in link_bytes_per_token(cost).items()
    ]
    return f"sent for each generated token, by all devices: {', '.join(sent)}"


def layouts_page(request: Request, found: Sequence[Sequence[LaidOut]], top: int) -> Page:
    """The best layouts of each number of devices.

    Args:
        request: What was asked.
        found: Layouts by number of devices, the best first.
        top: How many of each to list.
    """
    work, goal = request.workload, found[0][0].goal
    rows = tuple(_layout_row(each) for group in found for each in group[:top])
    hidden = sum(max(len(group) - top, 0) for group in found)
    headers = ("devices", "how", "memory", "TTFT", "TPOT", "tokens/s", "sent/token")
    notes = [
        "TP: devices that share each layer; EP: groups that share sequences and experts; S: groups "
        "that share the streams, with all weights each; PP: pipeline stages",
        "memory is that of the fullest device; sent: by all devices for one generated token",
    ]
    if hidden:
        notes.append(f"{hidden} more with --top or --format csv")
    if not all(each.fits for group in found for each in group[:top]):
        notes.append("(no): does not fit the device, so that its time is hypothetical")
    return Page(
        f"Ways to lay {request.title}, P = {request.spec.streams}, out over "
        f"{request.system.hardware.description}",
        (
            f"batch {work.batch_size:.0f}, {work.input_length:.0f} in, "
            f"{work.output_length:.0f} out, engine {request.system.engine.name}; by {GOALS[goal]}",
        ),
        (Table("Layouts", headers, rows, left=(1,)),),
        tuple(notes),
    )


_SHORT = {
    "tensor_parallel": "TP",
    "expert_parallel": "EP",
    "stream_parallel": "S",
    "expert_groups": "EG",
    "pipeline_parallel": "PP",
}


def _layout_row(each: LaidOut) -> tuple[str, ...]:
    cost, layout = each.cost, each.layout
    counts = {text: getattr(layout, name) for name, text in _SHORT.items()}
    how = " ".join(f"{text}{count:.0f}" for text, count in counts.items() if count > 1)
    fits = "" if each.fits else " (no)"
    return (
        f"{layout.devices:.0f}",
        how or "alone",
        format_bytes(single(cost.memory.total)) + fits,
        format_seconds(single(cost.ttft)),
        format_seconds(single(cost.tpot)) if cost.workload.decode_steps else "-",
        f"{cost.tokens_per_second:,.0f}",
        format_bytes(sum(link_bytes_per_token(cost).values())),
    )


def layouts_records(found: Sequence[Sequence[LaidOut]]) -> list[Record]:
    """A flat record a layout."""
    records = []
    for each in (each for group in found for each in group):
        cost = each.cost
        sent = link_bytes_per_token(cost)
        records.append(
            {
                **layout_record(cost),
                "memory_weights_bytes": whole(cost.memory.weights),
                "memory_kv_cache_bytes": whole(cost.memory.kv_cache),
                "memory_activations_bytes": whole(cost.memory.activations),
                "memory_total_bytes": whole(cost.memory.total),
                "device_fits": each.fits,
                "latency_ttft_s": whole(cost.ttft),
                "latency_tpot_s": whole(cost.tpot),
                "latency_total_s": whole(cost.total),
                "tokens_per_s": whole(cost.tokens_per_second),
                "tokens_per_s_and_device": whole(cost.tokens_per_second / cost.layout.devices),
                "interconnect_bytes_per_token": whole(sent.get("interconnect", 0.0)),
                "network_bytes_per_token": whole(sent.get("network", 0.0)),
            }
        )
    return records
