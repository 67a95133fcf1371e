"""Kinds of layers: attention and MLP variants beyond the sizes of a model.

A layer is an attention and an MLP. Their sizes are the model's unless they state their own, so
that a change of the model's sizes reaches every layer. A model is groups of layers of one kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cost_analysis.common.arrays import Number, holds
from cost_analysis.common.checks import (
    SIZE,
    SWITCH,
    check_fields,
    size_from,
    whole_number,
)
from cost_analysis.common.errors import InputError


@dataclass(frozen=True, slots=True)
class Attention:
    """Attention of grouped queries; heads and their width are the model's.

    Attributes:
        window: A query sees itself and the `window - 1` positions before it, and no more are
            cached; None means all positions.
        output_bias: A bias on the output projection.
        sinks: One learned score a head that takes a share of the softmax (gpt-oss).
        wide: Its matrices stay 16-bit where those of the MLP are stored in fewer (gpt-oss).
    """

    window: Number | None = field(default=None, metadata=size_from(2))
    output_bias: bool = field(default=False, metadata=SWITCH)
    sinks: bool = field(default=False, metadata=SWITCH)
    wide: bool = field(default=False, metadata=SWITCH)

    def __post_init__(self) -> None:
        """Check every field."""
        check_fields(self)

    def __str__(self) -> str:
        """A short description."""
        kind = "16-bit attention" if self.wide else "attention"
        return kind if self.window is None else f"{kind} to the last {self.window}"


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention: keys and values are projections of one cached latent (MLA).

    The heads are the model's. What is cached is the latent and the rotary key that all heads share,
    as transformers 5.24 and every serving engine do.

    Source: DeepSeek-V2, arXiv 2405.04434, section 2.1.

    Attributes:
        kv_rank: Width of the latent of keys and values.
        rope_dim: Width of the rotated part of a head's query and key.
        plain_dim: Width of the other part.
        value_dim: Width of a head's value.
        q_rank: Width of the latent of queries; None means that queries are projected at once.
        bias: Biases on the projections into latents and on the output projection.
        absorbed: A decode step attends to the latents themselves, its queries projected onto them,
            as serving engines do (the paper's section 2.1.2); otherwise it first expands the whole
            context to keys and values, as transformers does. A prefill always expands.
        wide: Its matrices stay 16-bit where those of the MLP are stored in fewer (DeepSeek in
            nvfp4, Kimi in int4).
    """

    kv_rank: Number = field(metadata=SIZE)
    rope_dim: Number = field(metadata=SIZE)
    plain_dim: Number = field(metadata=SIZE)
    value_dim: Number = field(metadata=SIZE)
    q_rank: Number | None = field(default=None, metadata=SIZE)
    bias: bool = field(default=False, metadata=SWITCH)
    absorbed: bool = field(default=True, metadata=SWITCH)
    wide: bool = field(default=False, metadata=SWITCH)

    def __post_init__(self) -> None:
        """Check every field."""
        check_fields(self)

    @property
    def window(self) -> None:
        """None: it attends to all positions."""
        return None

    @property
    def key_dim(self) -> Number:
        """Width of a head's query and key."""
        return self.rope_dim + self.plain_dim

    @property
    def latent(self) -> Number:
        """Values that are cached for a position."""
        return self.kv_rank + self.rope_dim

    def __str__(self) -> str:
        """A short description."""
        return f"{'16-bit ' if self.wide else ''}latent attention of rank {self.kv_rank}"


@dataclass(frozen=True, slots=True)
class Mlp:
    """A dense MLP; its width, and whether it has a gate, are the model's.

    Attributes:
        bias: Biases on its projections.
    """

    bias: bool = field(default=False, metadata=SWITCH)

    def __post_init__(self) -> None:
        """Check every field."""
        check_fields(self)

    def __str__(self) -> str:
        """A short description."""
        return "MLP"


@dataclass(frozen=True, slots=True)
class Experts:
    """An MLP of experts, of which a router sends each token-stream to a few.

    Attributes:
        number: Routed experts, E.
        per_token: Experts of each token-stream, k.
        width: Intermediate size of an expert; None means the model's.
        shared_width: Intermediate size of all shared experts together, which every token-stream
            uses; 0 means that there are none.
        bias: Biases on the projections of the experts.
        router_bias: A bias on the router.
    """

    number: Number = field(metadata=size_from(0))
    per_token: Number = field(metadata=size_from(0))
    width: Number | None = field(default=None, metadata=size_from(0))
    shared_width: Number = field(default=0, metadata=size_from(0))
    bias: bool = field(default=False, metadata=SWITCH)
    router_bias: bool = field(default=False, metadata=SWITCH)

    def __post_init__(self) -> None:
        """Check every field."""
        check_fields(self)
        if not holds((self.per_token >= 1) & (self.per_token <= self.number)):
            raise InputError(
                f"{self.per_token} experts for each token; there must be one to {self.number}"
            )

    def __str__(self) -> str:
        """A short description."""
        shared = ", one shared" if self.shared_width else ""
        return f"{self.per_token} of {self.number} experts{shared}"


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers of one kind, as a model states them.

    Attributes:
        attention: Their attention.
        mlp: Their MLP.
        count: How many there are; None means all layers that other groups do not have.
    """

    attention: Attention | LatentAttention = Attention()
    mlp: Mlp | Experts = Mlp()
    count: Number | None = None

    def __post_init__(self) -> None:
        """Check the count."""
        if self.count is not None:
            object.__setattr__(self, "count", whole_number("layers of a kind", self.count, 1))


@dataclass(frozen=True, slots=True)
class CountedLayers:
    """Layers of one kind, and how many of them a model has.

    Attributes:
        attention: Their attention.
        mlp: Their MLP.
        count: How many there are.
    """

    attention: Attention | LatentAttention
    mlp: Mlp | Experts
    count: Number

    def __str__(self) -> str:
        """A short description."""
        return f"{self.count} x {self.attention} + {self.mlp}"


@dataclass(frozen=True, slots=True)
class Frame:
    """Properties of the whole model that differ from Qwen2's.

    Attributes:
        norm_bias: Norms are LayerNorms with a bias, not RMSNorms.
        post_norms: Attention and MLP are followed by a norm each, besides the one before (Gemma).
        position_rows: Rows of a table of learned positions; 0 means rotary positions.
    """

    norm_bias: bool = field(default=False, metadata=SWITCH)
    post_norms: bool = field(default=False, metadata=SWITCH)
    position_rows: Number = field(default=0, metadata=size_from(0))

    def __post_init__(self) -> None:
        """Check every field."""
        check_fields(self)
