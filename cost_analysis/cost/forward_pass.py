"""The operators of one forward pass: FLOPs and bytes, one operator a term.

The same function covers prefill and decode: a prefill is a pass of S queries a sequence over an
empty cache, a decode step a pass of one query over a full one. FLOPs are those of matrix products,
two for a multiply-add, as `torch.utils.flop_counter.FlopCounterMode` counts them: attention as the
full rectangle queries × context, norms and activations as 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from cost_analysis.common.arrays import Number, as_float
from cost_analysis.cost.attention import attention_operators, growth_steps, position
from cost_analysis.cost.communication import (
    gather_logits,
    gather_streams,
    sum_embeddings,
    to_next_stage,
)
from cost_analysis.cost.kernels import AGGREGATION, DeviceModel, ForwardPass, Kernels
from cost_analysis.cost.mlp import mlp_operators
from cost_analysis.cost.operator import Growth, Operator
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.layers import CountedLayers
from cost_analysis.inputs.layout import SINGLE, Layout
from cost_analysis.inputs.spec import BF16, ModelSpec
from cost_analysis.inputs.weights import prefix_values


def forward_pass(
    spec: ModelSpec,
    batch_size: Number,
    queries: Number,
    past: Number,
    precision: Precision | None = None,
    *,
    logits: str = "last",
    fills_prefix: bool = False,
    layout: Layout = SINGLE,
) -> tuple[Operator, ...]:
    """The operators of one forward pass.

    Args:
        spec: The model.
        batch_size: Sequences, B.
        queries: New tokens of each sequence: the prompt for a prefill, 1 for a decode step.
        past: Positions in the cache before the pass, prefix included.
        precision: Storage formats; bf16 throughout if None.
        logits: "last" or "all" positions whose logits are computed.
        fills_prefix: The pass copies the learned prefixes into an empty cache first.
        layout: How the model is divided among devices; the operators are those of one device of
            each pipeline stage, one stage after another.

    Returns:
        Operators in the order of execution, those of a layer summed over the layers. Operators
        that only parallel streams need are zeros at P = 1, so that arrays of P broadcast.
    """
    model = DeviceModel(spec, batch_size, precision or BF16, layout)
    return pass_operators(ForwardPass(model, queries, past, logits, fills_prefix=fills_prefix))


def pass_operators(step: ForwardPass) -> tuple[Operator, ...]:
    """The operators of a pass, as `forward_pass` returns them."""
    around = Kernels(step)
    return (*_embedding(around), *_layers(step), *to_next_stage(around), *_head(around))


def _layers(step: ForwardPass) -> list[Operator]:
    """The operators of all layers; those of one name are summed over the kinds of layers."""
    first, *others = (
        [*attention_operators(layers, group.attention), *mlp_operators(layers, group.mlp)]
        for group, layers in _kinds(step)
    )
    if not others:
        return first
    order: list[_Key] = []
    summed: dict[_Key, Operator] = {}
    for kinds in (first, *others):
        place = 0
        for operator in kinds:
            key = (operator.name, operator.part)
            if key in summed:
                place = order.index(key) + 1
                summed[key] = summed[key].plus(operator)
            else:
                order.insert(place, key)
                place, summed[key] = place + 1, operator
    return [summed[key] for key in order]


def _kinds(step: ForwardPass) -> Iterator[tuple[CountedLayers, Kernels]]:
    """The kinds of layers, each with its kernels."""
    for place, group in enumerate(step.model.share.groups):
        yield group, Kernels(step, as_float(group.count), place)


_Key = tuple[str, str]
"""Name and part of an operator; an all-reduce occurs in two parts."""


def context_growth(
    spec: ModelSpec,
    batch_size: Number,
    precision: Precision | None = None,
    *,
    past: Number = 0,
    queries: Number = 1,
    layout: Layout = SINGLE,
) -> tuple[Growth, ...]:
    """The terms that each further step adds to a decode step, one entry a kind of attention.

    Attention is the only operator of a decode step that grows, and it grows linearly until its
    window is full, so the growth and the first step determine every later step.

    Args:
        spec: The model.
        batch_size: Sequences, B.
        precision: Storage formats; bf16 throughout if None.
        past: Positions in the cache before the first step, prefix included; windows fill from it.
        queries: Token-streams of each sequence that share its cache.
        layout: As for `forward_pass`.
    """
    model = DeviceModel(spec, batch_size, precision or BF16, layout)
    return pass_growth(ForwardPass(model, queries, past))


def pass_growth(step: ForwardPass) -> tuple[Growth, ...]:
    """The terms that each further step adds to a decode step, as `context_growth` returns them."""
    growths: dict[str, Growth] = {}
    for group, layers in _kinds(step):
        added, steps = position(layers, group.attention), growth_steps(group.attention, step.past)
        before = growths.get(added.name)
        whole = added if before is None else before.operator.plus(added)
        growths[added.name] = Growth(whole, steps)
    return tuple(growths.values())


def _embedding(layers: Kernels) -> list[Operator]:
    """Look-up of the rows of the batch, and their copies for the other streams."""
    step, model = layers.step, layers.model
    read = step.tokens * model.hidden * (2.0 if model.spec.frame.position_rows else 1.0)
    lookup = Operator(
        "embedding",
        "embedding",
        weight_bytes=read * model.formats.unquantised.bytes,
        activation_bytes=step.residual_bytes,
        kernels=1.0,
    )
    filled = [_prefix_fill(step)] if step.fills_prefix else []
    return [lookup, *sum_embeddings(layers), *filled]


def _prefix_fill(step: ForwardPass) -> Operator:
    """The learned prefixes, read once and written to the cache of every sequence."""
    model = step.model
    values = model.streams * as_float(prefix_values(model.share)) * as_float(model.share.prefix)
    return Operator(
        name="prefix to cache",
        part="attention",
        weight_bytes=values * model.formats.unquantised.bytes,
        cache_bytes=values * model.sequences * model.formats.cache.bytes,
        kernels=as_float(model.spec.num_hidden_layers) * model.parallel,
    )


def _head(layers: Kernels) -> list[Operator]:
    """Final norm, aggregation of the streams, LM head: once a pass."""
    step, model = layers.step, layers.model
    vocabulary = as_float(model.share.vocabulary)
    rows = step.tokens if step.logits == "all" else model.sequences
    head = layers.product("lm head", "lm head", model.hidden, vocabulary, quantised=False)
    return [
        layers.norm("final norm", "lm head"),
        *gather_streams(layers),
        *_aggregation(step),
        head.over(rows),
        *gather_logits(layers, rows * vocabulary),
    ]


def _aggregation(step: ForwardPass) -> list[Operator]:
    """Linear(P·h → h), SiLU, Linear(h → P), softmax, weighted sum, at every position.

    Source: QwenLM/ParScale `modeling_qwen2_parscale.py`, which aggregates before it selects the
    positions whose logits are kept.
    """
    model, tokens = step.model, step.tokens
    hidden, streams = model.hidden, as_float(model.spec.streams)
    layers, part = Kernels(step, model.parallel, AGGREGATION), "aggregator"
    all_streams = streams * hidden
    mix = layers.product("aggregator: mix", part, all_streams, hidden, bias=hidden, quantised=False)
    score = layers.product(
        "aggregator: score", part, hidden, streams, bias=streams, quantised=False
    )
    moved = 2.0 * hidden + 2.0 * streams + (streams + 1.0) * hidden
    weigh = layers.elementwise("aggregator: weigh", part, moved)
    return [mix.over(tokens), score.over(tokens), weigh.over(tokens)]
