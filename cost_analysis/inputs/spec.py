"""A model architecture, made of kinds of layers, and a workload.

The classes are frozen and validated when they are made. The numeric fields take a number or a
NumPy array; arrays broadcast against each other, so that one object can describe a million rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, cast

from cost_analysis.common.arrays import Number, as_count, as_float, holds, is_array
from cost_analysis.common.checks import (
    SIZE,
    SWITCH,
    check_divides,
    check_fields,
    size_from,
    whole_number,
)
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.layers import Attention, CountedLayers, Experts, Frame, LayerGroup, Mlp

QWEN2 = Frame()
"""RMSNorms before attention and MLP, rotary positions."""

DERIVED: Final = cast(float, None)
"""None, as the value of `head_dim`: hidden_size / num_attention_heads. The type checker takes it
for a number, because `head_dim` of every model that has been made is one."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A decoder-only transformer with P parallel streams.

    Defaults are the flags of the published script (QwenLM/ParScale `cost_analysis.py`) and, where
    it has none, the published models: tied embeddings, biases on q, k and v, a gated MLP, and
    Qwen2's layers. `layers` and `frame` describe where other architectures differ.

    Attributes:
        hidden_size: Width of the residual stream, h.
        intermediate_size: Width of the MLP.
        num_hidden_layers: Transformer layers.
        num_attention_heads: Query heads.
        num_key_value_heads: Key and value heads; divides the query heads.
        head_dim: Width of a head; None means hidden_size / num_attention_heads.
        vocab_size: Rows of the embedding table.
        max_position_embeddings: Longest sequence that the model was made for.
        streams: Parallel streams, P.
        prefix_tokens: Learned key/value positions per layer and stream; they exist when P > 1.
        gated_mlp: True for down(act(gate(x)) * up(x)), False for down(act(up(x))).
        qkv_bias: Biases on the q, k and v projections.
        qk_norm: RMSNorm weights of width head_dim on q and on k (Qwen3).
        tie_word_embeddings: The LM head is the embedding table.
        name: What reports call the model.
        layers: Kinds of layers and how many of each; none means Qwen2's throughout.
        frame: Norms, positions and other properties of the whole model.
    """

    hidden_size: Number = field(metadata=SIZE)
    intermediate_size: Number = field(metadata=SIZE)
    num_hidden_layers: Number = field(default=36, metadata=SIZE)
    num_attention_heads: Number = field(default=16, metadata=SIZE)
    num_key_value_heads: Number = field(default=2, metadata=SIZE)
    head_dim: Number = field(default=DERIVED, metadata=SIZE)
    vocab_size: Number = field(default=151936, metadata=SIZE)
    max_position_embeddings: Number = field(default=2048, metadata=SIZE)
    streams: Number = field(default=1, metadata=SIZE)
    prefix_tokens: Number = field(default=48, metadata=size_from(0))
    gated_mlp: bool = field(default=True, metadata=SWITCH)
    qkv_bias: bool = field(default=True, metadata=SWITCH)
    qk_norm: bool = field(default=False, metadata=SWITCH)
    tie_word_embeddings: bool = field(default=True, metadata=SWITCH)
    name: str = ""
    layers: tuple[LayerGroup, ...] = ()
    frame: Frame = QWEN2

    def __post_init__(self) -> None:
        """Check every field; fill in head_dim."""
        check_fields(self)
        heads = self.num_attention_heads
        if self.head_dim is DERIVED:
            object.__setattr__(self, "head_dim", default_head_dim(self.hidden_size, heads))
        check_divides(
            heads,
            self.num_key_value_heads,
            "num_attention_heads must be divisible by num_key_value_heads",
        )
        if self.layers:
            self._check_layers()

    def _check_layers(self) -> None:
        stated = [group.count for group in self.layers if group.count is not None]
        kinds, total, wanted = len(self.layers), sum(stated), self.num_hidden_layers
        if len(stated) == kinds:
            fits = holds(wanted == total)
        else:
            fits = len(stated) == kinds - 1 and holds(wanted > total)
        if not fits:
            raise InputError(
                f"num_hidden_layers is {wanted}, but its {kinds} kinds of layers make {total}"
            )

    @property
    def groups(self) -> tuple[CountedLayers, ...]:
        """The kinds of layers, each with its count."""
        if not self.layers:
            return _qwen2_layers(self.num_hidden_layers)
        stated = sum(group.count for group in self.layers if group.count is not None)
        rest = self.num_hidden_layers - stated
        return tuple(
            CountedLayers(group.attention, group.mlp, rest if group.count is None else group.count)
            for group in self.layers
        )

    @property
    def layers_in_words(self) -> str:
        """The kinds of layers and the number of each, as text."""
        return ", ".join(str(group) for group in self.groups)

    @property
    def is_plain(self) -> bool:
        """Whether all layers are Qwen2's, apart from the switches of this class."""
        return not self.layers and self.frame == QWEN2

    @property
    def has_experts(self) -> bool:
        """Whether a layer is a mixture of experts."""
        return any(isinstance(group.mlp, Experts) for group in self.layers)

    @property
    def scales_heads(self) -> bool:
        """Whether the width of a head follows from the hidden size and changes with it."""
        return holds(self.num_attention_heads * self.head_dim == self.hidden_size)

    @property
    def query_size(self) -> Number:
        """Width of all query heads together."""
        return self.num_attention_heads * self.head_dim

    @property
    def key_value_size(self) -> Number:
        """Width of all key heads together (and of all value heads)."""
        return self.num_key_value_heads * self.head_dim

    @property
    def prefix(self) -> Number:
        """Prefix positions that every query may attend to: `prefix_tokens` if P > 1, else 0."""
        return self.prefix_tokens * as_count(self.streams > 1)

    def with_streams(self, streams: Number) -> ModelSpec:
        """The same architecture with another number of streams."""
        return replace(self, streams=streams)

    def with_widths(self, hidden_size: Number, intermediate_size: Number) -> ModelSpec:
        """The same architecture at other widths, without a name and with one stream.

        The width of a head changes with the hidden size where it follows from it.
        """
        return replace(
            self,
            hidden_size=hidden_size,
            intermediate_size=intermediate_size,
            head_dim=DERIVED if self.scales_heads else self.head_dim,
            streams=1,
            name="",
        )


