"""One forward pass: its sizes on one device, and the kinds of operators that it is made of."""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.arrays import Number, as_float
from cost_analysis.layout import SINGLE, Layout, Share
from cost_analysis.ledger import Operator
from cost_analysis.spec import ModelSpec, Precision


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """One forward pass, and the two kinds of operators that it is made of.

    Attributes:
        spec: The model.
        precision: Storage formats.
        batch: Sequences of the pass on all devices, B.
        queries: New tokens of each sequence.
        past: Positions before the pass, prefix included.
        logits: "last" or "all" positions whose logits are computed.
        fills_prefix: The pass copies the learned prefixes into an empty cache first.
        layout: Of the model; everything is what one device has of it.
    """

    spec: ModelSpec
    precision: Precision
    batch: Number
    queries: Number
    past: Number
    logits: str = "last"
    fills_prefix: bool = False
    layout: Layout = SINGLE

    def size(self, name: str) -> Number:
        """A size of the model as float64."""
        return as_float(getattr(self.spec, name))

    @property
    def share(self) -> Share:
        """What one device has of the model."""
        return Share(self.spec, self.layout)

    @property
    def sequences(self) -> Number:
        """Sequences on one device."""
        return self.share.sequences(self.batch)

    @property
    def streams(self) -> Number:
        """Streams on one device."""
        return as_float(self.share.streams)

    @property
    def tokens(self) -> Number:
        """Tokens before they are copied to streams, B·queries."""
        return self.sequences * self.queries

    @property
    def rows(self) -> Number:
        """Token-streams, P·B·queries: the rows of every matrix product of a layer."""
        return self.tokens * self.streams

    @property
    def query(self) -> Number:
        """Width of the query heads on one device."""
        return as_float(self.share.query)

    @property
    def key_value(self) -> Number:
        """Width of the KV heads on one device."""
        return as_float(self.share.key_value)

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
            activation_bytes=rows * (inputs * moved.bytes + outputs * precision.accumulate.bytes),
            kernels=1.0,
            compute=precision.compute if quantised else precision.head_compute,
            kind="product",
            stored=stored,
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

    def norm(self, name: str, part: str, moved: float = 2.0) -> Operator:
        """A norm over the residual stream.

        Args:
            name: Of the operator.
            part: Of the model.
            moved: Values that are read and written for each of the stream's: more than two where a
                residual is added in the same kernel.
        """
        hidden = self.size("hidden_size")
        weights = hidden * 2.0 if self.spec.frame.norm_bias else hidden
        return self.elementwise(name, part, moved * self.rows * hidden, weights=weights)

    def post_norm(self, part: str) -> list[Operator]:
        """The norm after attention or MLP, where the model has one."""
        if not self.spec.frame.post_norms:
            return []
        return [self.norm(f"norm after {'MLP' if part == 'mlp' else part}", part)]

    @property
    def residual_bytes(self) -> Number:
        """The residual stream of all token-streams of one device [B]."""
        return self.rows * self.size("hidden_size") * self.precision.accumulate.bytes
