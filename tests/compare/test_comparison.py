"""Streams, other methods and ones of one's own, side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cost_analysis import InputError, ModelSpec
from cost_analysis.method_choice import contest, read_spending
from cost_analysis.methods import (
    loop,
)
from cost_analysis.request import make_request

SPEC = ModelSpec(64, 128, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                 vocab_size=100, qkv_bias=False)  # fmt: skip


def request_for(name: str, streams: int = 8) -> Any:
    return make_request(
        model=name, architecture={"streams": streams}, workload={"input_length": 256}, precision={}
    )


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-4b", "gpt2"])
def test_models_that_the_paper_does_not_have(name: str) -> None:
    asked = ["parscale", "best-of-n", "longer:2", "loop:2", "plt:2", "phd"]
    found = contest(request_for(name), asked)
    assert found.asked == ("base", *asked)
    by_name = dict(zip(found.asked, found.costs, strict=True))
    first = by_name["base"]
    assert all(each.latency >= first.latency * 0.999 for each in found.costs)
    # Streams keep a cache and a prefill each, samples do not.
    assert by_name["parscale"].kv_cache > 7 * first.kv_cache > by_name["best-of-n"].kv_cache
    assert by_name["parscale"].ttft > by_name["best-of-n"].ttft == first.ttft
    # Loops in turn read the weights twice; parallel ones once.
    assert by_name["loop:2"].tpot > 1.5 * by_name["plt:2"].tpot


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["greedy"], "unknown method 'greedy'"),
        (["loop:1"], "needs an amount of 2 or more"),
        (["loop:x"], "the amount must be a whole number from 2 to 1024"),
        (["loop:9999999"], "the amount must be a whole number"),
        (["loop", "loop"], "asked for twice"),
        (["dense:3"], "unknown method 'dense'"),
        (["none.toml"], "cannot read method 'none.toml'"),
    ],
)
def test_what_is_no_method(asked: list[str], said: str) -> None:
    with pytest.raises(InputError, match=r".") as caught:
        contest(request_for("1.6b"), asked)
    assert said in str(caught.value)


def test_one_stream_leaves_no_default_amount() -> None:
    with pytest.raises(InputError, match="needs an amount of 2 or more: loop:8, or --P 8"):
        contest(request_for("1.6b", 1), ["loop"])
    with pytest.raises(InputError, match="give --P 2 or more"):
        contest(request_for("1.6b", 1), ["dense"])


def test_a_method_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "twice.toml"
    file.write_text('source = "mine"\npasses = 2\nkv_entries = 2\nprefill = 2\n')
    own = read_spending(file, SPEC)
    assert own.name == "twice"
    twice = loop(SPEC, 2)
    assert replace(own, name=twice.name, source=twice.source) == twice
    for content, said in (
        ('source = "x"\npasses = 0', "passes is 0"),
        ('source = "x"\npasses = true', "must be a whole number"),
        ('source = "x"\ntokens = 0.0', "tokens is 0.0"),
        ('source = "x"\npass = 2', "unknown field 'pass'"),
        ("passes = 2", "'source': is missing"),
        ("passes =", "is not TOML"),
    ):
        file.write_text(content)
        with pytest.raises(InputError, match=r".") as caught:
            read_spending(file, SPEC)
        assert said in str(caught.value), content
