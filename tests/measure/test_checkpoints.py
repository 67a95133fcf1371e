"""Checkpoints, and parity with the logits that the published code recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from cost_analysis import InputError, ModelSpec
from cost_analysis.measure.checkpoints import (
    check_folder,
    load_checkpoint,
    load_state,
    read_tensors,
)
from cost_analysis.measure.parallel_model import build
from cost_analysis.measure.results import Outcome
from tests.helpers.data import DATA

pytestmark = [pytest.mark.crosscheck, pytest.mark.torch]
PARITY = DATA / "parity"


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return list(check_folder(PARITY))


def test_every_case_is_run(outcomes: list[Outcome]) -> None:
    models = json.loads((PARITY / "index.json").read_text())["models"]
    assert len(outcomes) == sum(4 * len(model["cases"]) + 2 for model in models)
    assert {outcome.model for outcome in outcomes} == {model["name"] for model in models}


def test_parity_with_the_published_code(outcomes: list[Outcome]) -> None:
    assert [outcome for outcome in outcomes if not outcome.passed] == []
    worst = max(max(outcome.prefill_error, outcome.decode_error) for outcome in outcomes)
    assert 0 < worst <= 1e-4
    greedy = [outcome for outcome in outcomes if outcome.case == "greedy"]
    assert all(outcome.same_tokens for outcome in greedy)


def test_a_wrong_order_of_streams_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: a model that repeats the batch before the streams does."""
    for file in PARITY.iterdir():
        shutil.copy(file, tmp_path)

    def wrong(prefix: torch.Tensor, batch_size: int) -> torch.Tensor:
        return prefix.repeat(batch_size, 1, 1, 1)

    monkeypatch.setattr("cost_analysis.measure.parallel_model._for_batch", wrong)
    assert any(not outcome.passed for outcome in check_folder(tmp_path))


def test_published_state_dicts_load_with_no_key_left_over(tmp_path: Path) -> None:
    index = json.loads((PARITY / "index.json").read_text())
    for entry in index["models"]:
        folder = tmp_path / entry["name"]
        folder.mkdir()
        config = {
            **index["base"],
            **entry["config_overrides"],
            "model_type": "qwen2_parscale",
            "auto_map": {"AutoConfig": "remote.Code"},
            "parscale_n": entry["streams"],
            "parscale_n_tokens": entry["prefix_tokens"],
            "parscale_attn_smooth": 0.01,
        }
        (folder / "config.json").write_text(json.dumps(config))
        weights = PARITY / f"{entry['name']}.weights.safetensors"
        shutil.copy(weights, folder / "model.safetensors")
        model = load_checkpoint(folder, dtype="fp32")
        recorded = read_tensors(PARITY / f"{entry['name']}.io.safetensors")
        tokens = recorded["b1s9.input_ids"].long()[:, :9]
        with torch.no_grad():
            logits = model(tokens, model.new_cache(1), logits_to_keep=0)
        torch.testing.assert_close(logits, recorded["b1s9.prefill_logits"], rtol=0, atol=1e-4)


def test_wrong_state_dicts_are_refused(tmp_path: Path) -> None:
    spec = ModelSpec(64, 160, 3, 4, 2, vocab_size=199, streams=2, tie_word_embeddings=False)
    state = read_tensors(PARITY / "P2_T48_seed12.weights.safetensors")
    load_state(build(spec), state)
    with pytest.raises(InputError, match="left over: extra"):
        load_state(build(spec), {**state, "extra": torch.zeros(1)})
    with pytest.raises(InputError, match=r"missing: model\.norm\.weight"):
        load_state(build(spec), {k: v for k, v in state.items() if k != "model.norm.weight"})
    with pytest.raises(InputError, match="the model's is"):
        load_state(build(spec), {**state, "model.norm.weight": torch.zeros(3)})
    with pytest.raises(InputError, match="cannot read"):
        load_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(InputError, match="not a JSON object"):
        load_checkpoint(tmp_path)
    (tmp_path / "bad.safetensors").write_bytes(b"\x00" * 10)
    with pytest.raises(InputError, match="cannot read"):
        read_tensors(tmp_path / "bad.safetensors")
