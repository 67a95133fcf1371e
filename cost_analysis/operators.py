"""The operators of one forward pass: FLOPs and bytes, a line a term.

One function serves prefill and decode: a prefill is a pass of S queries a sequence over an empty
cache, a decode step a pass of one query over a full one. FLOPs are those of matrix products, two
for a multiply-add, as `torch.utils.flop_counter.FlopCounterMode` counts them: attention as the
full rectangle queries × context, norms and activations as 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cost_analysis.arrays import Number, as_float, ceil, maximum, minimum
from cost_analysis.ledger import QUERIES_PER_BLOCK, Operator, masked_pairs
from cost_analysis.spec import ModelSpec, Precision


def forward_pass(
    spec: ModelSpec,
    batch_size: Number,
    queries: Number,
    past: Number,
    precision: Precision | None = None,
    *,
    logits: str = "last",
    fills_prefix: bool = False,
    tensor_parallel: Number = 1,
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
        tensor_parallel: Devices that share each layer; the operators are those of one of them.
            Heads, MLP columns and vocabulary are divided; a KV head is never, so that below one
            a device it is copied. After attention and MLP the group sums its activations.

    Returns:
        Operators in the order of execution, those of a layer summed over the layers. What only
        parallel streams need is there at P = 1 too, as zeros, so that arrays of P broadcast.
    """
    step = _Pass(
        spec=spec,
        precision=precision or Precision(),
        batch=as_float(batch_size),
        queries=as_float(queries),
        past=as_float(past),
        logits=logits,
        fills_prefix=fills_prefix,
        devices=as_float(tensor_parallel),
    )
    layers = as_float(spec.num_hidden_layers)
    per_layer = [*_attention(step), *_mlp(step)]
    return (*_embedding(step), *(op.times(layers) for op in per_layer), *_head(step))


def context_growth(
    spec: ModelSpec,
    batch_size: Number,
    precision: Precision | None = None,
    *,
    tensor_parallel: Number = 1,
) -> Operator:
    """What one more position of context adds to the attention of a decode step.

    Attention is the only operator of a decode step that grows, and it grows linearly, so this
    and the first step give every later one.
    """
    near, far = (
        _scores_and_values(
            _Pass(
                spec=spec,
                precision=precision or Precision(),
                batch=as_float(batch_size),
                queries=as_float(1),
                past=past,
                devices=as_float(tensor_parallel),
            )
        )
        for past in (as_float(0), as_float(1))
    )
    layers = as_float(spec.num_hidden_layers)
    return far.combined(lambda at_far, at_near: at_far - at_near, near).times(layers)


@dataclass(frozen=True, slots=True)
class _Pass:
    """One forward pass, and the two kinds of operators that it is made of."""

    spec: ModelSpec
    precision: Precision
    batch: Number
    queries: Number
    past: Number
    logits: str = "last"
    fills_prefix: bool = False
    devices: Number = 1.0

    def size(self, name: str) -> Number:
        """A size of the model as float64."""
        return as_float(getattr(self.spec, name))

    @property
    def tokens(self) -> Number:
        """Tokens before they are copied to streams, B·queries."""
        return self.batch * self.queries

    @property
    def rows(self) -> Number:
        """Token-streams, P·B·queries: the rows of every matrix product of a layer."""
        return self.tokens * self.size("streams")

    def shared(self, size: Number) -> Number:
        """What one device of the group has of a size that is divided among them."""
        alone = isinstance(self.devices, float) and self.devices == 1.0
        return size if alone else size / self.devices

    @property
    def query(self) -> Number:
        """Width of the query heads on one device."""
        return self.shared(as_float(self.spec.query_size))

    @property
    def key_value_heads(self) -> Number:
        """KV heads on one device, which are at least one."""
        return maximum(self.shared(self.size("num_key_value_heads")), 1.0)

    @property
    def key_value(self) -> Number:
        """Width of the KV heads on one device."""
        return self.key_value_heads * self.size("head_dim")

    @property
    def parallel(self) -> Number:
        """1.0 where P > 1, else 0.0."""
        return as_float(self.spec.streams > 1)

    def linear(
        self,
        name: str,
        part: str,
        rows: Number,
        inputs: Number,
        outputs: Number,
        *,
        bias: Number = 0.0,
        quantised: bool = True,
    ) -> Operator:
        """A matrix product (rows, inputs) × (inputs, outputs), and the bias it may add.

        Args:
            name: Of the operator.
            part: Of the model.
            rows: Token-streams or tokens.
            inputs: Width that goes in.
            outputs: Width that comes out; matrices that read the same input are one product.
            bias: Values of the bias.
            quantised: Its weights are stored in the format of matrices, not the wider one.
        """
        precision = self.precision
        stored = precision.matrix if quantised else precision.unquantised
        moved = precision.activation if quantised else precision.accumulate
        flops = 2.0 * rows * inputs * outputs
        return Operator(
            name=name,
            part=part,
            flops=flops,
            weight_bytes=stored.matrix_bytes(inputs, outputs) + bias * precision.unquantised.bytes,
            activation_bytes=rows * (inputs + outputs) * moved.bytes,
            kernels=1.0,
            compute=precision.compute if quantised else precision.head_compute,
            kind="product",
            quantised=quantised and precision.matrix.bits < 16,
            rows=rows,
        )

    def elementwise(
        self, name: str, part: str, values: Number, *, weights: Number = 0.0
    ) -> Operator:
        """A kernel without matrix product: `values` activations moved, `weights` values read."""
        return Operator(
            name=name,
            part=part,
            weight_bytes=weights * self.precision.unquantised.bytes,
            activation_bytes=values * self.precision.accumulate.bytes,
            kernels=1.0,
        )

    def all_reduce(self, part: str) -> list[Operator]:
        """The sum over a tensor-parallel group of what its devices computed; alone there is none.

        It is counted where the group has an array of sizes, too, and then costs one device nothing.
        """
        if isinstance(self.devices, float) and self.devices == 1.0:
            return []
        values = self.rows * self.size("hidden_size") * self.precision.accumulate.bytes
        # Each device of a ring sends (n - 1) / n of the values twice, in n - 1 messages.
        others = self.devices - 1.0
        return [
            Operator(
                "all-reduce",
                part,
                link_bytes=2.0 * values * others / self.devices,
                messages=2.0 * others,
                kernels=minimum(others, 1.0),
                kind="all-reduce",
            )
        ]


