"""A model on one device, a pass over it, and the kernels of its layers in that pass."""

from __future__ import annotations

from cost_analysis.common.arrays import Number, as_float
from cost_analysis.cost.operator import Kernel, Operator, is_present
from cost_analysis.inputs.dtypes import DType, Precision
from cost_analysis.inputs.layout import SINGLE, Layout, Share
from cost_analysis.inputs.spec import ModelSpec


class DeviceModel:
    """The part of a model on one device of a layout: float64 sizes and formats, each computed once.

    The passes of a request share it, and with it the weights and row sizes of their kernels.

    Attributes:
        spec: The model.
        layout: How it is divided; all other sizes are those of one device.
        share: The sizes on that device, in the types of the model.
        formats: Of weights, activations and cache.
        batch: Sequences of a pass on all devices, B.
        sequences: Sequences on one device.
        streams: Streams on one device.
        stream_sequences: Sequences of all its streams, P·B.
        parallel: 1.0 where P > 1, else 0.0.
        hidden: Width of the residual stream, h.
        head_dim: Width of a head.
        query_heads: Query heads on one device.
        query: Width of the query heads on one device.
        key_value: Width of the KV heads on one device.
        cached_width: Keys and values that a layer caches for a position [B].
        narrow: Width of an activation [B].
        wide: Width of what is never computed below 16 bits [B].
    """

    def __init__(
        self, spec: ModelSpec, batch: Number, precision: Precision, layout: Layout = SINGLE
    ) -> None:
        """Compute the sizes.

        Args:
            spec: The model.
            batch: Sequences of a pass on all devices, B.
            precision: Storage formats.
            layout: How the model is divided.
        """
        self.spec, self.layout = spec, layout
        self.share = share = Share(spec, layout)
        self.formats = formats = precision.formats
        self.batch = as_float(batch)
        self.sequences = share.sequences(self.batch)
        self.streams = as_float(share.streams)
        self.stream_sequences = self.sequences * self.streams
        self.parallel = as_float(spec.streams > 1)
        self.hidden = as_float(spec.hidden_size)
        self.head_dim = as_float(spec.head_dim)
        self.query_heads = as_float(share.query_heads)
        self.query = self.query_heads * self.head_dim
        self.key_value = as_float(share.key_value)
        self.cached_width = 2.0 * self.key_value * formats.cache.bytes
        self.narrow, self.wide = formats.activation.bytes, formats.accumulate.bytes
        self._kernels: dict[int, dict[str, Kernel]] = {}

    def kernels(self, place: int) -> dict[str, Kernel]:
        """The known kernels of a kind of layers, by name; passes add to them."""
        return self._kernels.setdefault(place, {})


class ForwardPass:
    """One forward pass of a model on one device.

    Attributes:
        model: The model there.
        queries: New tokens of each sequence.
        past: Positions before the pass, prefix included.
        logits: "last" or "all" positions whose logits are computed.
        fills_prefix: The pass copies the learned prefixes into an empty cache first.
        tokens: Tokens before they are copied to streams, B·queries.
        rows: Token-streams, P·B·queries: the rows of every matrix product of a layer.
        positions: The terms that a position adds to the attention of each kind of layers, once they
            are known.
    """

    def __init__(
        self,
        model: DeviceModel,
        queries: Number,
        past: Number,
        logits: str = "last",
        *,
        fills_prefix: bool = False,
    ) -> None:
        """Compute the sizes of the pass; arguments as the attributes."""
        self.model, self.queries, self.past = model, as_float(queries), as_float(past)
        self.logits, self.fills_prefix = logits, fills_prefix
        self.tokens = model.sequences * self.queries
        self.rows = self.tokens * model.streams
        self.positions: dict[int, Operator] = {}

    @property
    def residual_bytes(self) -> Number:
        """The residual stream of all token-streams of one device [B]."""
        return self.rows * (self.model.hidden * self.model.wide)


OUTSIDE, AGGREGATION = -1, -2
"""Places of the kernels outside the layers."""


