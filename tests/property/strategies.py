"""Random models and workloads that make sense."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cost_analysis import ModelSpec, Precision, Workload
from cost_analysis.units import DTYPES


@st.composite
def specs(draw: st.DrawFn, /, **fixed: Any) -> ModelSpec:
    kv_heads = draw(st.integers(1, 8))
    heads = kv_heads * draw(st.integers(1, 8))
    head_dim = draw(st.integers(1, 256))
    sizes: dict[str, Any] = {
        "hidden_size": draw(st.integers(1, 16384)),
        "intermediate_size": draw(st.integers(1, 65536)),
        "num_hidden_layers": draw(st.integers(1, 128)),
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


_dtypes = st.sampled_from(sorted(DTYPES))
precisions = st.builds(Precision, weights=_dtypes, activations=_dtypes, kv_cache=_dtypes)
