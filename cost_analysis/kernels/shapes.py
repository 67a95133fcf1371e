"""Shapes of kernels: the sizes and formats on which the time of one call depends.

Sizes are numbers or arrays that broadcast. Formats are names of `FORMATS`; they say how weights
or cache are stored and in what they are multiplied.
"""

from __future__ import annotations

from typing import NamedTuple

from cost_analysis.common.arrays import Number

FORMATS = ("bf16", "fp8", "fp8-block", "int8", "int4", "nvfp4", "mxfp4")
"""Formats of weights. fp8 multiplies 8-bit weights with 8-bit activations and a scale for each
channel or tensor, "fp8-block" with a scale for each block of 128 × 128; int8 and int4 are weights
alone, multiplied as 16-bit values; nvfp4 and mxfp4 as `inputs.dtypes` has them."""


class Product(NamedTuple):
    """A matrix product (rows, inputs) × (inputs, outputs).

    Attributes:
        rows: Rows of the input matrix, M.
        inputs: Width of the input, K.
        outputs: Width of the output, N.
        weights: Format of the weights, one of `FORMATS`.
    """

    rows: Number
    inputs: Number
    outputs: Number
    weights: str


class Attention(NamedTuple):
    """Scores and values of one layer: a prompt over itself and a past, or one decode step.

    Attributes:
        sequences: Sequences, each with a cache of its own; P·B with streams.
        queries: New tokens of each sequence: 1 in a decode step.
        context: Positions that the last query may attend to, its own included.
        query_heads: Query heads on the device.
        kv_heads: KV heads on the device.
        head_dim: Width of a head.
        window: Positions that a query attends to at most; 0.0 means all.
        cache: Format of the cache: "bf16" or "fp8".
        decodes: The kernel of a decode step, not that of a prompt.
    """

    sequences: Number
    queries: Number
    context: Number
    query_heads: Number
    kv_heads: Number
    head_dim: Number
    window: Number
    cache: str
    decodes: bool


class LatentAttention(NamedTuple):
    """Multi-head latent attention of one layer (DeepSeek-V2, arXiv 2405.04434, section 2.1).

    Attributes:
        sequences: Sequences.
        queries: New tokens of each.
        context: Positions that the last query may attend to.
        heads: Heads on the device.
        latent: Width of a cached latent with its rotary key: 576 in DeepSeek.
        cache: Format of the cache: "bf16" or "fp8".
        decodes: The absorbed kernel of a decode step, not that of a prompt.
    """

    sequences: Number
    queries: Number
    context: Number
    heads: Number
    latent: Number
    cache: str
    decodes: bool


class Experts(NamedTuple):
    """The routed experts of one layer on one device: both products, activation and weighted sum.

    Attributes:
        tokens: Token-streams that the router sends to experts, of all devices that share them.
        hidden: Width of the residual stream.
        inner: Intermediate size of an expert on this device.
        experts: Experts of the layer.
        held: Experts that this device holds.
        per_token: Experts of each token-stream.
        weights: Format of the weights, one of `FORMATS`.
        matrices: Matrices of an expert: 3 with a gate, else 2.
        rows: Pairs of token-stream and expert that this device computes; 0.0 means its even share.
        reached: Experts of this device with at least one row; 0.0 means as many as are expected
            where each token-stream chooses on its own and no expert is preferred.
    """

    tokens: Number
    hidden: Number
    inner: Number
    experts: Number
    held: Number
    per_token: Number
    weights: str
    matrices: Number = 3.0
    rows: Number = 0.0
    reached: Number = 0.0


class AllReduce(NamedTuple):
    """A sum over the devices of a node.

    Attributes:
        bytes: Size of what is summed [B].
        devices: Devices that take part.
    """

    bytes: Number
    devices: Number


Shape = Product | Attention | LatentAttention | Experts | AllReduce
