"""Bytes of quantised matrices against tensors that hold them.

The matrices of a small model are quantised here, with values packed and scales beside them, and
must come back from these tensors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch.nn.functional import pad

from cost_analysis import ModelSpec, Precision, Workload, memory, parameters
from cost_analysis.measure.parallel_model import build

pytestmark = [pytest.mark.crosscheck, pytest.mark.torch]

Packed = tuple[list[torch.Tensor], torch.Tensor]
"""The tensors that are stored, and the matrix that they represent."""

FP4 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


def in_groups(weight: torch.Tensor, size: int) -> torch.Tensor:
    """(outputs, groups, size), the last group filled up with zeros."""
    outputs, inputs = weight.shape
    return pad(weight, (0, -inputs % size)).reshape(outputs, -1, size)


def nibbles(codes: torch.Tensor, inputs: int) -> torch.Tensor:
    """Codes from 0 to 15, two a byte, without what groups were filled up with."""
    flat = codes.reshape(codes.shape[0], -1)[:, :inputs].to(torch.uint8)
    return flat[:, ::2] | (flat[:, 1::2] << 4)


def from_nibbles(packed: torch.Tensor) -> torch.Tensor:
    return torch.stack((packed & 15, packed >> 4), -1).reshape(packed.shape[0], -1)


def whole(groups: torch.Tensor, inputs: int) -> torch.Tensor:
    return groups.reshape(groups.shape[0], -1)[:, :inputs]


def eight_bits(size: int, dtype: torch.dtype) -> Callable[[torch.Tensor], Packed]:
    """One scale for `size` inputs; for all of them if 0."""

    def pack(weight: torch.Tensor) -> Packed:
        inputs = weight.shape[1]
        groups = in_groups(weight, size or inputs)
        top = 127.0 if dtype == torch.int8 else torch.finfo(dtype).max
        scales = (groups.abs().amax(-1, keepdim=True) / top).half()
        scaled = groups / scales.float()
        values = (scaled.round() if dtype == torch.int8 else scaled).clamp(-top, top).to(dtype)
        stored = whole(values, inputs).contiguous()
        back = whole(in_groups(stored.float(), size or inputs) * scales.float(), inputs)
        return [stored, scales], back

    return pack


def int4(size: int, *, zeros: bool) -> Callable[[torch.Tensor], Packed]:
    def pack(weight: torch.Tensor) -> Packed:
        inputs = weight.shape[1]
        groups = in_groups(weight, size)
        low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
        if zeros:
            scales = ((high - low) / 15).half()
            zero = (-low / scales.float()).round().clamp(0, 15)
        else:
            scales, zero = (torch.maximum(high, -low) / 7).half(), torch.full_like(low, 8.0)
        codes = (groups / scales.float() + zero).round().clamp(0, 15)
        stored = [nibbles(codes, inputs), scales]
        if zeros:
            flat = zero.flatten().to(torch.uint8)
            stored.append(flat[::2] | (flat[1::2] << 4))
        read = in_groups(from_nibbles(stored[0]).float(), size)
        return stored, whole((read - zero) * scales.float(), inputs)

    return pack


def fp4(size: int, scale_type: torch.dtype) -> Callable[[torch.Tensor], Packed]:
    """mxfp4 with exponents as scales, nvfp4 with fp8 ones and a float32 one for the tensor."""

    def pack(weight: torch.Tensor) -> Packed:
        inputs, is_mx = weight.shape[1], scale_type == torch.float8_e8m0fnu
        groups = in_groups(weight, size)
        tensor = torch.ones(()) if is_mx else weight.abs().max() / (6.0 * 448.0)
        wanted = groups.abs().amax(-1, keepdim=True) / 6.0 / tensor
        scales = (torch.exp2(wanted.log2().ceil()) if is_mx else wanted).to(scale_type)
        scaled = groups / (scales.float() * tensor)
        nearest = (scaled.abs().unsqueeze(-1) - FP4).abs().argmin(-1)
        stored = [nibbles(nearest + 8 * (scaled < 0), inputs), scales]
        codes = from_nibbles(stored[0]).long()
        signed = FP4[codes & 7] * torch.where(codes > 7, -1.0, 1.0)
        back = whole(in_groups(signed, size) * scales.float() * tensor, inputs)
        return (stored if is_mx else [*stored, tensor]), back

    return pack


def fp8_blocks(weight: torch.Tensor) -> Packed:
    outputs, inputs = weight.shape
    padded = pad(weight, (0, -inputs % 128, 0, -outputs % 128))
    rows, columns = padded.shape[0] // 128, padded.shape[1] // 128
    blocks = padded.reshape(rows, 128, columns, 128)
    scales = blocks.abs().amax((1, 3)) / 448.0
    wide = scales.repeat_interleave(128, 0).repeat_interleave(128, 1)[:outputs, :inputs]
    stored = (weight / wide).to(torch.float8_e4m3fn)
    return [stored, scales], stored.float() * wide


FORMATS: dict[str, tuple[Callable[[torch.Tensor], Packed], float]] = {
    "int8": (eight_bits(0, torch.int8), 0.01),
    "int8-g32": (eight_bits(32, torch.int8), 0.01),
    "fp8": (eight_bits(0, torch.float8_e4m3fn), 0.04),
    "fp8-g100": (eight_bits(100, torch.float8_e4m3fn), 0.04),
    "fp8-b128": (fp8_blocks, 0.04),
    "int4": (int4(128, zeros=False), 0.15),
    "int4-g32": (int4(32, zeros=False), 0.12),
    "int4-g32-zp": (int4(32, zeros=True), 0.12),
    "mxfp4": (fp4(32, torch.float8_e8m0fnu), 0.15),
    "nvfp4": (fp4(16, torch.float8_e4m3fn), 0.12),
}
"""The packing of each format, and its relative error of a matrix in the norm."""

SPEC = ModelSpec(192, 416, 2, 6, 2, vocab_size=50, streams=2, prefix_tokens=4)


def matrices() -> Iterator[torch.Tensor]:
    """Matrices of attention and MLP; those with the same input are one, as engines fuse them."""
    torch.manual_seed(3)
    model = build(SPEC)
    for layer in model.model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        fused = (
            (attention.q_proj, attention.k_proj, attention.v_proj),
            (attention.o_proj,),
            (mlp.gate_proj, mlp.up_proj),
            (mlp.down_proj,),
        )
        for parts in fused:
            yield torch.cat([part.weight.detach().float() for part in parts])


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_are_those_of_packed_tensors(name: str) -> None:
    pack, tolerance = FORMATS[name]
    stored = 0
    for matrix in matrices():
        tensors, back = pack(matrix)
        assert back.shape == matrix.shape
        assert (back - matrix).norm() / matrix.norm() < tolerance
        stored += sum(tensor.nbytes for tensor in tensors)
    small = parameters(SPEC).small
    assert memory(SPEC, Workload(), Precision(name)).layers == stored + 2 * small
