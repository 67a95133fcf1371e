"""Parameter counts, part by part, exact."""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.arrays import Number, as_count
from cost_analysis.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Parameters:
    """How many parameters each part has; Python ints for a single model.

    Attributes:
        embedding: Token embedding table, V·h.
        lm_head: Output matrix of its own, V·h; 0 when tied to the embedding.
        attention: Matrices of q, k, v and o over all layers, without biases.
        mlp: Matrices of the MLP over all layers.
        small: Norm weights and biases over all layers, and the final norm.
        prefix: Learned keys and values: L·P·2·(KV heads)·T·head_dim; 0 at P = 1.
        aggregator: Linear(P·h → h) and Linear(h → P) with biases; 0 at P = 1.
    """

    embedding: Number
    lm_head: Number
    attention: Number
    mlp: Number
    small: Number
    prefix: Number
    aggregator: Number

    @property
    def non_embedding(self) -> Number:
        """What the scaling law calls N: all but the embedding table and LM head.

        Prefixes and aggregator are counted, as in the published runs (QwenLM/ParScale
        `parametric_fit.py`).
        """
        return self.attention + self.mlp + self.small + self.prefix + self.aggregator

    @property
    def total(self) -> Number:
        """Every parameter, a tied matrix once."""
        return self.embedding + self.lm_head + self.non_embedding


def parameters(spec: ModelSpec) -> Parameters:
    """The parameter counts of a model.

    Source: the layers of transformers' Qwen2 and Qwen3 and of QwenLM/ParScale
    `modeling_qwen2_parscale.py`; checked against both in the tests.
    """
    hidden, layers, streams = spec.hidden_size, spec.num_hidden_layers, spec.streams
    query, key_value = spec.query_size, spec.key_value_size
    table = spec.vocab_size * hidden
    biases = (query + 2 * key_value) * spec.qkv_bias
    norms = 2 * hidden + 2 * spec.head_dim * spec.qk_norm
    parallel = as_count(streams > 1)
    return Parameters(
        embedding=table,
        lm_head=table * (not spec.tie_word_embeddings),
        attention=layers * (hidden * (query + 2 * key_value) + query * hidden),
        mlp=layers * (3 if spec.gated_mlp else 2) * hidden * spec.intermediate_size,
        small=layers * (norms + biases) + hidden,
        prefix=layers * streams * 2 * key_value * spec.prefix,
        aggregator=parallel * (streams * hidden * hidden + hidden + hidden * streams + streams),
    )
