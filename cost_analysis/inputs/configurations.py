"""A `ModelSpec` from a Hugging Face `config.json`: the table of architectures.

Only JSON is read: no code of a repository runs, and no weights are opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cost_analysis.common.errors import LONGEST_PATH, InputError, shown, unknown_name
from cost_analysis.common.files import read_json
from cost_analysis.inputs import architectures
from cost_analysis.inputs.config_json import Config
from cost_analysis.inputs.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Architecture:
    """The reader of the configurations of one `model_type`.

    Attributes:
        read: From a configuration to a model.
        classes: Classes whose weights are counted, one of which `architectures` must name.
    """

    read: Callable[[Config], ModelSpec]
    classes: tuple[str, ...]


ARCHITECTURES = {
    "llama": Architecture(architectures.llama, ("LlamaForCausalLM", "LLaMAForCausalLM")),
    "mistral": Architecture(architectures.mistral, ("MistralForCausalLM",)),
    "qwen2": Architecture(architectures.qwen2, ("Qwen2ForCausalLM",)),
    "qwen2_parscale": Architecture(architectures.qwen2_parscale, ("Qwen2ParScaleForCausalLM",)),
    "qwen3": Architecture(architectures.qwen3, ("Qwen3ForCausalLM",)),
    "gemma2": Architecture(architectures.gemma2, ("Gemma2ForCausalLM",)),
    "gemma3_text": Architecture(architectures.gemma3, ("Gemma3ForCausalLM",)),
    "phi3": Architecture(architectures.phi3, ("Phi3ForCausalLM",)),
    "gpt2": Architecture(architectures.gpt2, ("GPT2LMHeadModel",)),
    "opt": Architecture(architectures.opt, ("OPTForCausalLM",)),
    "gpt_neox": Architecture(architectures.gpt_neox, ("GPTNeoXForCausalLM",)),
    "mixtral": Architecture(architectures.mixtral, ("MixtralForCausalLM",)),
    "qwen3_moe": Architecture(architectures.qwen3_moe, ("Qwen3MoeForCausalLM",)),
    "gpt_oss": Architecture(architectures.gpt_oss, ("GptOssForCausalLM",)),
    "deepseek_v2": Architecture(architectures.deepseek_v2, ("DeepseekV2ForCausalLM",)),
    "deepseek_v3": Architecture(architectures.deepseek_v3, ("DeepseekV3ForCausalLM",)),
}
"""By `model_type`."""


@dataclass(frozen=True, slots=True)
class ConfiguredModel:
    """A model that a configuration describes.

    Attributes:
        spec: The model, with the streams that the configuration states.
        architecture: Its `model_type`.
        assumed: Fields that it leaves out, with the values that transformers takes.
        remarks: Parts that are not counted, a sentence each.
    """

    spec: ModelSpec
    architecture: str
    assumed: dict[str, Any]
    remarks: tuple[str, ...]


def read_model(path: Path, name: str) -> ConfiguredModel:
    """The model of a configuration file.

    Args:
        path: The file.
        name: The name of the model.

    Raises:
        InputError: A file that is not a configuration, an unknown architecture, or sizes out of
            range.
    """
    content = read_json(path, CONFIGURATION)
    return model_of(content, f"{CONFIGURATION} {shown(str(path), LONGEST_PATH)}", name)


CONFIGURATION = "the configuration"
"""The name of the file in errors."""


def model_of(content: dict[str, Any], where: str, name: str = "") -> ConfiguredModel:
    """The model of a configuration's fields.

    Args:
        content: The fields.
        where: The name of the configuration in errors.
        name: The name of the model.

    Raises:
        InputError: As for `read_model`.
    """
    outer = Config(content, where)
    config, remarks = _text_part(outer)
    kind = config.content.get("model_type")
    if kind is None:
        config.refuse("model_type is missing, so that its architecture is not known")
    architecture = ARCHITECTURES.get(kind) if isinstance(kind, str) else None
    if architecture is None:
        error = unknown_name("architecture", str(kind), [*ARCHITECTURES, *TEXT_MODELS])
        config.refuse(f"model_type: {error}; its layers cannot be described")
    _check_classes(outer, str(kind))
    try:
        spec = replace(architecture.read(config), name=name)
    except InputError as error:
        sentence = str(error)
        raise InputError(sentence if sentence.startswith(where) else f"{where}: {error}") from None
    return ConfiguredModel(spec, str(kind), config.assumed, (*remarks, *_remarks(outer)))


TEXT_MODELS = {"gemma3": ("gemma3_text", ("Gemma3ForConditionalGeneration",))}
"""Models of text and images whose text model is a known architecture."""


def _text_part(config: Config) -> tuple[Config, list[str]]:
    """The configuration of the text model, and remarks on the parts that are left out."""
    kind = config.content.get("model_type")
    if not isinstance(kind, str) or kind not in TEXT_MODELS:
        return config, []
    part = config.part("text_config")
    if "tie_word_embeddings" in config.content:
        part.content.setdefault("tie_word_embeddings", config.content["tie_word_embeddings"])
    part.content.setdefault("model_type", TEXT_MODELS[kind][0])
    return part, ["only the text model is counted; the configuration has a vision model, too"]


def _check_classes(config: Config, kind: str) -> None:
    """Refuse a model whose head differs from the one that is counted."""
    named = config.content.get("architectures")
    if named is None:
        return
    allowed = ARCHITECTURES[kind].classes
    outer = config.content.get("model_type")
    if isinstance(outer, str) and outer in TEXT_MODELS:
        allowed = (*allowed, *TEXT_MODELS[outer][1])
    if not isinstance(named, list) or not any(name in allowed for name in named):
        config.refuse(
            f"architectures is {shown(named)}; what is counted for {kind} is {allowed[-1]}"
        )


def _remarks(config: Config) -> list[str]:
    """Remarks on parts of a configuration that are not counted, or that a flag sets."""
    found = []
    if config.content.get("num_nextn_predict_layers"):
        found.append("the layer that predicts a second token is not counted")
    stored = config.content.get("quantization_config")
    if isinstance(stored, dict):
        method = shown(stored.get("quant_method", "a format of its own"))
        found.append(f"its weights are stored in {method}; what is counted is --weight_dtype")
    return found
