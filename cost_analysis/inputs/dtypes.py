"""Number formats: the width of a value, its scales, and the type that it is computed in.

Formats with scales are named after their values, `int4`, `int8` or `fp8`, and the values that share
a scale:
`int4-g32` a group of 32 inputs, `fp8-b128` a block of 128 × 128; `-zp` adds zero points. `mxfp4`
and `nvfp4` are fixed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from cost_analysis.common.arrays import Number, ceil, where
from cost_analysis.common.errors import InputError, shown, unknown_name


@dataclass(frozen=True, slots=True)
class Scales:
    """The scales that a format stores beside its values.

    Attributes:
        inputs: Inputs of an output channel that share a scale; 0 means all of them.
        outputs: Output channels that share it.
        bits: Width of a scale [bit].
        zero_bits: Width of the zero point beside each scale [bit]; 0 where zero stays zero.
        tensor: Further bytes of each matrix, whatever its size [B].
    """

    inputs: int = 0
    outputs: int = 1
    bits: int = 16
    zero_bits: int = 0
    tensor: float = 0.0

    @property
    def bytes(self) -> float:
        """Width of a scale and its zero point [B]."""
        return (self.bits + self.zero_bits) / 8

    def matrix_bytes(self, inputs: Number, outputs: Number) -> Number:
        """Bytes of the scales of an (outputs, inputs) matrix; arguments as for `DType`."""
        groups = ceil(inputs / self.inputs) if self.inputs else 1.0
        channels = ceil(outputs / self.outputs) if self.outputs > 1 else outputs
        scales = groups * channels * self.bytes
        return scales + where(outputs > 0, self.tensor, 0.0) if self.tensor else scales


@dataclass(frozen=True, slots=True)
class DType:
    """A number format as it is stored.

    Attributes:
        name: The name on the command line.
        bits: Width of one stored value [bit].
        unit: The kind of values, one of `WIDER`; a device may have compute units for it.
        scales: The scales stored beside the values; None where there are none.
    """

    name: str
    bits: int
    unit: str
    scales: Scales | None = None

    @property
    def bytes(self) -> float:
        """Width of one value of an activation or of the cache [B].

        It includes the value's share of the scale of its group. A scale for a whole token, head or
        tensor is not counted: 4 bytes for 128 values or more. A block counts as one row high.
        """
        width = self.bits / 8
        shared = self.scales.inputs if self.scales else 0
        return width + self.scales.bytes / shared if self.scales and shared else width

    def matrix_bytes(self, inputs: Number, outputs: Number) -> Number:
        """Bytes of a stored (outputs, inputs) matrix, its scales included.

        Args:
            inputs: Columns, a float or a float64 array.
            outputs: Rows, likewise.
        """
        values = inputs * outputs * (self.bits / 8)
        return values if self.scales is None else values + self.scales.matrix_bytes(inputs, outputs)


DTYPES = {
    dtype.name: dtype
    for dtype in (
        DType("fp32", 32, "fp32"),
        DType("bf16", 16, "bf16"),
        DType("fp16", 16, "fp16"),
        DType("fp8", 8, "fp8", Scales()),
        DType("int8", 8, "int8", Scales()),
        DType("int4", 4, "int4", Scales(inputs=128)),
        DType("mxfp4", 4, "fp4", Scales(inputs=32, bits=8)),
        DType("nvfp4", 4, "fp4", Scales(inputs=16, bits=8, tensor=4.0)),
    )
}
"""The named formats. Scales are 16-bit, as GPTQ, AWQ and compressed-tensors store them: one an
output channel for 8-bit values, one a group of 128 inputs for int4. mxfp4 has an exponent of 8 bits
for 32 values (OCP Microscaling Formats 1.0), nvfp4 an fp8 scale for 16 values and a float32 one for
the tensor (NVIDIA, "Introducing NVFP4", 2025)."""

WIDER = {
    "fp32": (),
    "bf16": ("fp32",),
    "fp16": ("fp32",),
    "fp8": ("bf16", "fp16", "fp32"),
    "int8": ("bf16", "fp16", "fp32"),
    "int4": ("int8", "bf16", "fp16", "fp32"),
    "fp4": ("fp8", "bf16", "fp16", "fp32"),
}
"""Wider kinds that can hold every value of a kind, nearest first: a device without units for a kind
computes in one of these. float16 is not wider than bf16: its range is smaller."""

EXAMPLES = ("int4-g32", "int4-g128-zp", "int8-g128", "fp8-b128")
"""Examples of formats with chosen scales, for messages and the help."""

LARGEST_GROUP = 65_536
"""Largest number of values that may share a scale: more than the inputs of published matrices."""

BLOCK_SCALE_BITS = 32
"""Scales of blocks are float32, as DeepSeek-V3 stores them (`weight_scale_inv`,
deepseek-ai/DeepSeek-V3, README_WEIGHTS.md) [bit]."""

_SCALED = re.compile(
    r"(?P<values>int4|int8|fp8)(?:-(?P<shape>[gb])(?P<size>[0-9]{1,9}))?(?P<zero>-zp)?"
)


def dtype_named(name: str) -> DType:
    """The data type of that name.

    Raises:
        InputError: No data type has that name.
    """
    try:
        return DTYPES[name]
    except (KeyError, TypeError):
        return _scaled(name if isinstance(name, str) else str(name))


@lru_cache(maxsize=1024)
def _scaled(name: str) -> DType:
    """A format by a name that states the values that share a scale.

    Raises:
        InputError: No format has that name, or its scales are not possible.
    """
    found = _SCALED.fullmatch(name)
    if not found:
        raise unknown_name("data type", name, (*DTYPES, *EXAMPLES))
    plain, shape, zero = DTYPES[found["values"]], found["shape"], found["zero"]
    if shape == "b" and plain.bits != 8:
        raise InputError(f"data type {shown(name)}: only fp8 and int8 have scales for blocks")
    if zero and (plain.unit == "fp8" or shape == "b"):
        raise InputError(
            f"data type {shown(name)}: only int4 and int8 have zero points, and not in blocks"
        )
    scales = plain.scales or Scales()
    if shape:
        size = _shared(name, int(found["size"]))
        is_block = shape == "b"
        scales = Scales(size, size, BLOCK_SCALE_BITS) if is_block else replace(scales, inputs=size)
    scales = replace(scales, zero_bits=plain.bits if zero else 0)
    return replace(plain, name=name, scales=scales)


def _shared(name: str, size: int) -> int:
    """The number of values that share a scale, checked."""
    if not 2 <= size <= LARGEST_GROUP:
        raise InputError(
            f"data type {shown(name)} has {size} values a scale; it must be from 2 to "
            f"{LARGEST_GROUP}"
        )
    return size


@dataclass(frozen=True, slots=True)
class Precision:
    """How each part is stored.

    A weight format of 8 bits or fewer holds the matrices of attention and MLP, with the scales
    that such formats carry. Embeddings, LM head, norms, biases, prefixes and aggregator then stay
    16-bit, as GPTQ, AWQ and bitsandbytes checkpoints keep them.

    Attributes:
        weights: Weight format.
        activations: Format of activations.
        kv_cache: Format of cached keys and values.
    """

    weights: str = "bf16"
    activations: str = "bf16"
    kv_cache: str = "bf16"

    def __post_init__(self) -> None:
        """Check the names."""
        for name in (self.weights, self.activations, self.kv_cache):
            dtype_named(name)

    @property
    def formats(self) -> Formats:
        """The types of all parts."""
        return _formats(self.weights, self.activations, self.kv_cache)

    @property
    def matrix(self) -> DType:
        """Type of the attention and MLP matrices."""
        return self.formats.matrix

    @property
    def unquantised(self) -> DType:
        """Type of all other parameters: the weights' own, or 16-bit where that is narrower."""
        return self.formats.unquantised

    @property
    def activation(self) -> DType:
        """Type of activations."""
        return self.formats.activation

    @property
    def cache(self) -> DType:
        """Type of the KV cache."""
        return self.formats.cache

    @property
    def accumulate(self) -> DType:
        """Type of what is never computed below 16 bits: attention, norms, aggregator, logits."""
        return self.formats.accumulate

    @property
    def compute(self) -> DType:
        """Type of the matrix products: the wider of weights and activations."""
        return self.formats.compute

    @property
    def head_compute(self) -> DType:
        """Type of the products with unquantised weights."""
        return self.formats.head_compute


class Formats(NamedTuple):
    """The types of all parts; the properties of `Precision` describe them."""

    matrix: DType
    unquantised: DType
    activation: DType
    cache: DType
    accumulate: DType
    compute: DType
    head_compute: DType


@lru_cache(maxsize=1024)
def _formats(weights: str, activations: str, kv_cache: str) -> Formats:
    """The types by the three names; kept, because every estimate needs them many times."""
    matrix, activation, bf16 = dtype_named(weights), dtype_named(activations), dtype_named("bf16")
    unquantised = matrix
    if matrix.bits < 16:
        unquantised = activation if activation.bits == 16 else bf16
    accumulate = activation if activation.bits >= 16 else bf16
    return Formats(
        matrix=matrix,
        unquantised=unquantised,
        activation=activation,
        cache=dtype_named(kv_cache),
        accumulate=accumulate,
        compute=activation if activation.bits >= matrix.bits else matrix,
        head_compute=accumulate if accumulate.bits >= unquantised.bits else unquantised,
    )
