"""Random valid models, workloads, devices and layouts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from cost_analysis import InputError, ModelSpec, Precision, Workload, load_engine, load_hardware
from cost_analysis.inputs.dtypes import DTYPES, EXAMPLES
from cost_analysis.inputs.layers import Attention, Experts, Frame, LatentAttention, LayerGroup, Mlp
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.profiles import profile_names
from cost_analysis.inputs.spec import QWEN2

_dense, _experts = Mlp(bias=True), Experts(8, 3, width=40, shared_width=24, bias=True)
_latent = LatentAttention(kv_rank=48, rope_dim=8, plain_dim=16, value_dim=20, q_rank=64, bias=True)
LAYERS: dict[str, tuple[LayerGroup, ...]] = {
    "plain": (),
    "biases": (LayerGroup(Attention(output_bias=True, sinks=True), _dense),),
    "window": (LayerGroup(Attention(window=100)),),
    "windows in some": (LayerGroup(Attention(window=2000), count=1), LayerGroup()),
    "two windows": (LayerGroup(Attention(window=2), count=1), LayerGroup(Attention(window=999))),
    "experts": (LayerGroup(mlp=_experts),),
    "experts in some": (LayerGroup(count=1), LayerGroup(mlp=Experts(200, 1, router_bias=True))),
    "latents": (LayerGroup(_latent, _dense, 1), LayerGroup(_latent, _experts)),
    "expanded latents": (LayerGroup(replace(_latent, q_rank=None, absorbed=False), _experts),),
}
"""Kinds of layers, for models of two layers or more."""

FRAMES = (QWEN2, Frame(norm_bias=True, position_rows=77), Frame(post_norms=True))


@st.composite
def specs(draw: st.DrawFn, /, **fixed: Any) -> ModelSpec:
    kv_heads = draw(st.integers(1, 8))
    heads = kv_heads * draw(st.integers(1, 8))
    head_dim = draw(st.integers(1, 256))
    sizes: dict[str, Any] = {
        "hidden_size": draw(st.integers(1, 16384)),
        "intermediate_size": draw(st.integers(1, 65536)),
        "num_hidden_layers": draw(st.integers(2, 128)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": draw(st.integers(1, 300_000)),
        "streams": draw(st.integers(1, 32)),
        "prefix_tokens": draw(st.integers(0, 256)),
        "gated_mlp": draw(st.booleans()),
        "qkv_bias": draw(st.booleans()),
        "qk_norm": draw(st.booleans()),
        "tie_word_embeddings": draw(st.booleans()),
        "layers": LAYERS[draw(st.sampled_from(sorted(LAYERS)))],
        "frame": draw(st.sampled_from(FRAMES)),
    }
    return ModelSpec(**(sizes | fixed))


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    return Workload(
        draw(st.integers(1, 512)),
        draw(st.integers(1, 20_000)),
        draw(st.integers(1, 3_000)),
        draw(st.sampled_from(["last", "all"])),
    )


dtypes = st.sampled_from([*DTYPES, *EXAMPLES, "int8-zp", "fp8-g7", "int8-b3"])
precisions = st.builds(Precision, weights=dtypes, activations=dtypes, kv_cache=dtypes)

ENGINES = [load_engine(name) for name in profile_names("engines")]
DEVICES = [load_hardware(name) for name in ("a100-sxm-80gb", "h100-sxm-80gb", "t4", "epyc-9654")]
engines, devices = st.sampled_from(ENGINES), st.sampled_from(DEVICES)

WAYS = ("tensor_parallel", "pipeline_parallel", "expert_parallel", "stream_parallel")
layouts = st.builds(Layout, *(st.sampled_from([1, 2, 3, 4, 8, 16]) for _ in WAYS))


def fitting(layout: Layout, spec: ModelSpec) -> bool:
    """Whether a layout fits a model."""
    try:
        layout.check(spec)
    except InputError:
        return False
    return True
