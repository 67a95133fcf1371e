"""From what a user gives to what the core takes: fills in what was left out, and says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cost_analysis.common.checks import FLAGS
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.layout import SINGLE, Layout
from cost_analysis.inputs.models import load_model
from cost_analysis.inputs.profiles import load_engine, load_hardware
from cost_analysis.inputs.spec import ModelSpec, Workload, family_intermediate_size

DEFAULT_DEVICE = "a100-sxm-80gb"
DEFAULT_ENGINES = {"gpu": "graphs", "cpu": "cpu"}
"""The engine by kind of device; for kinds that no measurements were fitted on it is "ideal"."""


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that one estimate needs.

    Attributes:
        spec: The model.
        workload: Batch size and lengths.
        precision: Storage formats.
        hardware: The device.
        engine: What runs the model, with the user's own efficiencies if given.
        flops_efficiency: What the user gave, or None.
        bandwidth_efficiency: What the user gave, or None.
        assumed: What was filled in, by name.
        title: What the model is called.
        warnings: What the user should know, a sentence each.
        layout: How the model is divided among devices.
    """

    spec: ModelSpec
    workload: Workload
    precision: Precision
    hardware: Hardware
    engine: Engine
    flops_efficiency: float | None
    bandwidth_efficiency: float | None
    assumed: Mapping[str, Any]
    title: str
    warnings: tuple[str, ...]
    layout: Layout = SINGLE


def make_request(
    *,
    model: str | None,
    architecture: Mapping[str, Any],
    workload: Mapping[str, Any],
    precision: Mapping[str, str],
    gpu_config: str = DEFAULT_DEVICE,
    engine: str | None = None,
    flops_efficiency: float | None = None,
    bandwidth_efficiency: float | None = None,
    download: bool = False,
    layout: Mapping[str, Any] | None = None,
    links: Mapping[str, Any] | None = None,
) -> Request:
    """Resolve names and defaults.

    Args:
        model: A model profile, a configuration or a Hugging Face id (`load_model`), or None.
        architecture: `ModelSpec` fields that the user gave; they go before the profile's.
        workload: `Workload` fields that the user gave.
        precision: `Precision` fields that the user gave.
        gpu_config: A device profile or the path of one.
        engine: An engine profile or the path of one; None means the device kind's default.
        flops_efficiency: Replaces the engine's, unless None.
        bandwidth_efficiency: Replaces the engine's, unless None.
        download: Fetch the configuration of a Hugging Face id that is not in the cache.
        layout: `Layout` fields that the user gave.
        links: `LINKS` of `Hardware` that the user gave; they go before the device's.

    Raises:
        InputError: Something makes no sense.
    """
    assumed: dict[str, Any] = {}
    spec, title, remarks = _model(model, dict(architecture), assumed, download=download)
    hardware, chosen, by_default = make_system(
        gpu_config, engine, flops_efficiency, bandwidth_efficiency
    )
    hardware = replace(hardware, **(links or {}))
    divided = Layout(**(layout or {}))
    divided.check(spec)
    if by_default:
        assumed["engine"] = chosen.name
    job = Workload(**workload)
    return Request(
        spec=spec,
        workload=job,
        precision=Precision(**precision),
        hardware=hardware,
        engine=chosen,
        flops_efficiency=flops_efficiency,
        bandwidth_efficiency=bandwidth_efficiency,
        assumed=assumed,
        title=title,
        warnings=(*remarks, *length_warnings(spec, job)),
        layout=divided,
    )


def make_system(
    gpu_config: str,
    engine: str | None,
    flops_efficiency: float | None,
    bandwidth_efficiency: float | None,
) -> tuple[Hardware, Engine, bool]:
    """A device, what runs the model on it, and whether that was chosen by default.

    Raises:
        InputError: No such device or engine, or a share outside (0, 1].
    """
    hardware = load_hardware(gpu_config).at_datasheet(
        flops=flops_efficiency is not None, bandwidth=bandwidth_efficiency is not None
    )
    name = engine or DEFAULT_ENGINES.get(hardware.kind, "ideal")
    chosen = load_engine(name).with_efficiency(flops_efficiency, bandwidth_efficiency)
    return hardware, chosen, engine is None


def _model(
    name: str | None, given: dict[str, Any], assumed: dict[str, Any], *, download: bool
) -> tuple[ModelSpec, str, list[str]]:
    """The model, what it is called, and what one should know about the name."""
    if name is None:
        return (spec := _own_model(given, assumed)), f"hidden {spec.hidden_size}", []
    checkpoint = CHECKPOINT.fullmatch(name.strip())
    if checkpoint:
        name = checkpoint["model"]
        given.setdefault("streams", int(checkpoint["streams"]))
    profile = load_model(name, download=download)
    assumed |= {field: value for field, value in profile.assumed.items() if field not in given}
    base = profile.spec
    changed = {field for field, value in given.items() if getattr(base, field) != value}
    reshaped = {"hidden_size", "num_attention_heads"} & changed
    if reshaped and base.scales_heads and "head_dim" not in given:
        given["head_dim"] = None
    spec = replace(base, **given)
    if "head_dim" in given and given["head_dim"] is None:
        assumed["head_dim"] = spec.head_dim
    named = sorted(FLAGS.get(field, field) for field in changed - {"streams", "prefix_tokens"})
    title = profile.description + (f" with another {', '.join(named)}" if named else "")
    return spec, title, [profile.warning] if profile.warning else []


def _own_model(given: dict[str, Any], assumed: dict[str, Any]) -> ModelSpec:
    if "hidden_size" not in given:
        raise InputError("no model given; name one with --model or give --hidden_size")
    if "intermediate_size" not in given:
        hidden = given["hidden_size"]
        ModelSpec(hidden, 1, head_dim=1)  # a hidden size that makes no sense is named as such
        given["intermediate_size"] = assumed["intermediate_size"] = family_intermediate_size(hidden)
    return ModelSpec(**given)


CHECKPOINT = re.compile(
    r"(?:parscale/)?(?P<model>parscale-[0-9.]+b)-p(?P<streams>[0-9]{1,3})(?:-[a-z]+)?",
    re.IGNORECASE,
)
"""Names of the published checkpoints: ParScale/ParScale-1.8B-P8, also -Inst, -Pile, -Python."""


def length_warnings(spec: ModelSpec, workload: Workload) -> list[str]:
    """A sentence where a request is longer than the model was made for."""
    # The last generated token is never fed back, so it needs no position.
    longest = int(workload.cached_tokens)
    if longest <= spec.max_position_embeddings:
        return []
    return [
        f"input and output take {longest:,} positions, the model was made for "
        f"{spec.max_position_embeddings:,} (max_position_embeddings); the cost is still right, "
        "the model may not be"
    ]
