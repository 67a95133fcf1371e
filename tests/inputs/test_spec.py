from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cost_analysis import Engine, Hardware, InputError, ModelSpec, Precision, Workload
from cost_analysis.dtypes import dtype_named
from cost_analysis.system import AttentionKernels, Spread


def make(**changes: Any) -> ModelSpec:
    return ModelSpec(**({"hidden_size": 64, "intermediate_size": 128} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 0}, "hidden_size is 0; it must be a whole number from 1 to"),
        ({"hidden_size": -64}, "hidden_size is -64"),
        ({"hidden_size": 64.5}, "hidden_size is 64.5"),
        ({"hidden_size": "64"}, "hidden_size is '64'"),
        ({"hidden_size": True}, "hidden_size is True"),
        ({"hidden_size": None}, "hidden_size is None"),
        ({"hidden_size": float("nan")}, "hidden_size is nan"),
        ({"hidden_size": 10**30}, "hidden_size is far too large"),
        ({"hidden_size": 10**5000}, "hidden_size is far too large"),
        ({"hidden_size": np.array([64, 0])}, "hidden_size holds 0; each must be"),
        ({"hidden_size": np.array([64.0, np.nan])}, "hidden_size holds nan"),
        ({"hidden_size": np.array(["a"])}, "hidden_size is an array of <U1"),
        ({"prefix_tokens": -1}, "parscale_prefix_tokens is -1; it must be a whole number from 0"),
        ({"num_attention_heads": 12}, "hidden_size must be divisible .*64 / 12 leaves 4"),
        ({"num_key_value_heads": 3}, "num_attention_heads must be divisible .*16 / 3 leaves 1"),
        ({"num_key_value_heads": np.array([2, 3])}, "in at least one row"),
        ({"gated_mlp": 1}, "gated_mlp is 1; it must be true or false"),
    ],
)
def test_model_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**changes)


def test_model_fills_in_head_dim() -> None:
    assert make().head_dim == 4
    assert make(hidden_size=100, head_dim=7).query_size == 16 * 7


def test_prefix_exists_with_streams_only() -> None:
    assert make().prefix == 0
    assert make(streams=2).prefix == 48
    assert make(streams=np.array([1, 2])).prefix.tolist() == [0, 48]


def test_arrays_become_float64() -> None:
    spec = make(hidden_size=np.array([64, 128], dtype=np.int16))
    assert spec.hidden_size.dtype == np.float64
    assert isinstance(make().hidden_size, int)
    assert isinstance(make(hidden_size=np.int64(64)).hidden_size, int)


def test_workload() -> None:
    work = Workload(2, 10, 5)
    assert work.decode_steps == 4
    assert work.cached_tokens == 14
    for name in ("batch_size", "input_length", "output_length"):
        bad: dict[str, Any] = {name: 0}
        with pytest.raises(InputError, match=f"{name} is 0"):
            Workload(**bad)
    with pytest.raises(InputError, match="'last' or 'all'"):
        Workload(logits="some")


def test_precision_of_parts() -> None:
    quantised = Precision(weights="int4")
    assert quantised.matrix.name == "int4"
    assert quantised.unquantised.name == "bf16"
    assert quantised.compute.name == "bf16"
    assert Precision("int4", "fp32", "bf16").unquantised.name == "bf16"
    assert Precision("int4", "fp16", "bf16").unquantised.name == "fp16"
    eight = Precision("int8", "int8", "int8")
    assert eight.compute.name == "int8"
    assert eight.accumulate.name == eight.unquantised.name == eight.head_compute.name == "bf16"
    assert Precision("fp32", "bf16", "bf16").compute.name == "fp32"
    assert Precision("bf16", "fp32", "bf16").compute.name == "fp32"
    assert Precision("fp16", "fp16", "fp8").cache.bytes == 1
    with pytest.raises(InputError, match="unknown data type 'int5'"):
        Precision(kv_cache="int5")


def test_device_computes_in_the_nearest_wider_type() -> None:
    device = Hardware("d", "d", 1e9, 1e9, {"fp32": 1e12, "fp16": 4e12})
    assert device.peak_dtype(dtype_named("fp16")) == "fp16"
    assert device.peak_dtype(dtype_named("bf16")) == "fp32"
    assert device.peak_dtype(dtype_named("fp8")) == "fp16"
    assert device.matmul_peak(dtype_named("int4")) == 4e12
    narrow = Hardware("n", "n", 1e9, 1e9, {"int8": 1e12})
    with pytest.raises(InputError, match="no peak for bf16 or a wider type"):
        narrow.peak_dtype(dtype_named("bf16"))


@pytest.mark.parametrize(
    "changes",
    [{"memory": 0}, {"bandwidth": -1.0}, {"bandwidth": "fast"}, {"peak": {}},
     {"peak": {"bf16": 0.0}}, {"peak": {"bf17": 1.0}}, {"memory": float("inf")}],
)  # fmt: skip
def test_device_refuses(changes: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"memory": 1e9, "bandwidth": 1e9, "peak": {"bf16": 1e12}}
    with pytest.raises(InputError):
        Hardware("d", "d", **(fields | changes))


@pytest.mark.parametrize(
    "changes",
    [{"flops_efficiency": 0.0}, {"flops_efficiency": 1.01}, {"bandwidth_efficiency": -0.5},
     {"bandwidth_efficiency": float("nan")}, {"kernel_floor": -1e-6}, {"step_host_time": "1"},
     {"layer_host_time": float("inf")}],
)  # fmt: skip
def test_engine_refuses(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Engine("e", **changes)


def test_engine_takes_the_users_efficiency() -> None:
    engine = Engine("e", flops_efficiency=0.5, bandwidth_efficiency=0.6, kernel_floor=1e-6)
    assert engine.with_efficiency(None, None) == engine
    changed = engine.with_efficiency(0.9, None)
    assert (changed.flops_efficiency, changed.bandwidth_efficiency) == (0.9, 0.6)
    assert changed.kernel_floor == engine.kernel_floor


@pytest.mark.parametrize(
    "changes",
    [{"elementwise_share": 0.0}, {"link_share": -1.0}, {"link_latency": -1e-6},
     {"quantised_flops_share": float("nan")}, {"link_latency": float("inf")}],
)  # fmt: skip
def test_measured_terms_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        Engine("e", **changes)


@pytest.mark.parametrize(
    "changes", [{"flops_share": 0.0}, {"floor": -1.0}, {"score_bytes": -1.0}, {"cache_copies": -2}]
)
def test_attention_kernels_out_of_range(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        AttentionKernels(**changes)


def test_an_interval_is_wider_on_devices_that_were_not_measured() -> None:
    spread = Spread(0.9, 1.2, 0.5, 2.0, ("a100",))
    assert spread.interval(10.0, "a100") == (9.0, 12.0)
    assert spread.interval(10.0, "h100") == (5.0, 20.0)
    with pytest.raises(InputError, match="low end"):
        Spread(1.2, 0.9)


@pytest.mark.parametrize("share", [0.0, 1.2, float("nan")])
def test_what_a_device_reaches_is_a_share(share: float) -> None:
    with pytest.raises(InputError, match="reached_flops"):
        Hardware("d", "d", memory=1, bandwidth=1, peak={"fp32": 1.0}, reached_flops=share)
