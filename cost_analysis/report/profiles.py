"""The profiles as records and pages: what `hardware`, `models` and `engines` show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from cost_analysis.common.arrays import single
from cost_analysis.common.units import (
    format_bytes,
    format_count,
    format_peak,
    format_rate,
    format_seconds,
)
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import WIDER
from cost_analysis.inputs.engine import ENGINE_SHARES, ENGINE_TIMES, Engine
from cost_analysis.inputs.models import ModelProfile
from cost_analysis.inputs.weights import parameters
from cost_analysis.report.estimate_record import spec_record
from cost_analysis.report.render import Page, Record, Table, whole


def hardware_record(hardware: Hardware) -> Record:
    """A device as plain numbers, sources last."""
    return {
        "name": hardware.name,
        "description": hardware.description,
        "vendor": hardware.vendor,
        "architecture": hardware.architecture,
        "kind": hardware.kind,
        "memory_bytes": whole(hardware.memory),
        "bandwidth_bytes_per_s": whole(hardware.bandwidth),
        "interconnect_bytes_per_s": whole(hardware.interconnect),
        "tdp_watts": whole(hardware.tdp),
        "peak_flop_per_s": {dtype: whole(peak) for dtype, peak in hardware.peak.items()},
        "sources": dict(hardware.sources),
    }


def device_rows(devices: Sequence[Hardware]) -> list[Record]:
    """One flat row a device, every data type a column."""
    rows = []
    for device in devices:
        record = hardware_record(device)
        sources, peaks = record.pop("sources"), record.pop("peak_flop_per_s")
        record |= {f"peak_{dtype}_flop_per_s": peaks.get(dtype) for dtype in WIDER}
        rows.append(record | {f"source_{name}": sources.get(name) for name in _FIGURES})
    return rows


_FIGURES = ("memory", "bandwidth", "interconnect", "tdp", "peak")


def model_record(model: ModelProfile) -> Record:
    """An architecture as plain numbers, its source last."""
    counts = parameters(model.spec)
    return {
        "name": model.name,
        "description": model.description,
        "parameters_total": counts.total,
        "parameters_non_embedding": counts.non_embedding,
        **_sizes(model),
        "source": model.source,
    }


def _sizes(model: ModelProfile) -> Record:
    """What belongs to the model, and not to a use of it."""
    per_use = ("name", "P", "parscale_prefix_tokens")
    return {name: size for name, size in spec_record(model.spec).items() if name not in per_use}


def hardware_list_page(devices: Sequence[Hardware]) -> Page:
    """All device profiles, a line each."""
    rows = tuple(
        (
            device.name,
            format_bytes(single(device.memory)),
            format_rate(single(device.bandwidth), "B/s"),
            _peak(device, "bf16", "fp16"),
            _peak(device, "fp8", "int8"),
            f"{device.tdp:.0f} W" if device.tdp else "",
        )
        for device in devices
    )
    headers = ("name", "memory", "bandwidth", "16-bit peak", "8-bit peak", "power")
    return Page(
        f"{len(devices)} devices; `parscale-cost hardware NAME` shows one with its sources",
        tables=(Table("Dense peaks", headers, rows),),
        notes=("your own: --gpu_config path/to/device.toml",),
    )


def hardware_page(device: Hardware) -> Page:
    """One device with its sources."""
    rows = [("memory", format_bytes(single(device.memory)), "memory")]
    rows.append(("bandwidth", format_rate(single(device.bandwidth), "B/s"), "bandwidth"))
    if device.interconnect:
        rows.append(("interconnect", format_rate(device.interconnect, "B/s"), "interconnect"))
    if device.tdp:
        rows.append(("power limit", f"{device.tdp:.0f} W", "tdp"))
    for index, (dtype, peak) in enumerate(device.peak.items()):
        rows.append((f"peak {dtype}", format_peak(single(peak), dtype), "" if index else "peak"))
    cells = tuple((name, value, device.sources.get(key, "")) for name, value, key in rows)
    table = Table(device.architecture or device.name, ("", "value", "source"), cells, left=(0, 2))
    return Page(f"{device.name}: {device.description}", tables=(table,))


def models_list_page(models: Sequence[ModelProfile]) -> Page:
    """All model profiles, a line each."""
    rows = tuple(
        (
            model.name,
            format_count(single(parameters(model.spec).total)),
            str(model.spec.hidden_size),
            str(model.spec.intermediate_size),
            str(model.spec.num_hidden_layers),
            f"{model.spec.num_attention_heads}/{model.spec.num_key_value_heads}",
            str(model.spec.head_dim),
            str(model.spec.vocab_size),
        )
        for model in sorted(models, key=lambda model: parameters(model.spec).total)
    )
    headers = ("name", "params", "hidden", "MLP", "layers", "heads/KV", "head", "vocab")
    return Page(
        f"{len(models)} models; `parscale-cost models NAME` shows one with its source",
        tables=(Table("Architectures", headers, rows),),
    )


def model_page(model: ModelProfile) -> Page:
    """One model with its source."""
    named = model.description.startswith(model.name)
    counts = parameters(model.spec)
    rows = [(name, str(size)) for name, size in _sizes(model).items() if name != "layers"]
    rows += [
        ("parameters", f"{counts.total:,}"),
        ("without embeddings", f"{counts.non_embedding:,}"),
    ]
    return Page(
        model.description if named else f"{model.name}: {model.description}",
        tables=(Table("Architecture", ("", "value"), tuple(rows)),),
        notes=(
            *([] if model.spec.is_plain else [f"layers: {model.spec.layers_in_words}"]),
            f"source: {model.source}",
            *filter(None, [model.warning]),
        ),
    )


def engine_record(engine: Engine) -> Record:
    """An engine as plain numbers: shares, and times in seconds; its source last."""
    kernels, spread = engine.attention, engine.spread
    return {
        "name": engine.name,
        "description": engine.description,
        "engine_class": engine.engine_class,
        **{name: getattr(engine, name) for name in ENGINE_SHARES},
        **{f"{name}_s": getattr(engine, name) for name in ENGINE_TIMES},
        **{
            f"attention_{item.name}{'_s' if item.name == 'floor' else ''}": getattr(
                kernels, item.name
            )
            for item in fields(kernels)
        },
        "measured_over_predicted_low": spread and spread.low,
        "measured_over_predicted_high": spread and spread.high,
        "measured_on": list(spread.devices) if spread else [],
        "source": engine.source,
    }


def engine_rows(engines: Sequence[Engine]) -> list[Record]:
    """One flat row an engine."""
    return [
        {key: " ".join(value) if isinstance(value, list) else value for key, value in row.items()}
        for row in map(engine_record, engines)
    ]


def engines_list_page(engines: Sequence[Engine]) -> Page:
    """All engine profiles, a line each, class by class."""
    rows = tuple(
        (
            engine.name,
            engine.engine_class,
            f"{engine.flops_efficiency:.0%}",
            f"{engine.bandwidth_efficiency:.0%}",
            *(_seconds(getattr(engine, name)) for name in _LISTED_TIMES),
            f"{engine.spread.low:.2f}-{engine.spread.high:.2f}" if engine.spread else "",
        )
        for engine in sorted(engines, key=lambda engine: (engine.engine_class, engine.name))
    )
    headers = ("name", "class", "FLOP", "B/s", "kernel", "layer", "step", "80 % in")
    return Page(
        f"{len(engines)} engines; `parscale-cost engines NAME` shows one with its source",
        tables=(Table("Shares of the roofs, and overheads", headers, rows, left=(0, 1)),),
        notes=(
            "80 % in: measured over predicted time, of runs that the fit had not seen",
            "your own: --engine path/to/engine.toml",
        ),
    )


def engine_page(engine: Engine) -> Page:
    """One engine with its source."""
    record = engine_record(engine)
    source = record.pop("source")
    for name in ("name", "description"):  # they are the title
        del record[name]
    rows = []
    for name, value in record.items():
        if name.endswith("_s"):
            rows.append((name.removesuffix("_s"), _seconds(value)))
        elif isinstance(value, list):
            rows.append((name, ", ".join(value)))
        elif value is not None:
            rows.append((name, value if isinstance(value, str) else f"{value:.4g}"))
    return Page(
        f"{engine.name}: {engine.description}",
        tables=(Table("Coefficients", ("", "value"), tuple(rows)),),
        notes=(f"source: {source}",),
    )


def _seconds(value: float) -> str:
    return format_seconds(value) if value else ""


_LISTED_TIMES = ("kernel_floor", "layer_host_time", "step_host_time")


def _peak(device: Hardware, *names: str) -> str:
    for name in names:
        if name in device.peak:
            return format_peak(single(device.peak[name]), name)
    return ""


def model_rows(models: Sequence[ModelProfile]) -> list[Record]:
    """One flat row a model."""
    return [model_record(model) for model in models]
