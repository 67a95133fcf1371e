"""One device's share of a model equals the one that PyTorch and transformers give it.

Tensor parallelism: transformers' own plan for each architecture, carried out by PyTorch's DTensor
on a process group that only pretends to communicate; local parameters, cache, FLOPs and every
collective's bytes. Experts: transformers' plan of expert parallelism. Stages and streams: the
modules and caches of real models, taken apart.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from transformers import AutoConfig

from cost_analysis import (
    Engine,
    Hardware,
    ModelSpec,
    Precision,
    Workload,
    estimate,
    load_model,
    memory,
)
from cost_analysis.common.arrays import single
from cost_analysis.inputs.configurations import model_of
from cost_analysis.inputs.layout import Layout
from cost_analysis.measure.parallel_model import build_stock

pytestmark = [pytest.mark.crosscheck, pytest.mark.torch]

FP32 = Precision("fp32", "fp32", "fp32")
_SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 24,
    "vocab_size": 224,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_MHA = {n: s for n, s in _SIZES.items() if n not in ("num_key_value_heads", "head_dim")}
DENSE: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", _SIZES),
    "llama, biases": ("llama", _SIZES | {"attention_bias": True, "mlp_bias": True}),
    "qwen2": ("qwen2", {n: s for n, s in _SIZES.items() if n != "head_dim"}),
    "qwen2, tied": (
        "qwen2",
        {n: s for n, s in _SIZES.items() if n != "head_dim"} | {"tie_word_embeddings": True},
    ),
    "qwen3": ("qwen3", _SIZES),
    "mistral": ("mistral", _SIZES | {"sliding_window": None}),
    "gemma2": ("gemma2", _SIZES | {"sliding_window": 6}),
    "gpt_neox": ("gpt_neox", _MHA),
}
BATCH, LENGTH = 3, 7


@pytest.fixture(params=[2, 4])
def group(request: pytest.FixtureRequest) -> Iterator[int]:
    """A process group of several devices, of which this process is the first."""
    size: int = request.param
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=size)
    yield size
    dist.destroy_process_group()


class OnOneDevice(TorchDispatchMode):
    """FLOPs of one device, and the bytes that go into each kind of collective, a call each."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.flops = 0
        self.sent: dict[str, list[int]] = defaultdict(list)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if DTensor in types:
            return NotImplemented  # it comes back with the local tensors
        result = func(*args, **(kwargs or {}))
        if FakeTensor in types:
            return result  # DTensor finds out how a result is divided
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=result)
        name = func._overloadpacket.__name__
        if func.namespace == "_c10d_functional" and name.startswith("all_"):
            self.sent[name].append(args[0].numel() * args[0].element_size())
        return result


def style(name: str) -> ParallelStyle | None:
    """PyTorch's parallel style for one of transformers; None where a module is copied."""
    ways: dict[str, ParallelStyle | None] = {
        "colwise": ColwiseParallel(),
        "rowwise": RowwiseParallel(),
        "embedding_rowwise": RowwiseParallel(input_layouts=Replicate()),
        "colwise_gather_output": ColwiseParallel(output_layouts=Replicate()),
        "replicated_with_grad_allreduce": None,
    }
    return ways[name]


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern of a plan names a module or parameter; plans of a base leave its name."""
    return bool(re.fullmatch(r"(\w+\.)?" + re.escape(pattern).replace(r"\*", r"\d+"), name))


def divided(model: Any, devices: int) -> Any:
    """The model with its modules divided by transformers' plan."""
    plan = {
        name: style(way)
        for name, _ in model.named_modules()
        for pattern, way in model.tp_plan.items()
        if matches(pattern, name)
    }
    mesh = init_device_mesh("cpu", (devices,))
    return parallelize_module(model, mesh, {n: way for n, way in plan.items() if way})


def local(tensor: Any) -> Any:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DENSE)
def test_a_tensor_parallel_device_holds_and_sends_what_pytorch_gives_it(
    name: str, group: int, a100: Hardware, graphs: Engine
) -> None:
    kind, sizes = DENSE[name]
    config = AutoConfig.for_model(kind, **sizes)
    spec = model_of(json.loads(config.to_json_string()), name).spec
    model = divided(build_stock(config, attention="eager").model, group)
    ids = torch.zeros(BATCH, LENGTH, dtype=torch.long)
    device = OnOneDevice()
    with torch.no_grad(), device:
        output = model(ids, use_cache=True, logits_to_keep=1)
    cost = estimate(
        spec, Workload(BATCH, LENGTH, 1), a100, graphs, FP32, Layout(tensor_parallel=group)
    )
    held = sum(local(value).nbytes for name, value in model.named_parameters())
    if spec.tie_word_embeddings:  # DTensor divides the two ends of a tied matrix separately
        held -= local(model.lm_head.weight).nbytes
    assert cost.memory.weights == held
    cache = output.past_key_values.layers
    assert cost.memory.kv_cache == sum(c.keys.nbytes + c.values.nbytes for c in cache)
    assert cost.prefill.flops == device.flops
    sent = {"all-reduce": 0.0, "gather logits": 0.0}
    for time in cost.prefill.times:
        if time.operator.kind == "exchange":
            sent[time.operator.name] += single(time.operator.link_bytes)
    reduced = device.sent.pop("all_reduce")
    assert len(reduced) == 2 * spec.num_hidden_layers + 1
    assert sent["all-reduce"] == pytest.approx(sum(reduced) * 2 * (group - 1) / group)
    (gathered,) = device.sent.pop("all_gather_into_tensor")
    assert sent["gather logits"] == gathered * (group - 1)
    assert not device.sent


