"""One forward pass: its sizes on one device, and the kinds of operators that it is made of."""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.arrays import Number, as_float, maximum, minimum
from cost_analysis.ledger import Operator
from cost_analysis.spec import ModelSpec, Precision


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """One forward pass, and the two kinds of operators that it is made of.

    Attributes:
        spec: The model.
        precision: Storage formats.
        batch: Sequences, B.
        queries: New tokens of each sequence.
        past: Positions before the pass, prefix included.
        logits: "last" or "all" positions whose logits are computed.
        fills_prefix: The pass copies the learned prefixes into an empty cache first.
        devices: Devices that share each layer.
    """

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
