"""Models of measured serving runs: which of our profiles each is, and how its checkpoint is stored.

Names are those of the Hugging Face Hub. Only models that are listed here are known; the formats
are those of the checkpoints' `config.json` and `hf_quant_config.json`.
"""

from __future__ import annotations

from typing import NamedTuple

ENDINGS = ("-fp8", "-nvfp4", "-fp4", "-instruct", "-thinking", "-2507", "-0528", "-it")
"""Ends of names that say how a model was trained or stored, not what it is made of."""


class ServedModel(NamedTuple):
    """A model of serving runs.

    Attributes:
        profile: Name of its profile; "" where there is none.
        blocks: Its fp8 checkpoint has a scale for each block of 128 x 128 weights.
        wide_attention: Its checkpoints of four bits keep attention in 16 bits.
        drafts: It has a head that drafts further tokens, which engines may use.
        reason: Why it has no profile.
    """

    profile: str = ""
    blocks: bool = False
    wide_attention: bool = False
    drafts: bool = False
    reason: str = ""


_HYBRID = "layers of linear attention or state spaces are not counted"

SERVED_MODELS = {
    "deepseek-r1": ServedModel("deepseek-v3", blocks=True, wide_attention=True, drafts=True),
    "deepseek-v3": ServedModel("deepseek-v3", blocks=True, wide_attention=True, drafts=True),
    "gemma-3-12b": ServedModel("gemma-3-12b"),
    "gpt-oss-20b": ServedModel("gpt-oss-20b", wide_attention=True),
    "gpt-oss-120b": ServedModel("gpt-oss-120b", wide_attention=True),
    "kimi-k2": ServedModel("kimi-k2", blocks=True, wide_attention=True),
    "kimi-k2.5": ServedModel("kimi-k2", blocks=True, wide_attention=True),
    "llama-3.1-8b": ServedModel("llama-3.1-8b"),
    "llama-3.1-70b": ServedModel("llama-3.1-70b"),
    "llama-3.1-405b": ServedModel("llama-3.1-405b"),
    "llama-3.3-70b": ServedModel("llama-3.1-70b"),
    "llama-4-maverick-17b-128e": ServedModel(reason="chunks of attention are not counted"),
    "llama-4-scout-17b-16e": ServedModel(reason="chunks of attention are not counted"),
    "minimax-m2": ServedModel("minimax-m2", blocks=True, wide_attention=True),
    "minimax-m2.5": ServedModel("minimax-m2", blocks=True, wide_attention=True),
    "nvidia-nemotron-nano-9b-v2": ServedModel(reason=_HYBRID),
    "nvidia-nemotron-nano-12b-v2": ServedModel(reason=_HYBRID),
    "qwen3-0.6b": ServedModel("qwen3-0.6b", blocks=True),
    "qwen3-1.7b": ServedModel("qwen3-1.7b", blocks=True),
    "qwen3-4b": ServedModel("qwen3-4b", blocks=True),
    "qwen3-8b": ServedModel("qwen3-8b", blocks=True),
    "qwen3-14b": ServedModel("qwen3-14b", blocks=True),
    "qwen3-32b": ServedModel("qwen3-32b", blocks=True),
    "qwen3-30b-a3b": ServedModel("qwen3-30b-a3b", blocks=True),
    "qwen3-235b-a22b": ServedModel("qwen3-235b-a22b", blocks=True),
    "qwen3-coder-480b-a35b": ServedModel("qwen3-coder-480b-a35b", blocks=True),
    "qwen3.5-397b-a17b": ServedModel(reason=_HYBRID),
}
"""By family: the name without its owner, `ENDINGS`, and capitals.

Sources of the formats: `quantization_config` of Qwen/Qwen3-235B-A22B-FP8, deepseek-ai/DeepSeek-R1
and MiniMaxAI/MiniMax-M2.5 (weight_block_size 128 x 128); exclude_modules of
nvidia/MiniMax-M2.5-NVFP4 and nvidia/DeepSeek-V3.1-NVFP4; `ignore` of moonshotai/Kimi-K2.5."""


def family(model: str) -> str:
    """What a model is made of, by its name: without owner, `ENDINGS`, and capitals."""
    name = model.rsplit("/", 1)[-1].lower()
    while True:
        shorter = next((name.removesuffix(end) for end in ENDINGS if name.endswith(end)), name)
        if shorter == name:
            return name
        name = shorter


def served_model(model: str) -> ServedModel:
    """The model of a serving run by its name on the Hub."""
    return SERVED_MODELS.get(family(model), ServedModel(reason="it has no profile"))
