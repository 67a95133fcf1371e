"""Whether the measured model computes what the published code computes.

A folder holds small random models and the logits of the published modeling code for them
(`index.json`, `NAME.weights.safetensors`, `NAME.io.safetensors`): prefill, padded prefill,
prefill in two pieces, teacher-forced decode, and greedy continuations. Every case is run with
each attention implementation and each kind of cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from cost_analysis.checkpoints import load_state, read_tensors
from cost_analysis.errors import InputError
from cost_analysis.files import read_json
from cost_analysis.torch_model import ParallelModel

SMOOTHING = 0.01
"""Aggregation smoothing that the recorded models were run with."""

ATTENTIONS, CACHES = ("eager", "sdpa"), ("dynamic", "static")
TOLERANCE = 1e-4
"""Largest difference of a logit: float32 against float64; logits have a deviation of about 4."""

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case of one model under one implementation.

    Attributes:
        model: Name of the model.
        case: Name of the case; "greedy" for the continuation.
        attention: "eager" or "sdpa".
        cache: "dynamic" or "static".
        prefill_error: Largest difference of a prefill logit.
        decode_error: Largest difference of a decode logit.
        same_tokens: Whether the greedy tokens are the same; None in other cases.
    """

    model: str
    case: str
    attention: str
    cache: str
    prefill_error: float = 0.0
    decode_error: float = 0.0
    same_tokens: bool | None = None

    @property
    def passed(self) -> bool:
        """Within the tolerance, and the same tokens."""
        within = max(self.prefill_error, self.decode_error) <= TOLERANCE
        return within and self.same_tokens is not False


def check_folder(folder: Path, device: str = "cpu") -> Iterator[Outcome]:
    """Run every case of a folder.

    Args:
        folder: Recorded models and logits.
        device: "cpu" or a CUDA device.

    Raises:
        InputError: A folder that does not hold such cases.
    """
    index = read_json(folder / "index.json")
    if not isinstance(index.get("models"), list) or not isinstance(index.get("base"), dict):
        raise InputError(f"{str(folder / 'index.json')!r} must hold 'base' and a list 'models'")
    for entry, attention in product(index["models"], ATTENTIONS):
        model = _load(folder, index["base"], entry, attention).to(device)
        recorded = read_tensors(folder / f"{entry['name']}.io.safetensors")
        recorded = {name: tensor.to(device) for name, tensor in recorded.items()}
        for cache in CACHES:
            for case in entry["cases"]:
                errors = _run(model, case, recorded, static=cache == "static")
                yield Outcome(entry["name"], case["name"], attention, cache, *errors)
        if "gen.greedy" in recorded:
            same = _same_greedy(model, recorded)
            yield Outcome(entry["name"], "greedy", attention, "dynamic", same_tokens=same)


def _load(
    folder: Path, base: dict[str, Any], entry: dict[str, Any], attention: str
) -> ParallelModel:
    config = Qwen2Config(**{**base, **entry["config_overrides"]})
    stock = AutoModelForCausalLM.from_config(
        config, attn_implementation=attention, dtype=torch.float32
    )
    model = ParallelModel(stock, entry["streams"], entry["prefix_tokens"], SMOOTHING)
    load_state(model, read_tensors(folder / f"{entry['name']}.weights.safetensors"))
    return model


@torch.no_grad()
def _run(
    model: ParallelModel, case: dict[str, Any], recorded: Tensors, *, static: bool
) -> tuple[float, float]:
    """Largest differences of the prefill's and of the decode steps' logits."""
    name, prompt = case["name"], case["prompt"]
    tokens = recorded[f"{name}.input_ids"].long()
    mask = recorded.get(f"{name}.attention_mask")
    mask = None if mask is None else mask.long()
    cache = model.new_cache(tokens.shape[0], tokens.shape[1] if static else None)

    def logits(first: int, last: int) -> torch.Tensor:
        seen = None if mask is None else mask[:, :last]
        result: torch.Tensor = model(tokens[:, first:last], cache, seen, logits_to_keep=0)
        return result

    cut = case["chunk"] or prompt
    pieces = [logits(first, last) for first, last in ((0, cut), (cut, prompt)) if last > first]
    prefill = torch.cat(pieces, dim=1)
    steps = [logits(past, past + 1) for past in range(prompt, tokens.shape[1])]
    wrong = (prefill - recorded[f"{name}.prefill_logits"]).abs()
    if mask is not None:  # padding attends to nothing: its logits mean nothing
        wrong = wrong * mask[:, :prompt, None]
    decoded = (torch.cat(steps, dim=1) - recorded[f"{name}.decode_logits"]).abs()
    return float(wrong.max()), float(decoded.max())


def _same_greedy(model: ParallelModel, recorded: Tensors) -> bool:
    prompt, expected = recorded["gen.input_ids"].long(), recorded["gen.greedy"].long()
    continued = model.greedy(prompt, expected.shape[1] - prompt.shape[1])
    return bool(torch.equal(continued, expected))