EXPERTS: dict[str, tuple[str, dict[str, Any]]] = {
    "mixtral": ("mixtral", _SIZES | {"num_local_experts": 8, "num_experts_per_tok": 2}),
    "qwen3_moe": (
        "qwen3_moe",
        _SIZES | {"num_experts": 12, "num_experts_per_tok": 3, "moe_intermediate_size": 40},
    ),
    "gpt_oss": (
        "gpt_oss",
        _SIZES
        | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 6}
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    ),
    "deepseek_v3": (
        "deepseek_v3",
        _SIZES
        | {"kv_lora_rank": 24, "q_lora_rank": 32, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16}
        | {"v_head_dim": 20, "n_routed_experts": 8, "num_experts_per_tok": 3, "n_group": 2}
        | {"topk_group": 2, "moe_intermediate_size": 40, "n_shared_experts": 1}
        | {"first_k_dense_replace": 1, "num_key_value_heads": 8},
    ),
}
_WHOLE = {"ep_dispatch_experts", "moe_tp_experts", "replicated_with_grad_allreduce"}


def stock(name: str, cases: dict[str, tuple[str, dict[str, Any]]]) -> tuple[Any, ModelSpec]:
    """A model of transformers on the meta device, and ours from the same configuration."""
    kind, sizes = cases[name]
    config = AutoConfig.for_model(kind, **sizes)
    model = build_stock(config, device="meta", attention="eager").model
    return model, model_of(json.loads(config.to_json_string()), name).spec


def planned_values(model: Any, plan: dict[str, str], devices: int) -> int:
    """Weights of one device where a plan of transformers divides those that it names."""
    held = 0
    for name, value in model.named_parameters():
        module, _, kind = name.rpartition(".")
        ways = [
            way
            for pattern, way in plan.items()
            if matches(pattern, name) or matches(pattern, module)
        ]
        ways = [way for way in ways if way not in _WHOLE]
        whole = not ways or (ways == ["rowwise"] and kind == "bias")
        assert whole or value.numel() % devices == 0
        held += value.numel() // (1 if whole else devices)
    return held


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("name", EXPERTS)
def test_experts_are_divided_as_transformers_plans(name: str, groups: int) -> None:
    model, spec = stock(name, EXPERTS)
    held = planned_values(model, model.config.base_model_ep_plan, groups)
    layout = Layout(expert_parallel=groups)
    layout.check(spec)
    assert memory(spec, Workload(4, 5, 3), FP32, layout).weights == held * 4


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe"])
def test_layers_of_experts_are_divided_as_transformers_plans(name: str) -> None:
    model, spec = stock(name, EXPERTS)
    ends = {"embed_tokens": "embedding_rowwise", "lm_head": "colwise_gather_output"}
    held = planned_values(model, model.config.base_model_tp_plan | ends, 4)
    layout = Layout(tensor_parallel=4)
    assert memory(spec, Workload(4, 5, 3), FP32, layout).weights == held * 4


def stage_values(model: Any, bounds: list[int], stage: int) -> int:
    """Weights of the modules of one pipeline stage of a model."""
    base, head = model.model, model.lm_head
    parts = list(base.layers[bounds[stage] : bounds[stage + 1]])
    is_tied = head.weight is base.embed_tokens.weight
    if stage == 0:
        parts.append(base.embed_tokens)
    if stage == len(bounds) - 2:
        parts.append(base.norm)
        parts += [head] if not is_tied or stage > 0 else []
    return sum(value.numel() for part in parts for value in part.parameters())


def bounds_of(layers: int, stages: int) -> list[int]:
    """First layers of the stages: remaining layers go just before the last stage, one each."""
    counts = [layers // stages] * stages
    for place in range(layers % stages):
        counts[stages - 2 - place] += 1
    return [sum(counts[:stage]) for stage in range(stages + 1)]


@pytest.mark.parametrize("stages", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["qwen2", "qwen2, tied", "deepseek_v3"])
def test_the_fullest_stage_has_the_modules_of_a_real_model(name: str, stages: int) -> None:
    cases = {
        kind: (family, sizes | {"num_hidden_layers": 7})
        for kind, (family, sizes) in (DENSE | EXPERTS).items()
    }
    model, spec = stock(name, cases)
    bounds = bounds_of(7, stages)
    held = [stage_values(model, bounds, stage) for stage in range(stages)]
    layout = Layout(pipeline_parallel=stages)
    found = memory(spec, Workload(1, 1, 1), FP32, layout)
    # A cache and activations of one token hardly count: the fullest by weights is the fullest.
    assert found.weights == max(held) * 4


def test_stream_groups_store_their_own_prefixes_and_caches() -> None:
    spec = replace(load_model("0.5B").spec, streams=8, prefix_tokens=5)
    work = Workload(2, 9, 4)
    apart = memory(spec, work, FP32, Layout(stream_parallel=4))
    few = memory(replace(spec, streams=2), work, FP32)
    assert (apart.kv_cache, apart.prefix) == (few.kv_cache, few.prefix)
    whole = memory(spec, work, FP32)
    assert (apart.layers, apart.aggregator) == (whole.layers, whole.aggregator)
