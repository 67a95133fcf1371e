"""Requests from what a user gives: fills in what was left out, and records it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cost_analysis.common.checks import FLAGS
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.models import load_model
from cost_analysis.inputs.spec import ModelSpec, Workload, family_intermediate_size
from cost_analysis.inputs.system import System


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that one estimate needs.

    Attributes:
        spec: The model.
        workload: Batch size and lengths.
        system: What runs it.
        assumed: Values that were filled in, by name.
        title: The name of the model in reports.
        warnings: What the user should know, a sentence each.
    """

    spec: ModelSpec
    workload: Workload
    system: System
    assumed: Mapping[str, Any]
    title: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelAsked:
    """A model that a user describes.

    Attributes:
        spec: The model.
        title: Its name in reports.
        assumed: Values that were filled in, by name.
        warnings: What the user should know about it, a sentence each.
    """

    spec: ModelSpec
    title: str
    assumed: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def make_request(
    model: ModelAsked, workload: Workload, system: System, *, engine_assumed: bool = False
) -> Request:
    """A request for the cost of a workload of a model on a system.

    Args:
        model: The model (`model_asked`).
        workload: Batch size and lengths.
        system: What runs it.
        engine_assumed: The user named no engine.
    """
    by_default = {"engine": system.engine.name} if engine_assumed else {}
    return Request(
        spec=model.spec,
        workload=workload,
        system=system,
        assumed={**model.assumed, **by_default},
        title=model.title,
        warnings=(*model.warnings, *length_warnings(model.spec, workload)),
    )


def model_asked(
    name: str | None, given: Mapping[str, Any], *, download: bool = False
) -> ModelAsked:
    """The model that a user describes, with what was left out filled in.

    Args:
        name: A model profile, a configuration, a Hugging Face id (`load_model`) or a published
            checkpoint, or None.
        given: `ModelSpec` fields that the user gave; they take precedence over the named model's.
        download: Fetch the configuration of a Hugging Face id that is not in the cache.

    Raises:
        InputError: No such model, or a field that is not valid.
    """
    if name is None:
        return _own_model(dict(given))
    return _changed_model(name, dict(given), download=download)


def _changed_model(name: str, given: dict[str, Any], *, download: bool) -> ModelAsked:
    """A named model, with what the user gave in place of its own."""
    checkpoint = CHECKPOINT.fullmatch(name.strip())
    if checkpoint:
        name = checkpoint["model"]
        given.setdefault("streams", int(checkpoint["streams"]))
    profile = load_model(name, download=download)
    assumed = {field: value for field, value in profile.assumed.items() if field not in given}
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
    return ModelAsked(spec, title, assumed, (profile.warning,) if profile.warning else ())


def _own_model(given: dict[str, Any]) -> ModelAsked:
    """A model of the user's own."""
    assumed: dict[str, Any] = {}
    if "hidden_size" not in given:
        raise InputError("no model given; name one with --model or give --hidden_size")
    if "intermediate_size" not in given:
        hidden = given["hidden_size"]
        ModelSpec(hidden, 1, head_dim=1)  # refuses an invalid hidden size by its name
        given["intermediate_size"] = assumed["intermediate_size"] = family_intermediate_size(hidden)
    spec = ModelSpec(**given)
    return ModelAsked(spec, f"hidden {spec.hidden_size}", assumed)


CHECKPOINT = re.compile(
    r"(?:parscale/)?(?P<model>parscale-[0-9.]+b)-p(?P<streams>[0-9]{1,3})(?:-[a-z]+)?",
    re.IGNORECASE,
)
"""Names of the published checkpoints: ParScale/ParScale-1.8B-P8, also -Inst, -Pile, -Python."""


def length_warnings(spec: ModelSpec, workload: Workload) -> list[str]:
    """A warning where a request is longer than the model was made for."""
    # The last generated token is never fed back, so it needs no position.
    longest = int(workload.cached_tokens)
    if longest <= spec.max_position_embeddings:
        return []
    return [
        f"input and output take {longest:,} positions, the model was made for "
        f"{spec.max_position_embeddings:,} (max_position_embeddings); the cost is still right, "
        "the model may not be"
    ]
