"""Published ParScale state dicts into a `ParallelModel`, and parity with the published code.

Safetensors only, no remote code.

A folder of parity cases holds small random models and the logits of the published modeling code
for them (`index.json`, `NAME.weights.safetensors`, `NAME.io.safetensors`): prefill, padded
prefill, prefill in two pieces, teacher-forced decode, and greedy continuations. Every case is run
with each attention implementation and each kind of cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, Qwen2Config
from transformers.initialization import no_init_weights

from cost_analysis.common.arrays import single_count
from cost_analysis.common.errors import LONGEST_PATH, InputError, shown
from cost_analysis.common.files import read_json
from cost_analysis.inputs.configurations import CONFIGURATION, read_model
from cost_analysis.inputs.models import CONFIG
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.measure.parallel_model import DTYPES, ParallelModel
from cost_analysis.measure.results import Outcome

AGGREGATOR = "model.aggregate_layer."

ARCHITECTURES = ("qwen2", "qwen2_parscale")
"""Architectures (`model_type`) whose checkpoints can be run."""

SMOOTHING = 0.01
"""Smoothing of the aggregation where a configuration states none."""


def load_state(model: ParallelModel, state: Mapping[str, torch.Tensor]) -> None:
    """Copy a state dict under the published names into a model.

    Args:
        model: The model, of the state's architecture and streams.
        state: `model.layers.N.self_attn.prefix_k`, `model.aggregate_layer.0.weight`, and the
            stock names for the rest.

    Raises:
        InputError: A key that is left over or missing, or a shape that is not the model's.
    """
    own = dict(_named_targets(model))
    optional = set(_tied_names(model))
    left, missing = state.keys() - own.keys(), own.keys() - state.keys() - optional
    if left or missing:
        what = [f"left over: {', '.join(sorted(left)[:3])}"] if left else []
        what += [f"missing: {', '.join(sorted(missing)[:3])}"] if missing else []
        raise InputError(f"the checkpoint is not of this architecture; {'; '.join(what)}")
    with torch.no_grad():
        for name, value in state.items():
            if own[name].shape != value.shape:
                raise InputError(
                    f"{name} of the checkpoint is {tuple(value.shape)}, the model's is "
                    f"{tuple(own[name].shape)}"
                )
            own[name].copy_(value)


def load_checkpoint(
    folder: Path, *, device: str = "cpu", dtype: str = "bf16", attention: str = "sdpa"
) -> ParallelModel:
    """A published checkpoint from a local folder of `config.json` and safetensors files.

    Args:
        folder: The folder; its configuration must be of one of `ARCHITECTURES`.
        device: Where to put it.
        dtype: Type of weights and activations.
        attention: transformers' attention implementation.

    Raises:
        InputError: A folder that holds no such checkpoint.
    """
    spec = spec_of_checkpoint(folder)
    content = read_json(folder / CONFIG, CONFIGURATION)
    smoothing = content.get("parscale_attn_smooth", SMOOTHING)
    own = {"auto_map", "model_type", *(key for key in content if key.startswith("parscale"))}
    config = Qwen2Config(**{key: value for key, value in content.items() if key not in own})
    with torch.device(device), no_init_weights():
        model = AutoModelForCausalLM.from_config(
            config, attn_implementation=attention, dtype=DTYPES[dtype]
        )
    model.tie_weights()
    wrapped = ParallelModel(
        model, single_count(spec.streams), single_count(spec.prefix_tokens), smoothing
    )
    load_state(wrapped, _tensors(sorted(folder.glob("*.safetensors")), folder))
    return wrapped


def checkpoint_folder(name: str) -> Path:
    """The local folder of a checkpoint: a path, or a Hugging Face id that is in the cache.

    Raises:
        InputError: Neither.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise InputError(
            f"{shown(name, LONGEST_PATH)} is neither a folder nor a Hugging Face id in the cache "
            f"({type(error).__name__})"
        ) from None


def spec_of_checkpoint(folder: Path) -> ModelSpec:
    """The architecture that a checkpoint's `config.json` states, with its streams.

    Raises:
        InputError: A configuration that cannot be read, or of another architecture than Qwen2.
    """
    found = read_model(folder / CONFIG, folder.name)
    if found.architecture not in ARCHITECTURES:
        raise InputError(
            f"the checkpoint {shown(str(folder), LONGEST_PATH)} is of the architecture "
            f"{found.architecture}; it must be one of {', '.join(ARCHITECTURES)}"
        )
    return found.spec


def _named_targets(model: ParallelModel) -> Iterable[tuple[str, torch.Tensor]]:
    """Tensors of a model under the names of the published code."""
    yield from model.model.named_parameters(remove_duplicate=False)
    for kind, prefixes in (("k", model.prefix_keys), ("v", model.prefix_values)):
        for layer, prefix in enumerate(prefixes):
            yield f"model.layers.{layer}.self_attn.prefix_{kind}", prefix
    if model.aggregator is not None:
        for name, value in model.aggregator.aggregate_layer.named_parameters():
            yield f"{AGGREGATOR}{name}", value


def _tied_names(model: ParallelModel) -> Iterable[str]:
    """Names that a state dict may leave out: the LM head where it is the embedding."""
    return ["lm_head.weight"] if model.config.tie_word_embeddings else []


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file.

    Raises:
        InputError: A file that cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read {shown(str(path), LONGEST_PATH)}: {error}") from None


def _tensors(paths: list[Path], folder: Path) -> dict[str, torch.Tensor]:
    if not paths:
        raise InputError(f"{shown(str(folder), LONGEST_PATH)} holds no .safetensors file")
    state: dict[str, torch.Tensor] = {}
    for path in paths:
        state |= read_tensors(path)
    return state


CASE_SMOOTHING = 0.01
"""Aggregation smoothing that the recorded models were run with."""

ATTENTIONS, CACHES = ("eager", "sdpa"), ("dynamic", "static")


Tensors = dict[str, torch.Tensor]


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
    model = ParallelModel(stock, entry["streams"], entry["prefix_tokens"], CASE_SMOOTHING)
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
