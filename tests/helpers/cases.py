"""Models and devices that several tests use."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from cost_analysis import Engine, Hardware, ModelSpec, load_hardware, load_model
from cost_analysis.inputs.layers import Experts, LayerGroup
from tests.helpers.data import DATA

CONFIGS = DATA / "configs"
"""Configurations of published models."""

SMALL = ModelSpec(1024, 4096, 4, 16, 4, vocab_size=8000, qkv_bias=False)
MIXTURE = replace(SMALL, layers=(LayerGroup(mlp=Experts(8, 2)),))
PLAIN = Engine("plain")
"""An engine without measured terms."""

FOUR_A_NODE = Hardware(
    "d", "d", memory=1e11, bandwidth=1e12, peak={"bf16": 1e14}, interconnect=2e11,
    devices_per_node=4, network=1e10,
)  # fmt: skip
EIGHT_A_NODE = replace(load_hardware("h100"), devices_per_node=8, network=5e10)


def configuration(name: str) -> dict[str, Any]:
    """The content of a published configuration."""
    content: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text())
    return content


def configured(name: str) -> ModelSpec:
    """The model of a published configuration."""
    return load_model(str(CONFIGS / f"{name}.json")).spec
