"""The operators of one forward pass: FLOPs and bytes, a line a term.

One function serves prefill and decode: a prefill is a pass of S queries a sequence over an empty
cache, a decode step a pass of one query over a full one. FLOPs are those of matrix products, two
for a multiply-add, as `torch.utils.flop_counter.FlopCounterMode` counts them: attention as the
full rectangle queries × context, norms and activations as 0.
"""

from __future__ import annotations

from dataclasses import replace

from cost_analysis.common.arrays import Number, as_float
from cost_analysis.cost.attention import (
    attention_name,
    attention_operators,
    growth_steps,
    scores_and_values,
)
from cost_analysis.cost.communication import (
    gather_logits,
    gather_streams,
    sum_embeddings,
    to_next_stage,
)
from cost_analysis.cost.mlp import mlp_operators
from cost_analysis.cost.operator import ForwardPass, Growth, Operator
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.layout import SINGLE, Layout
from cost_analysis.inputs.spec import Attention, ModelSpec
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
        Operators in the order of execution, those of a layer summed over the layers. What only
        parallel streams need is there at P = 1 too, as zeros, so that arrays of P broadcast.
    """
    step = ForwardPass(
        spec=spec,
        precision=precision or Precision(),
        batch=as_float(batch_size),
        queries=as_float(queries),
        past=as_float(past),
        logits=logits,
        fills_prefix=fills_prefix,
        layout=layout,
    )
    return (*_embedding(step), *_layers(step), *to_next_stage(step), *_head(step))


def _layers(step: ForwardPass) -> list[Operator]:
    """The operators of all layers; those of one name are summed over the kinds of layers."""
    order: list[_Key] = []
    summed: dict[_Key, Operator] = {}
    for group in step.spec.groups:
        kinds = (
            *attention_operators(step, group.attention),
            *mlp_operators(step, group.mlp),
        )
        place = 0
        for operator in kinds:
            key, term = (operator.name, operator.part), operator.times(as_float(group.count))
            if key in summed:
                place = order.index(key) + 1
                summed[key] = summed[key].plus(term)
            else:
                order.insert(place, key)
                place, summed[key] = place + 1, term
    return [summed[key] for key in order]


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
    """What each further step adds to a decode step, one entry a kind of attention.

    Attention is the only operator of a decode step that grows, and it grows linearly until its
    window is full, so these and the first step give every later one.

    Args:
        spec: The model.
        batch_size: Sequences, B.
        precision: Storage formats; bf16 throughout if None.
        past: Positions in the cache before the first step, prefix included; windows fill from it.
        queries: Token-streams of each sequence that share its cache.
        layout: As for `forward_pass`.
    """
    near, far = (
        ForwardPass(
            spec=spec,
            precision=precision or Precision(),
            batch=as_float(batch_size),
            queries=as_float(queries),
            past=as_float(position),
            layout=layout,
        )
        for position in (0, 1)
    )
    growths: dict[str, Growth] = {}
    for group in spec.groups:
        kind = group.attention
        unlimited = replace(kind, window=None) if isinstance(kind, Attention) else kind
        added = scores_and_values(far, unlimited).minus(scores_and_values(near, unlimited))
        added = replace(added, name=attention_name(kind)).times(as_float(group.count))
        before = growths.get(added.name)
        whole = added if before is None else before.operator.plus(added)
        growths[added.name] = Growth(whole, growth_steps(kind, as_float(past)))
    return tuple(growths.values())


def _embedding(step: ForwardPass) -> list[Operator]:
    """Look-up of the rows of the batch, and their copies for the other streams."""
    hidden = step.size("hidden_size")
    read = step.tokens * hidden * (2.0 if step.spec.frame.position_rows else 1.0)
    lookup = step.elementwise("embedding", "embedding", step.rows * hidden, weights=read)
    operators = [lookup, *sum_embeddings(step)]
    if step.fills_prefix:
        operators.append(_prefix_fill(step))
    return operators


def _prefix_fill(step: ForwardPass) -> Operator:
    """The learned prefixes, read once and written to the cache of every sequence."""
    values = step.streams * as_float(prefix_values(step.share)) * as_float(step.spec.prefix)
    return Operator(
        name="prefix to cache",
        part="attention",
        weight_bytes=values * step.precision.unquantised.bytes,
        cache_bytes=values * step.sequences * step.precision.cache.bytes,
        kernels=step.size("num_hidden_layers") * step.parallel,
    )


def _head(step: ForwardPass) -> list[Operator]:
    """Final norm, aggregation of the streams, LM head: once a pass."""
    hidden, vocab = step.size("hidden_size"), as_float(step.share.vocabulary)
    norm = step.norm("final norm", "lm head")
    rows = step.tokens if step.logits == "all" else step.sequences
    head = step.linear("lm head", "lm head", rows, hidden, vocab, quantised=False)
    return [
        norm,
        *gather_streams(step),
        *_aggregation(step),
        head,
        *gather_logits(step, rows * vocab),
    ]


def _aggregation(step: ForwardPass) -> list[Operator]:
    """Linear(P·h → h), SiLU, Linear(h → P), softmax, weighted sum, at every position.

    Source: QwenLM/ParScale `modeling_qwen2_parscale.py`, which aggregates before it selects the
    positions whose logits are kept.
    """
    hidden, streams, tokens = step.size("hidden_size"), step.size("streams"), step.tokens
    mix = step.linear(
        "aggregator: mix",
        "aggregator",
        tokens,
        streams * hidden,
        hidden,
        bias=hidden,
        quantised=False,
    )
    score = step.linear(
        "aggregator: score", "aggregator", tokens, hidden, streams, bias=streams, quantised=False
    )
    moved = tokens * (2.0 * hidden + 2.0 * streams + (streams + 1.0) * hidden)
    weigh = step.elementwise("aggregator: weigh", "aggregator", moved)
    return [op.times(step.parallel) for op in (mix, score, weigh)]
