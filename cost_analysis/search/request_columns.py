"""Columns of what was asked: the model, its formats, the workload, the system and the layout.

Groups of columns, each in its order; a table puts some of them together in an order of its own.
"""

from __future__ import annotations

from cost_analysis.common.checks import FLAGS
from cost_analysis.inputs.layout import micro_batches
from cost_analysis.search.column import Column, of_cost


def _asked(name: str, path: str, text: str, kind: str = "count", only: str = "") -> Column:
    return Column(name, text, of_cost(path), kind, is_input=True, only=only)


_SIZES = {
    "hidden_size": "width of the residual stream",
    "intermediate_size": "width of the MLP",
    "num_hidden_layers": "layers",
    "num_attention_heads": "query heads",
    "num_key_value_heads": "key and value heads",
    "head_dim": "width of a head",
    "vocab_size": "rows of the embedding table",
    "max_position_embeddings": "longest sequence that the model was made for",
    "streams": "parallel streams",
    "prefix_tokens": "learned prefix tokens of a stream",
}
_SWITCHES = {
    "gated_mlp": "whether the MLP has a gate",
    "qkv_bias": "whether q, k and v have biases",
    "qk_norm": "whether q and k heads are normalised",
    "tie_word_embeddings": "whether the LM head is the embedding table",
}
_LENGTHS = {
    "batch_size": "sequences",
    "input_length": "prompt tokens of each",
    "output_length": "generated tokens of each",
}
_WAYS = {
    "tensor_parallel": "devices that share each layer",
    "pipeline_parallel": "stages of layers",
    "expert_parallel": "groups that share sequences and experts",
    "stream_parallel": "groups that share the streams, at most as many as there are",
    "expert_groups": "parts of tensor_parallel that each hold whole experts",
}
_FORMATS = {
    "weights": "format of the weights",
    "activations": "format of the activations",
    "kv_cache": "format of the KV cache",
}

TITLE = (
    Column(
        "model",
        "what the model is called",
        lambda found: found.request.title,
        "name",
        is_input=True,
        only="sweep",
    ),
)
COST_MODEL = (
    Column(
        "cost_model",
        'whose costs are reported: "operators", or also the "published" ones',
        lambda found: "operators" if found.published is None else "published",
        "name",
        is_input=True,
        only="estimate",
    ),
)
SYSTEM = (
    _asked("gpu_config", "hardware.name", "device", "name"),
    _asked("engine", "engine.name", "what runs the model", "name"),
    _asked("kernels", "system.kernels", "where times of measured kernels are from", "name"),
    *(
        _asked(name, f"engine.{path}", text, "fraction", "estimate")
        for name, path, text in (
            ("flops_efficiency", "flops_efficiency", "share of the peak FLOP/s"),
            ("hbm_memory_efficiency", "bandwidth_efficiency", "share of the memory bandwidth"),
        )
    ),
)
FORMATS = tuple(
    _asked(FLAGS[name], f"precision.{name}", text, "name") for name, text in _FORMATS.items()
)
MODEL = (
    *(
        _asked(
            FLAGS.get(name, name),
            f"spec.{name}",
            text,
            only="estimate" if name == "max_position_embeddings" else "",
        )
        for name, text in _SIZES.items()
    ),
    *(_asked(n, f"spec.{n}", text, "switch", "estimate") for n, text in _SWITCHES.items()),
    _asked("name", "spec.name", "name of the architecture's profile", "name", "estimate"),
    _asked("layers", "spec.layers_in_words", "kinds of layers", "name", "estimate"),
)
WORKLOAD = (
    *(_asked(name, f"workload.{name}", text) for name, text in _LENGTHS.items()),
    _asked("logits", "workload.logits", "positions that get logits", "name", "estimate"),
)
LAYOUT = (
    *(_asked(name, f"layout.{name}", text) for name, text in _WAYS.items()),
    _asked("devices", "layout.devices", "devices in all", only="estimate"),
    Column(
        "micro_batches",
        "parts that a pipeline divides the batch into",
        lambda found: micro_batches(found.cost.layout, found.cost.workload.batch_size),
        "count",
        only="estimate",
    ),
)
ASSUMED = (
    Column(
        "assumed",
        "what was filled in",
        lambda found: "; ".join(f"{name}={value}" for name, value in found.request.assumed.items()),
        "name",
        only="estimate",
    ),
)
