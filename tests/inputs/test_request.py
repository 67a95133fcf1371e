"""Requests from what a user gives, with defaults filled in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cost_analysis import InputError, Layout, load_hardware, load_model
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.inputs.request import Request, length_warnings, make_request, model_asked
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import System, named_system


def asked(
    name: str | None = None,
    /,
    *,
    system: System | None = None,
    engine_assumed: bool = True,
    **sizes: Any,
) -> Request:
    """A request for a model of these sizes, on the default device unless a system is given."""
    return make_request(
        model_asked(name, sizes),
        Workload(),
        system or named_system(),
        engine_assumed=engine_assumed,
    )


def test_a_model_by_its_sizes_takes_the_familys_width() -> None:
    request = asked(hidden_size=2560)
    assert request.title == "hidden 2560"
    assert request.spec == ModelSpec(2560, 13824)
    assert request.assumed == {"intermediate_size": 13824, "engine": "graphs"}
    stated = asked(hidden_size=2560, intermediate_size=100)
    assert stated.spec.intermediate_size == 100
    assert stated.assumed == {"engine": "graphs"}


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({}, "no model given; name one with --model or give --hidden_size"),
        ({"streams": 2}, "no model given"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"hidden_size": 2560, "intermediate_size": 0}, "intermediate_size is 0"),
    ],
)
def test_sizes_that_do_not_make_a_model(sizes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        asked(**sizes)


@pytest.mark.parametrize(
    ("name", "streams"),
    [
        ("ParScale/ParScale-1.8B-P8", 8),
        ("parscale-1.8b-p2-inst", 2),
        (" PARSCALE-1.8B-P4-Python ", 4),
        ("parscale-1.8b", 1),
    ],
)
def test_names_of_checkpoints_state_the_streams(name: str, streams: int) -> None:
    assert asked(name).spec == load_model("1.6b").spec.with_streams(streams)


def test_given_streams_take_precedence_over_those_of_a_name() -> None:
    assert asked("ParScale-1.8B-P8", streams=3).spec.streams == 3


def test_a_head_width_follows_the_hidden_size_where_it_is_derived() -> None:
    derived = asked("1.6b", hidden_size=1024)
    assert derived.spec.head_dim == 1024 / 16
    assert derived.assumed["head_dim"] == 64
    stated = asked("1.6b", hidden_size=1024, head_dim=128)
    assert stated.spec.head_dim == 128
    assert "head_dim" not in stated.assumed
    own = asked("mistral-nemo-12b", hidden_size=4096)
    assert own.spec.head_dim == 128  # not hidden_size / heads there
    same = asked("1.6b", hidden_size=load_model("1.6b").spec.hidden_size)
    assert same.spec == load_model("1.6b").spec
    assert same.title == load_model("1.6b").description


def test_a_title_names_what_was_changed_but_for_the_streams() -> None:
    title = asked("1.6b", vocab_size=1000, hidden_size=1024, streams=4).title
    assert title == f"{load_model('1.6b').description} with another hidden_size, vocab_size"


def test_the_warning_of_a_profile_is_passed_on() -> None:
    profile = load_model("0.7B")
    assert profile.warning
    assert asked("0.7B").warnings == (profile.warning,)
    assert asked("1.6b").warnings == ()


def test_a_request_that_is_too_long_has_a_warning() -> None:
    spec = ModelSpec(64, 128, max_position_embeddings=100)
    assert length_warnings(spec, Workload(1, 90, 11)) == []  # the last token is never fed back
    (sentence,) = length_warnings(spec, Workload(1, 90, 12))
    assert sentence.startswith("input and output take 101 positions, the model was made for 100")


@pytest.mark.parametrize(
    ("device", "engine"), [("a100", "graphs"), ("epyc-9654", "cpu"), ("m2-ultra", "ideal")]
)
def test_the_default_engine_follows_the_kind_of_device(device: str, engine: str) -> None:
    request = asked("1.6b", system=named_system(device))
    assert request.system.engine.name == engine
    assert request.assumed == {"engine": engine}
    chosen = asked("1.6b", system=named_system(device, "eager"), engine_assumed=False)
    assert chosen.system.engine.name == "eager"
    assert chosen.assumed == {}


def test_efficiencies_of_the_user_are_shares_of_the_datasheet() -> None:
    device = load_hardware("a100")
    assert device.reached_flops < 1
    system = asked("1.6b", system=named_system("a100", flops_efficiency=0.5)).system
    assert (system.hardware.reached_flops, system.engine.flops_efficiency) == (1.0, 0.5)
    assert system.hardware.reached_bandwidth == device.reached_bandwidth
    other = asked("1.6b", system=named_system("a100", bandwidth_efficiency=0.25)).system
    assert (other.hardware.reached_bandwidth, other.engine.bandwidth_efficiency) == (1.0, 0.25)
    assert other.hardware.reached_flops == device.reached_flops


def test_links_of_the_user_take_precedence_over_the_devices() -> None:
    system = named_system()
    linked = replace(system.hardware, interconnect=1e9, devices_per_node=2, network=1e8)
    four = replace(system, hardware=linked, layout=Layout(tensor_parallel=4))
    request = asked("1.6b", system=four)
    assert request.system.hardware.interconnect == 1e9
    assert request.system.hardware.link_among(2) == "interconnect"
    assert request.system.hardware.link_among(4) == "network"
    assert request.system.layout.devices == 4
    estimate_on(request.spec, request.workload, request.system)
    three = replace(four, layout=Layout(tensor_parallel=3))
    with pytest.raises(InputError, match="it must divide the 16 query heads"):
        estimate_on(request.spec, request.workload, three)