def _embedding(step: _Pass) -> list[Operator]:
    """Look-up of the rows of the batch, and their copies for the other streams."""
    hidden = step.size("hidden_size")
    read = step.tokens * hidden
    operators = [step.elementwise("embedding", "embedding", step.rows * hidden, weights=read)]
    if step.fills_prefix:
        operators.append(_prefix_fill(step))
    return operators


def _prefix_fill(step: _Pass) -> Operator:
    """The learned prefixes, read once and written to the cache of every sequence."""
    values = (
        step.size("num_hidden_layers")
        * step.size("streams")
        * 2.0
        * as_float(step.spec.key_value_size)
        * as_float(step.spec.prefix)
    )
    return Operator(
        name="prefix to cache",
        part="attention",
        weight_bytes=values * step.precision.unquantised.bytes,
        cache_bytes=values * step.batch * step.precision.cache.bytes,
        kernels=step.size("num_hidden_layers") * step.parallel,
    )


def _attention(step: _Pass) -> list[Operator]:
    """One layer's attention. Keys and values are read for the KV heads only (GQA)."""
    hidden, rows = step.size("hidden_size"), step.rows
    query, key_value = step.query, step.key_value
    heads_out = query + 2.0 * key_value
    bias = heads_out * step.spec.qkv_bias
    head_norms = 2.0 * step.size("head_dim") * step.spec.qk_norm
    return [
        step.elementwise("input norm", "attention", 2.0 * rows * hidden, weights=hidden),
        step.linear("q, k, v projection", "attention", rows, hidden, heads_out, bias=bias),
        _rotary(step, query, key_value, head_norms),
        _scores_and_values(step),
        step.linear("output projection", "attention", rows, query, hidden),
        *step.all_reduce("attention"),
    ]


def _rotary(step: _Pass, query: Number, key_value: Number, head_norms: Number) -> Operator:
    """Rotary embedding (and head norms) of q and k; new keys and values go to the cache."""
    moved = step.rows * (2.0 * query + 2.0 * key_value)
    kernel = step.elementwise("rotary, cache write", "attention", moved, weights=head_norms)
    written = step.rows * 2.0 * key_value * step.precision.cache.bytes
    return replace(kernel, cache_bytes=written)


def _scores_and_values(step: _Pass) -> Operator:
    """Fused attention: q·kᵀ, softmax and ·v; scores never reach memory."""
    query, key_value = step.query, step.key_value
    streams = step.batch * step.size("streams")
    context = step.past + step.queries
    per_pair = 4.0 * streams * query
    flops = per_pair * (step.queries * context)
    positions, width = streams * context, step.precision.cache.bytes
    return Operator(
        name="attention",
        part="attention",
        flops=flops,
        skipped_flops=per_pair * masked_pairs(step.queries),
        cache_bytes=positions * 2.0 * key_value * width,
        activation_bytes=step.rows * 2.0 * query * step.precision.accumulate.bytes,
        expanded_bytes=positions * (2.0 * query * width),
        score_values=flops / (4.0 * step.size("head_dim")),
        blocks=streams * query / step.size("head_dim") * ceil(step.queries / QUERIES_PER_BLOCK),
        kernels=1.0,
        compute=step.precision.accumulate,
        kind="attention",
    )


def _mlp(step: _Pass) -> list[Operator]:
    """One layer's MLP."""
    hidden, rows = step.size("hidden_size"), step.rows
    inner = step.shared(step.size("intermediate_size"))
    gated = step.spec.gated_mlp
    widened = inner * (2.0 if gated else 1.0)
    up = "gate, up projection" if gated else "up projection"
    return [
        step.elementwise("residual, post norm", "mlp", 4.0 * rows * hidden, weights=hidden),
        step.linear(up, "mlp", rows, hidden, widened),
        step.elementwise("activation", "mlp", rows * (widened + inner)),
        step.linear("down projection", "mlp", rows, inner, hidden),
        *step.all_reduce("mlp"),
        step.elementwise("residual", "mlp", 3.0 * rows * hidden),
    ]


def _head(step: _Pass) -> list[Operator]:
    """Final norm, aggregation of the streams, LM head: once a pass."""
    hidden, vocab = step.size("hidden_size"), step.shared(step.size("vocab_size"))
    norm = step.elementwise("final norm", "lm head", 2.0 * step.rows * hidden, weights=hidden)
    rows = step.tokens if step.logits == "all" else step.batch
    head = step.linear("lm head", "lm head", rows, hidden, vocab, quantised=False)
    return [norm, *_aggregation(step), head]


def _aggregation(step: _Pass) -> list[Operator]:
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
