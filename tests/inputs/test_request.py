"""From what a user gives to what the core takes."""

from __future__ import annotations

from typing import Any

import pytest

from cost_analysis import InputError, load_hardware, load_model
from cost_analysis.inputs.request import Request, length_warnings, make_request
from cost_analysis.inputs.spec import ModelSpec, Workload


def asked(model: str | None = None, /, **given: Any) -> Request:
    groups: dict[str, Any] = {"architecture": {}, "workload": {}, "precision": {}}
    return make_request(model=model, **(groups | given))


def test_a_model_of_sizes_is_the_familys() -> None:
    request = asked(architecture={"hidden_size": 2560})
    assert request.title == "hidden 2560"
    assert request.spec == ModelSpec(2560, 13824)
    assert request.assumed == {"intermediate_size": 13824, "engine": "graphs"}
    stated = asked(architecture={"hidden_size": 2560, "intermediate_size": 100})
    assert stated.spec.intermediate_size == 100
    assert stated.assumed == {"engine": "graphs"}


@pytest.mark.parametrize(
    ("architecture", "sentence"),
    [
        ({}, "no model given; name one with --model or give --hidden_size"),
        ({"streams": 2}, "no model given"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"hidden_size": 2560, "intermediate_size": 0}, "intermediate_size is 0"),
    ],
)
def test_sizes_that_are_no_model(architecture: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        asked(architecture=architecture)


@pytest.mark.parametrize(
    ("name", "streams"),
    [
        ("ParScale/ParScale-1.8B-P8", 8),
        ("parscale-1.8b-p2-inst", 2),
        (" PARSCALE-1.8B-P4-Python ", 4),
        ("parscale-1.8b", 1),
    ],
)
def test_names_of_checkpoints_say_how_many_streams(name: str, streams: int) -> None:
    assert asked(name).spec == load_model("1.6b").spec.with_streams(streams)


def test_streams_that_are_given_go_before_those_of_a_name() -> None:
    assert asked("ParScale-1.8B-P8", architecture={"streams": 3}).spec.streams == 3


def test_a_head_width_follows_the_hidden_size_where_it_is_derived() -> None:
    derived = asked("1.6b", architecture={"hidden_size": 1024})
    assert derived.spec.head_dim == 1024 / 16
    assert derived.assumed["head_dim"] == 64
    stated = asked("1.6b", architecture={"hidden_size": 1024, "head_dim": 128})
    assert stated.spec.head_dim == 128
    assert "head_dim" not in stated.assumed
    own = asked("mistral-nemo-12b", architecture={"hidden_size": 4096})
    assert own.spec.head_dim == 128  # not hidden_size / heads there
    same = asked("1.6b", architecture={"hidden_size": load_model("1.6b").spec.hidden_size})
    assert same.spec == load_model("1.6b").spec
    assert same.title == load_model("1.6b").description


def test_a_title_names_what_was_changed_but_for_the_streams() -> None:
    changes = {"vocab_size": 1000, "hidden_size": 1024, "streams": 4}
    title = asked("1.6b", architecture=changes).title
    assert title == f"{load_model('1.6b').description} with another hidden_size, vocab_size"


def test_a_profile_that_warns_is_passed_on() -> None:
    profile = load_model("0.7B")
    assert profile.warning
    assert asked("0.7B").warnings == (profile.warning,)
    assert asked("1.6b").warnings == ()


def test_a_request_that_is_too_long_is_answered_with_a_warning() -> None:
    spec = ModelSpec(64, 128, max_position_embeddings=100)
    assert length_warnings(spec, Workload(1, 90, 11)) == []  # the last token is never fed back
    (sentence,) = length_warnings(spec, Workload(1, 90, 12))
    assert sentence.startswith("input and output take 101 positions, the model was made for 100")


@pytest.mark.parametrize(
    ("device", "engine"), [("a100", "graphs"), ("epyc-9654", "cpu"), ("m2-ultra", "ideal")]
)
def test_the_engine_is_that_of_the_kind_of_device(device: str, engine: str) -> None:
    request = asked("1.6b", gpu_config=device)
    assert request.engine.name == engine
    assert request.assumed == {"engine": engine}
    assert asked("1.6b", gpu_config=device, engine="eager").assumed == {}


def test_efficiencies_of_the_user_are_shares_of_the_datasheet() -> None:
    device = load_hardware("a100")
    assert device.reached_flops < 1
    request = asked("1.6b", flops_efficiency=0.5)
    assert (request.hardware.reached_flops, request.engine.flops_efficiency) == (1.0, 0.5)
    assert request.hardware.reached_bandwidth == device.reached_bandwidth
    other = asked("1.6b", bandwidth_efficiency=0.25)
    assert (other.hardware.reached_bandwidth, other.engine.bandwidth_efficiency) == (1.0, 0.25)
    assert other.hardware.reached_flops == device.reached_flops


def test_links_of_the_user_go_before_those_of_the_device() -> None:
    links = {"interconnect": 1e9, "devices_per_node": 2, "network": 1e8}
    request = asked("1.6b", links=links, layout={"tensor_parallel": 4})
    assert request.hardware.interconnect == 1e9
    assert request.hardware.link_among(2) == "interconnect"
    assert request.hardware.link_among(4) == "network"
    assert request.layout.devices == 4
    with pytest.raises(InputError, match="it must divide the 16 query heads"):
        asked("1.6b", layout={"tensor_parallel": 3})
