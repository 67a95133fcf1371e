"""Parameter counts, part by part, exact."""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.arrays import Number, as_count
from cost_analysis.layout import Share
from cost_analysis.matrices import (
    Matrix,
    attention_matrices,
    mlp_matrices,
    norm_values,
    position_values,
    prefix_values,
    small_values,
    unreached_values,
)
from cost_analysis.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Parameters:
    """How many parameters each part has; Python ints for a single model.

    Attributes:
        embedding: Token embedding table, V·h, and the table of learned positions if there is one.
        lm_head: Output matrix of its own, V·h; 0 when tied to the embedding.
        attention: Matrices of q, k, v and o over all layers, without biases.
        mlp: Matrices of the MLP over all layers.
        small: Norm weights, biases and sinks over all layers, and the final norm.
        prefix: Learned keys and values, for each stream T positions of the cache; 0 at P = 1.
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

    Source: the layers of transformers and of QwenLM/ParScale `modeling_qwen2_parscale.py`; checked
    against both in the tests.
    """
    hidden, whole = spec.hidden_size, Share(spec)
    groups = whole.groups
    table = spec.vocab_size * hidden
    return Parameters(
        embedding=table + position_values(spec),
        lm_head=0 if spec.tie_word_embeddings else table,
        attention=sum(
            group.count * _values(attention_matrices(whole, group.attention)) for group in groups
        ),
        mlp=sum(group.count * _values(mlp_matrices(whole, group.mlp)) for group in groups),
        small=sum(group.count * small_values(whole, group) for group in groups) + norm_values(spec),
        prefix=spec.streams * prefix_values(whole) * whole.prefix,
        aggregator=aggregator_values(spec),
    )


def aggregator_values(spec: ModelSpec) -> Number:
    """Linear(P·h → h) and Linear(h → P) with biases; 0 at P = 1."""
    hidden, streams = spec.hidden_size, spec.streams
    values = hidden * (streams * hidden + streams + 1) + streams
    return as_count(streams > 1) * values


def active_parameters(spec: ModelSpec) -> Number:
    """The parameters that one token of one stream passes: all but the experts that it does not."""
    resting = sum(group.count * unreached_values(spec, group.mlp) for group in spec.groups)
    return parameters(spec).total - resting


def _values(matrices: tuple[Matrix, ...]) -> Number:
    return sum(matrix.values for matrix in matrices)
