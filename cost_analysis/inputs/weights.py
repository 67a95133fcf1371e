"""The weights of each kind of layer, and exact parameter counts as sums over them.

Stored bytes and prefixes are sums over the same matrices, of the whole model or of the part on one
device.

Source: the modules of transformers' models of the same names; the tests compare the sums with those
of its models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cost_analysis.common.arrays import Number, as_count, as_float, is_array, minimum
from cost_analysis.inputs.layers import Attention, CountedLayers, Experts, LatentAttention, Mlp
from cost_analysis.inputs.layout import Share
from cost_analysis.inputs.spec import ModelSpec


class Matrix(NamedTuple):
    """Matrices of one shape; matrices with the same input count as one.

    Attributes:
        inputs: Width of the input.
        outputs: Width of the output.
        copies: Matrices of this shape in a layer.
    """

    inputs: Number
    outputs: Number
    copies: Number = 1

    @property
    def values(self) -> Number:
        """Weights of all copies."""
        return self.inputs * self.outputs * self.copies


def attention_matrices(share: Share, kind: Attention | LatentAttention) -> tuple[Matrix, ...]:
    """The matrices of one layer's attention; latents are not divided among devices."""
    if isinstance(kind, LatentAttention):
        return _latent_matrices(share, kind)
    hidden, query, key_value = share.spec.hidden_size, share.query, share.key_value
    return (Matrix(hidden, query + 2 * key_value), Matrix(query, hidden))


def _latent_matrices(share: Share, kind: LatentAttention) -> tuple[Matrix, ...]:
    hidden, heads = share.spec.hidden_size, share.query_heads
    queries = (
        (Matrix(hidden, heads * kind.key_dim),)
        if kind.q_rank is None
        else (Matrix(hidden, kind.q_rank), Matrix(kind.q_rank, heads * kind.key_dim))
    )
    return (
        *queries,
        Matrix(hidden, kind.latent),
        Matrix(kind.kv_rank, heads * (kind.plain_dim + kind.value_dim)),
        Matrix(heads * kind.value_dim, hidden),
    )


def mlp_matrices(share: Share, kind: Mlp | Experts) -> tuple[Matrix, ...]:
    """The matrices of one layer's MLP that are stored in the format of weights."""
    spec = share.spec
    if isinstance(kind, Mlp):
        return _up_and_down(spec, share.width(spec.intermediate_size))
    inner, number = share.expert_width(expert_width(spec, kind)), share.experts(kind.number)
    routed = _up_and_down(spec, inner, number)
    return (*routed, *_up_and_down(spec, share.width(kind.shared_width)))


def expert_width(spec: ModelSpec, kind: Experts) -> Number:
    """Intermediate size of a routed expert."""
    return spec.intermediate_size if kind.width is None else kind.width


def _up_and_down(spec: ModelSpec, inner: Number, copies: Number = 1) -> tuple[Matrix, ...]:
    """The matrices of MLPs of this width: up, with the gate where there is one, and down."""
    return (
        Matrix(spec.hidden_size, (2 if spec.gated_mlp else 1) * inner, copies),
        Matrix(inner, spec.hidden_size, copies),
    )


def inactive_values(spec: ModelSpec, kind: Mlp | Experts) -> Number:
    """Weights of the experts of one layer that a token does not use."""
    if isinstance(kind, Mlp):
        return 0
    inactive = kind.number - kind.per_token
    one = sum(matrix.values for matrix in _up_and_down(spec, expert_width(spec, kind)))
    return inactive * (one + _up_and_down_biases(spec, expert_width(spec, kind)) * kind.bias)


def norm_values(spec: ModelSpec) -> Number:
    """Weights of one norm over the residual stream."""
    return spec.hidden_size * 2 if spec.frame.norm_bias else spec.hidden_size


def position_values(spec: ModelSpec) -> Number:
    """Weights of the table of learned positions, where the model has one."""
    rows = spec.frame.position_rows
    return rows * spec.hidden_size if is_array(rows) or rows else 0


def small_values(share: Share, group: CountedLayers) -> Number:
    """Norm weights, biases and other vectors of one layer.

    Those of divided columns are divided among devices; the others are copied.
    """
    spec = share.spec
    norms = (4 if spec.frame.post_norms else 2) * norm_values(spec)
    return norms + attention_vectors(share, group.attention) + mlp_vectors(share, group.mlp)


def attention_vectors(share: Share, kind: Attention | LatentAttention) -> Number:
    """Biases, norms inside the attention, and sinks of one layer."""
    spec = share.spec
    if isinstance(kind, LatentAttention):
        rank = 0 if kind.q_rank is None else kind.q_rank
        biases = rank + kind.latent + spec.hidden_size if kind.bias else 0
        return rank + kind.kv_rank + biases
    vectors: Number = 0
    if spec.qkv_bias:
        vectors = vectors + share.query + 2 * share.key_value
    if kind.output_bias:
        vectors = vectors + spec.hidden_size
    if spec.qk_norm:
        vectors = vectors + 2 * spec.head_dim
    return vectors + share.query_heads if kind.sinks else vectors


def mlp_vectors(share: Share, kind: Mlp | Experts) -> Number:
    """Biases of one layer's MLP, and its router, which is not quantised."""
    spec = share.spec
    if isinstance(kind, Mlp):
        inner = share.width(spec.intermediate_size)
        return _up_and_down_biases(spec, inner) if kind.bias else 0
    router = kind.number * (spec.hidden_size + kind.router_bias)
    one = _up_and_down_biases(spec, share.width(expert_width(spec, kind)))
    return router + one * share.experts(kind.number) * kind.bias


def _up_and_down_biases(spec: ModelSpec, inner: Number) -> Number:
    return (2 if spec.gated_mlp else 1) * inner + spec.hidden_size


def cached_values(share: Share, kind: Attention | LatentAttention) -> Number:
    """Values that one layer caches for a position: keys and values of the KV heads, or a latent."""
    return kind.latent if isinstance(kind, LatentAttention) else 2 * share.key_value


def prefix_values(share: Share) -> Number:
    """Learned values of all layers for one prefix position of one stream.

    A prefix has the form of cached keys and values, so it needs no projection.
    """
    return sum(group.count * cached_values(share, group.attention) for group in share.groups)


def cached_positions(kind: Attention | LatentAttention, positions: Number) -> Number:
    """How many positions an attention keeps in its cache.

    With a window these are the `window - 1` that the next query may see, as in transformers'
    `DynamicSlidingWindowLayer`; prefix positions are the first to leave it.

    Args:
        kind: The attention.
        positions: Positions so far, prefix included.
    """
    return positions if kind.window is None else minimum(positions, as_float(kind.window - 1))


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of each part; Python ints for a single model.

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
        """N of the scaling law: all parameters but the embedding table and LM head.

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
    """The parameters that one token of one stream uses: all but those of inactive experts."""
    inactive = sum(group.count * inactive_values(spec, group.mlp) for group in spec.groups)
    return parameters(spec).total - inactive


def _values(matrices: tuple[Matrix, ...]) -> Number:
    return sum(matrix.values for matrix in matrices)
