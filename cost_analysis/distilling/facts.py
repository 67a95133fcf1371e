"""Facts of chips and of their tables of kernels: what is fitted, and what is shipped."""

from __future__ import annotations

from cost_analysis.kernels.shapes import FORMATS

ENGINES = ("vllm", "sglang", "tensorrt-llm")
"""Engines with tables."""

CHIPS = {
    "a100-sxm-80gb": (108.0, 40e6),
    "h100-sxm-80gb": (132.0, 50e6),
    "h200": (132.0, 50e6),
    "b200": (148.0, 126e6),
    "gb200": (152.0, 126e6),
    "b300": (148.0, 126e6),
    "gb300": (152.0, 126e6),
    "l40s": (142.0, 96e6),
    "rtx-pro-6000": (188.0, 134e6),
    "b60": (20.0, 18e6),
}
"""Multiprocessors of a device and the size of its L2 cache [B], by NVIDIA's architecture papers of
Ampere, Hopper, Ada and Blackwell, and Intel's specifications of the B60 (its Xe cores)."""

FORMATS_OF = {
    "product": FORMATS,
    "quantise": ("fp8",),
    "decode": ("bf16", "fp8"),
    "prompt": ("bf16", "fp8"),
    "latent_decode": ("bf16", "fp8"),
    "latent_prompt": ("bf16", "fp8"),
    "experts": FORMATS,
    "all_reduce": ("bf16",),
}
"""Formats that a family may have."""

UNTUNED = {(device, "vllm", "experts", "fp8") for device in ("h100-sxm-80gb", "h200")}
"""Tables of kernels that nobody runs: vLLM's experts with a scale for a whole tensor take two to
three times as long as in bf16 on Hopper, whose tuned kernels have scales for blocks."""

OTHERS = {("tensorrt-llm", "product", "nvfp4"): "vllm"}
"""Whose curve is taken although there is an own one: TensorRT-LLM's call of an nvfp4 product
quantises its input, which in whole runs the kernel before does, and no table says what of it."""

BLACKWELL_OTHERS = {
    ("tensorrt-llm", "experts", "nvfp4"): "sglang",
    ("tensorrt-llm", "experts", "fp8-block"): "sglang",
}
"""The same on devices of that generation: SGLang calls TensorRT-LLM's own kernels of experts there,
of which its own table has others, up to three times as slow at few tokens."""

LENDERS = ("sglang", "tensorrt-llm", "vllm")
"""Engines whose curve is taken where an engine has none, the first one that has it."""

LARGEST_ERROR = 0.15
"""Median error of a curve above which that of another engine is taken, if there is a better one."""

OLD_ROUTERS = ("a100-sxm-80gb",)
"""Devices whose tables of experts routed tokens in another way, of which only some loads are
known."""