def default_head_dim(hidden_size: Number, heads: Number) -> Number:
    """Width of a head where none is stated: hidden_size / num_attention_heads.

    Raises:
        InputError: The heads do not divide the hidden size.
    """
    check_divides(
        hidden_size,
        heads,
        "hidden_size must be divisible by num_attention_heads, or head_dim be given",
    )
    return hidden_size // heads


def _qwen2_layers(count: Number) -> tuple[CountedLayers, ...]:
    """Qwen2's layers throughout."""
    if is_array(count):
        return (CountedLayers(Attention(), Mlp(), count),)
    return _known_qwen2_layers(count)


@lru_cache(maxsize=1024)
def _known_qwen2_layers(count: float) -> tuple[CountedLayers, ...]:
    """Qwen2's layers throughout; an estimate reads them many times."""
    return (CountedLayers(Attention(), Mlp(), count),)


def family_intermediate_size(hidden_size: int) -> int:
    """The MLP width of the ParScale family at a hidden size.

    27/5 of the hidden size, rounded to a multiple of 128: the rule gives the published width of
    all six sizes (`parametric_fit.py`, QwenLM/ParScale).
    """
    return max(128, round(hidden_size * 27 / 5 / 128) * 128)


@dataclass(frozen=True, slots=True)
class Workload:
    """The shape of a request: a batch of prompts of equal length, and how much each generates.

    The first output token comes from the prefill, so `output_length` tokens take
    `output_length - 1` decode steps. Fields become float64 when the workload is made.

    Attributes:
        batch_size: Sequences, B.
        input_length: Prompt tokens of each.
        output_length: Generated tokens of each.
        logits: "last": the prefill keeps the logits of the last position only, as generation
            does; "all": of every prompt position.
    """

    batch_size: Number = 1
    input_length: Number = 64
    output_length: Number = 64
    logits: str = "last"

    def __post_init__(self) -> None:
        """Check every field and make the numbers float64."""
        for name in ("batch_size", "input_length", "output_length"):
            object.__setattr__(self, name, as_float(whole_number(name, getattr(self, name), 1)))
        if self.logits not in ("last", "all"):
            raise InputError(f"logits is {self.logits!r}; it must be 'last' or 'all'")

    @property
    def decode_steps(self) -> Number:
        """Forward passes after the prefill."""
        return self.output_length - 1

    @property
    def cached_tokens(self) -> Number:
        """Real tokens in the KV cache at the end: the last generated token never enters it."""
        return self.input_length + self.output_length - 1


BF16 = Precision()
"""The default formats."""
