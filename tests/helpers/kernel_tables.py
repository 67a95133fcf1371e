"""A tiny package of kernel tables in a folder, whose times follow a formula."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

PEAK, BANDWIDTH, LINK = 1e15, 3e12, 4e11
"""Of the device of these tables [FLOP/s], [B/s], [B/s]."""

START = 4e-6
"""Shortest time of a kernel [s]."""

ROWS = (1, 2, 4, 8, 16, 17, 32, 64, 128, 256, 1024)
WIDTHS = (512, 1024, 4096, 16384)

DEVICE = f"""
gpu:
  mem_bw: {BANDWIDTH:.0f}
  bfloat16_tc_flops: {PEAK:.0f}
  fp8_tc_flops: {2 * PEAK:.0f}
node:
  intra_node_bw: {LINK:.0f}
"""

Row = dict[str, Any]


def product_seconds(rows: float, inputs: float, outputs: float) -> float:
    """The time of a bf16 product in the tables [s]."""
    flops = 2 * rows * inputs * outputs / PEAK
    moved = 2 * (inputs * outputs + rows * (inputs + outputs)) / BANDWIDTH
    return START + 1.25 * max(flops, moved)


def product_rows(stored: str = "bfloat16") -> list[Row]:
    """Rows of a table of products."""
    return [
        {"gemm_dtype": stored, "m": m, "n": n, "k": k, "latency": product_seconds(m, k, n) * 1e3}
        for m, n, k in product(ROWS, WIDTHS, WIDTHS)
    ]


def attention_rows(*, decodes: bool, windows: tuple[int, ...] = (0, 128)) -> list[Row]:
    """Rows of a table of attention; a decode step over n positions has `step` n - 1."""
    rows = []
    for batch, context, (heads, kv_heads), window in product(
        (1, 2, 4, 8), (64, 256, 1024), ((8, 1), (16, 2), (32, 4), (8, 8)), windows
    ):
        seen = min(context, window or context)
        queries = 1 if decodes else context
        moved = 4 * batch * kv_heads * seen * 128 / BANDWIDTH
        computed = 4 * batch * heads * 128 * queries * seen / PEAK
        rows.append(
            {
                "batch_size": batch,
                "isl": queries,
                "step": context - 1 if decodes else 0,
                "num_heads": heads,
                "num_key_value_heads": kv_heads,
                "head_dim": 128,
                "window_size": window,
                "attn_dtype": "bfloat16",
                "kv_cache_dtype": "bfloat16",
                "latency": (2 * START + 1.5 * max(moved, computed)) * 1e3,
            }
        )
    return rows


def latent_rows() -> list[Row]:
    """Rows of a table of decode steps of latent attention."""
    return [
        {
            "mla_dtype": "bfloat16",
            "kv_cache_dtype": stored,
            "num_heads": heads,
            "batch_size": batch,
            "isl": 1,
            "step": context - 1,
            "latency": (2 * START + batch * context * (1152 / BANDWIDTH + heads * 3e-12)) * 1e3,
        }
        for stored, heads, batch, context in product(
            ("bfloat16", "fp8"), (8, 16, 64), (1, 8), (64, 1024)
        )
    ]


def expert_rows() -> list[Row]:
    """Rows of a table of experts: a gated model, divided in two ways, and one without a gate."""
    models = ((2048, 768, 8, 128, 1, 1), (2048, 768, 8, 128, 2, 4), (2688, 1856, 6, 128, 1, 1))
    return [
        {
            "moe_dtype": "w4a8_mxfp4_mxfp8" if distribution == "balanced" else "bfloat16",
            "num_tokens": tokens,
            "hidden_size": hidden,
            "inter_size": inner,
            "topk": per_token,
            "num_experts": experts,
            "moe_tp_size": parts,
            "moe_ep_size": groups,
            "distribution": distribution,
            "latency": (START + tokens * per_token * hidden * inner / parts / groups * 1e-14) * 1e3,
        }
        for tokens, (hidden, inner, per_token, experts, parts, groups), distribution in product(
            (1, 8, 64), models, ("power_law_1.01", "balanced")
        )
    ]


def all_reduce_rows() -> list[Row]:
    """Rows of a table of all-reduce: twice as slow outside of a CUDA graph."""
    return [
        {
            "kernel_source": f"custom_{how}",
            "allreduce_dtype": "bfloat16",
            "num_gpus": devices,
            "message_size": elements,
            "latency": slower * (START + elements * 4e-12 * (devices - 1) / devices) * 1e3,
        }
        for (how, slower), devices, elements in product(
            (("graph", 1.0), ("eager", 2.0)), (2, 8), (128, 1024, 1 << 20)
        )
    ]


def write_table(folder: Path, name: str, rows: list[Row], status: str = "complete") -> Path:
    """Write a table, and say in its folder's description whether it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    description = folder / "collection_meta.yaml"
    if not description.exists():
        description.write_text("schema_version: 1\ntables:\n")
    with description.open("a") as file:
        file.write(f"  {name}:\n    status: {status}\n")
    return path


def write_package(root: Path) -> Path:
    """A package with tables of vLLM on H100, as pip would install it; its folder."""
    package = root / "aiconfigurator_core"
    systems = package / "systems"
    systems.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('it is not to be imported')\n")
    information = root / "aiconfigurator_core-0.12.0.dist-info"
    information.mkdir()
    text = "Metadata-Version: 2.1\nName: aiconfigurator-core\nVersion: 0.12.0\n"
    (information / "METADATA").write_text(text)
    for device in ("h100_sxm", "l40s"):
        (systems / f"{device}.yaml").write_text(DEVICE)
    data = systems / "data" / "h100_sxm"
    write_table(data / "gemm/vllm/0.24.0", "gemm_perf", product_rows() + product_rows("fp8_block"))
    older = [{**row, "latency": 1.0} for row in product_rows()]
    write_table(data / "gemm/vllm/0.9.1", "gemm_perf", older)
    attention = data / "attention/vllm/0.24.0"
    write_table(attention, "generation_attention_perf", attention_rows(decodes=True))
    write_table(attention, "context_attention_perf", attention_rows(decodes=False))
    write_table(data / "mla/vllm/0.24.0", "generation_mla_perf", latent_rows())
    write_table(data / "moe/vllm/0.24.0", "moe_perf", expert_rows())
    write_table(data / "comm/vllm/0.24.0", "custom_allreduce_perf", all_reduce_rows())
    write_table(data / "gemm/trtllm/1.3.0rc20", "gemm_perf", product_rows(), "partial")
    return package