class Kernels:
    """Makes the kernels of one kind of layers in a pass, summed over those layers.

    Attributes:
        step: The pass.
        model: Its model.
        count: Layers of the kind; 1 outside the layers.
        place: Index of the kind in `spec.groups`, or `OUTSIDE` or `AGGREGATION`.
    """

    def __init__(self, step: ForwardPass, count: Number = 1.0, place: int = OUTSIDE) -> None:
        """The kernels of a number of layers; arguments as the attributes."""
        self.step, self.model, self.count, self.place = step, step.model, count, place
        self._known = step.model.kernels(place)

    def product(
        self,
        name: str,
        part: str,
        inputs: Number,
        outputs: Number,
        *,
        bias: Number = 0.0,
        quantised: bool = True,
    ) -> Kernel:
        """A matrix product (rows, inputs) × (inputs, outputs), with or without a bias.

        Args:
            name: Name of the operator, unique in a kind of layers.
            part: Part of the model.
            inputs: Width of the input.
            outputs: Width of the output; matrices with the same input are one product.
            bias: Values of the bias.
            quantised: Its weights are stored in the format of matrices, not the wider one.
        """
        known = self._known.get(name)
        if known is not None:
            return known
        formats, model = self.model.formats, self.model
        stored = formats.matrix if quantised else formats.unquantised
        moved = model.narrow if quantised else model.wide
        weights, count = stored.matrix_bytes(inputs, outputs), self.count
        if is_present(bias):
            weights = weights + bias * formats.unquantised.bytes
        kernel = self._known[name] = Kernel(
            name,
            part,
            weights * count,
            inputs * (moved * count) + outputs * (model.wide * count),
            count,
            inputs * outputs * (2.0 * count),
            formats.compute if quantised else formats.head_compute,
            stored,
            inputs,
            outputs,
            kernel_format(stored, formats.compute if quantised else formats.head_compute),
        )
        return kernel

    def elementwise(
        self,
        name: str,
        part: str,
        values: Number,
        *,
        weights: Number = 0.0,
        kernels: float = 1.0,
    ) -> Kernel:
        """An elementwise kernel, or several that pass over the same values.

        Args:
            name: Name of the operator, unique in a kind of layers.
            part: Part of the model.
            values: Activations read and written for each row.
            weights: Parameters that are read once.
            kernels: How many.
        """
        known = self._known.get(name)
        if known is not None:
            return known
        if is_present(weights):
            weights = weights * (self.model.formats.unquantised.bytes * self.count)
        moved = values * (self.model.wide * self.count)
        launched = self.count * kernels
        kernel = self._known[name] = Kernel(name, part, weights, moved, launched)
        return kernel

    def norm(self, name: str, part: str, moved: float = 2.0) -> Operator:
        """A norm over the residual stream.

        Args:
            name: Name of the operator.
            part: Part of the model.
            moved: Values read and written for each value of the stream: more than two where a
                residual is added in the same kernel.
        """
        hidden = self.model.hidden
        weights = hidden * 2.0 if self.model.spec.frame.norm_bias else hidden
        return self.elementwise(name, part, moved * hidden, weights=weights).over(self.step.rows)

    def post_norm(self, part: str) -> list[Operator]:
        """The norm after attention or MLP, where the model has one."""
        if not self.model.spec.frame.post_norms:
            return []
        return [self.norm(f"norm after {'MLP' if part == 'mlp' else part}", part)]


def kernel_format(stored: DType, compute: DType) -> str:
    """The name of a format among measured kernels (`kernels.shapes.FORMATS`); "" for others.

    Engines turn 16-bit activations into fp8 as they multiply them with fp8 weights, but keep them
    where weights are int8 or int4; int8 multiplied with int8 was not measured.

    Args:
        stored: Format of the weights.
        compute: Type of the products.
    """
    if stored.bits > 16 or compute.bits > 16:
        return ""
    if stored.bits == 16:
        return "bf16"
    if stored.unit == "fp8":
        return "fp8-block" if stored.scales and stored.scales.outputs > 1 else "fp8"
    if stored.unit == "fp4":
        return stored.name
    return stored.unit if compute.bits == 16 else ""
