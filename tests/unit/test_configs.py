"""Configurations: what they are read as, and the sentence with which each bad one is refused."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from conftest import DATA, process

from cost_analysis import InputError, ModelSpec, load_model, parameters
from cost_analysis.files import LARGEST_FILE
from cost_analysis.layers import Attention, Experts, LatentAttention, LayerGroup, Mlp
from cost_analysis.model_configs import ARCHITECTURES, model_of
from cost_analysis.parameters import active_parameters
from cost_analysis.profiles import profile_names

CONFIGS = DATA / "configs"

LLAMA = json.loads((CONFIGS / "llama-3.2-1b.json").read_text())
MIXTRAL = json.loads((CONFIGS / "mixtral-8x7b.json").read_text())
GEMMA = json.loads((CONFIGS / "gemma-2-2b.json").read_text())
DEEPSEEK = json.loads((CONFIGS / "deepseek-v3.json").read_text())
OPT = json.loads((CONFIGS / "opt-125m.json").read_text())


def published(name: str) -> ModelSpec:
    return load_model(str(CONFIGS / f"{name}.json")).spec


ALIKE = {path.stem for path in CONFIGS.glob("*.json")} & set(profile_names("models"))


@pytest.mark.parametrize(
    ("config", "profile"),
    [("mistral-7b-v0.3", "mistral-7b"), *((name, name) for name in sorted(ALIKE - {"qwen3-8b"}))],
)
def test_a_configuration_is_its_profile(config: str, profile: str) -> None:
    assert replace(published(config), name=profile) == load_model(profile).spec


def test_a_parscale_checkpoint_has_its_streams() -> None:
    spec = published("parscale-1.8b-p8")
    profile = load_model("ParScale-1.8B").spec
    assert spec == replace(profile, streams=8, name=spec.name)


def test_kinds_of_layers() -> None:
    gemma, oss = published("gemma-3-1b"), published("gpt-oss-20b")
    assert [(group.count, group.attention.window) for group in gemma.groups] == [
        (22, 512),
        (4, None),
    ]
    assert [group.count for group in oss.groups] == [12, 12]
    dense, sparse = published("deepseek-v3").groups
    assert (dense.count, sparse.count) == (3, 58)
    assert isinstance(dense.attention, LatentAttention)
    assert isinstance(dense.mlp, Mlp)
    assert sparse.mlp == Experts(256, 8, width=2048, shared_width=2048)


def test_active_parameters() -> None:
    """A hand count: of eight experts of Mixtral two are passed."""
    spec = published("mixtral-8x7b")
    resting = 32 * 6 * 3 * 4096 * 14336
    assert active_parameters(spec) == parameters(spec).total - resting == 12_879_925_248
    assert active_parameters(published("gpt2")) == 124_439_808


def test_sizes_that_a_flag_changes_reach_every_layer() -> None:
    spec = replace(published("deepseek-v3"), num_hidden_layers=10)
    assert [group.count for group in spec.groups] == [3, 7]
    wider = replace(published("mixtral-8x7b"), intermediate_size=2 * 14336)
    assert parameters(wider).mlp == 2 * parameters(published("mixtral-8x7b")).mlp
    with pytest.raises(InputError, match="num_hidden_layers is 30, but its 2 kinds"):
        replace(published("gemma-2-2b"), num_hidden_layers=30)
    with pytest.raises(InputError, match="num_hidden_layers is 3, but"):
        replace(published("deepseek-v3"), num_hidden_layers=3)


def test_no_more_than_one_kind_takes_the_rest() -> None:
    with pytest.raises(InputError, match="kinds of layers"):
        ModelSpec(64, 64, 4, 4, layers=(LayerGroup(), LayerGroup(Attention(window=5))))


def changed(base: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A configuration with other fields; those that are `...` are left out."""
    return {name: value for name, value in (base | fields).items() if value is not ...}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (changed(LLAMA, model_type=...), "model_type is missing"),
        (changed(LLAMA, model_type="mamba2"), "unknown architecture 'mamba2'"),
        (changed(LLAMA, model_type="lama"), "did you mean llama"),
        (changed(LLAMA, model_type=["llama"]), "unknown architecture"),
        (changed(LLAMA, architectures=["LlamaForSequenceClassification"]), "architectures is"),
        (changed(LLAMA, architectures="LlamaForCausalLM"), "architectures is"),
        (changed(LLAMA, hidden_size=...), "hidden_size is missing"),
        (changed(LLAMA, vocab_size=...), "vocab_size is missing"),
        (changed(LLAMA, intermediate_size=None), "intermediate_size is missing"),
        (changed(LLAMA, hidden_size=-5), "hidden_size is -5; it must be a whole number"),
        (changed(LLAMA, hidden_size=0), "hidden_size is 0; it must be a whole number"),
        (changed(LLAMA, hidden_size=10**30), "hidden_size is far too large"),
        (changed(LLAMA, hidden_size=1e300), "hidden_size is far too large"),
        (changed(LLAMA, hidden_size=2048.5), "hidden_size is 2048.5"),
        (changed(LLAMA, hidden_size="2048"), "hidden_size is '2048'"),
        (changed(LLAMA, hidden_size=True), "hidden_size is True"),
        (changed(LLAMA, hidden_size=[2048]), "hidden_size is [2048]"),
        (changed(LLAMA, num_hidden_layers=2**31 - 1), "it must be at most 10000"),
        (changed(LLAMA, tie_word_embeddings="yes"), "tie_word_embeddings is 'yes'"),
        (changed(LLAMA, num_key_value_heads=7), "num_attention_heads must be divisible by"),
        (changed(LLAMA, num_attention_heads=31, head_dim=...), "or head_dim be given: 2048 / 31"),
        (changed(LLAMA, sliding_window=4096), "sliding_window is 4096, which is not supported"),
        (changed(GEMMA, layer_types=["full_attention"]), "layer_types names 1 layers"),
        (changed(GEMMA, layer_types=["mamba"] * 26), "layer_types holds 'mamba'"),
        (changed(GEMMA, layer_types="sliding"), "layer_types is 'sliding'; it must be a list"),
        (changed(GEMMA, sliding_window=None), "sliding_window is missing"),
        (changed(GEMMA, sliding_window=1), "sliding_window is 1; it must be"),
        (changed(MIXTRAL, num_experts_per_tok=9), "9 experts for each token"),
        (changed(MIXTRAL, num_local_experts=...), "num_local_experts is missing"),
        (changed(DEEPSEEK, num_key_value_heads=8), "num_key_value_heads is 8, but latent"),
        (changed(DEEPSEEK, moe_layer_freq=2), "moe_layer_freq is 2, which is not supported"),
        (changed(OPT, word_embed_proj_dim=512), "word_embed_proj_dim is 512"),
        (changed(OPT, do_layer_norm_before=False), "do_layer_norm_before is False"),
        ({"model_type": "gemma3"}, "text_config is None; it must be an object"),
    ],
)
def test_refusals(content: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        model_of(content, "the configuration")
    message = str(error.value)
    assert sentence in message
    assert message.startswith("the configuration")
    assert len(message) < 500
    assert "\n" not in message


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_an_empty_configuration_lacks_something(kind: str) -> None:
    with pytest.raises(InputError, match="is missing"):
        model_of({"model_type": kind}, "the configuration")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("hello", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"hidden_size": NaN}', "NaN is not a number"),
        ('{"hidden_size": -Infinity}', "-Infinity is not a number"),
        (f'{{"hidden_size": {"9" * 5000}}}', "is not JSON"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ("[1, 2]", "is not a JSON object"),
        ("null", "is not a JSON object"),
        ("{}", "model_type is missing"),
        (" " * (LARGEST_FILE + 1), "is larger than"),
        ("\ufeff" + json.dumps(LLAMA | {"hidden_size": -1}), "hidden_size is -1"),
    ],
)
def test_files_that_are_no_configuration(
    text: str, sentence: str, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    assert sentence in refusal("--model", str(tmp_path))
    assert sentence in refusal("--model", str(file))


def test_a_file_of_a_terabyte_is_not_read(tmp_path: Path, refusal: Callable[..., str]) -> None:
    file = tmp_path / "config.json"
    with file.open("wb") as opened:
        opened.truncate(2**40)
    assert "is larger than" in refusal("--model", str(file))


def test_paths_that_lead_nowhere(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "holds no config.json" in refusal("--model", str(tmp_path))
    assert "No such file" in refusal("--model", str(tmp_path / "config.json"))
    assert "unknown model" in refusal("--model", "no-such-folder")
    assert "is not UTF-8 text" in refusal("--model", str(make(tmp_path / "b", b"\xff\xfe\x00")))


def make(folder: Path, content: bytes) -> Path:
    folder.mkdir()
    (folder / "config.json").write_bytes(content)
    return folder


def cached(home: Path, name: str, content: dict[str, Any]) -> None:
    """A configuration as huggingface_hub lays out its cache."""
    folder = home / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123abcd")
    (snapshot / "config.json").write_text(json.dumps(content))


def test_ids_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Callable[..., Any],
    refusal: Callable[..., str],
) -> None:  # fmt: skip
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    cached(tmp_path, "somebody/mixtral-copy", MIXTRAL)
    answered = record("--model", "somebody/mixtral-copy", "--P", "4")
    assert answered["parameters"]["total"] > 46_702_792_704
    assert answered["model"]["name"] == "somebody/mixtral-copy"
    assert "nor a Hugging Face id in the cache" in refusal("--model", "somebody/else")
    cached(tmp_path, "somebody/broken", {"model_type": "llama"})
    assert "is missing" in refusal("--model", "somebody/broken")


def test_ids_without_the_library(
    monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install 'parscale-cost[hub]'" in refusal("--model", "somebody/else")
    assert "unknown model 'a/b/c'" in refusal("--model", "a/b/c")
    assert "unknown model 'x" in refusal("--model", "x" * 5000)
    assert "cannot read" in refusal("--model", str(tmp_path / ("x" * 5000 + ".json")))
    assert "is larger than" in refusal("--model", "/dev/zero")


def test_a_folder_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[..., str],
    record: Callable[..., Any],
) -> None:  # fmt: skip
    make(tmp_path / "my-gemma", json.dumps(GEMMA).encode())
    monkeypatch.chdir(tmp_path)
    named = record("--model", "my-gemma")
    assert named == record("--model", "my-gemma/config.json") == record("--model", "./my-gemma")
    assert named["model"]["layers"] == (
        "13 x attention to the last 4096 + MLP, 13 x attention + MLP"
    )
    assert named["assumed"] == {"engine": "graphs"}
    text = answer("--model", "my-gemma", "--P", "2")
    assert text.startswith("my-gemma (gemma2), P = 2")
    assert "attention in 4096" in text
    assert "2,614,341,888" in answer("models", "my-gemma")


def test_what_a_configuration_leaves_out_is_said(
    tmp_path: Path, record: Callable[..., Any], answer: Callable[..., str]
) -> None:
    left_out = changed(GEMMA, head_dim=..., num_key_value_heads=...)
    folder = make(tmp_path / "left-out", json.dumps(left_out).encode())
    assumed = record("--model", str(folder), "--num_key_value_heads", "8")["assumed"]
    assert assumed == {"head_dim": 256, "engine": "graphs"}
    assert "assumed: num_key_value_heads = 4" in answer("--model", str(folder))


def test_only_json_is_opened(tmp_path: Path, record: Callable[..., Any]) -> None:
    """A repository may bring code and pickled weights: neither is looked at."""
    content = json.dumps(changed(LLAMA, auto_map={"AutoConfig": "evil.C"}))
    folder = make(tmp_path / "m", content.encode())
    (folder / "evil.py").write_text("raise SystemExit('executed')")
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert record("--model", str(folder))["parameters"]["total"] == 1_235_814_400


def test_streams_show_in_the_traffic_of_experts(record: Callable[..., Any]) -> None:
    """One token of one stream reads two experts of eight; eight streams nearly all."""
    file = str(CONFIGS / "mixtral-8x7b.json")

    def read(streams: int) -> float:
        rows = record("--model", file, "--P", str(streams), "--output_length", "2")["operators"]
        (up,) = [
            row["bytes"]
            for row in rows
            if row["operator"] == "experts: gate, up" and row["phase"] == "decode"
        ]
        return float(up)

    one = 32 * 2 * 4096 * 2 * 14336
    assert read(1) == pytest.approx(2 * one, rel=0.001)
    assert read(8) == pytest.approx(8 * (1 - 0.75**8) * one, rel=0.001)


def test_the_published_cost_model_refuses_other_layers(refusal: Callable[..., str]) -> None:
    asked = ("--model", str(CONFIGS / "mixtral-8x7b.json"), "--cost_model", "published")
    assert "32 x attention + 2 of 8 experts" in refusal(*asked)


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for one file of one repository."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        body = json.dumps(MIXTRAL).encode()
        known = self.path.startswith("/somebody/mixtral/resolve/main/config.json")
        self.send_response(200 if known else 404)
        self.send_header("ETag", '"0123"')
        self.send_header("X-Repo-Commit", "0123456789abcdef0123456789abcdef01234567")
        self.send_header("Content-Length", str(len(body) if known else 0))
        self.end_headers()
        if with_body and known:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_download_fetches_the_configuration_alone(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    home = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(tmp_path)}
    asked = ("--model", "somebody/mixtral", "--format", "json")
    offline = process(*asked, env=home)
    fetched = process(*asked, "--download", env=home)
    unknown = process("--model", "somebody/else", "--download", env=home)
    server.shutdown()
    server.server_close()
    again = process(*asked, env=home)
    assert offline.returncode == unknown.returncode == 2
    assert "--download fetches an id" in offline.stderr
    assert "cannot download config.json of 'somebody/else'" in unknown.stderr
    assert fetched.returncode == 0, fetched.stderr
    assert fetched.stdout == again.stdout
    files = [path.name for path in tmp_path.rglob("snapshots/*/*")]
    assert files == ["config.json"]


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.json")))
def test_answers_fit_a_terminal(name: str, answer: Callable[..., str]) -> None:
    """No name of an operator is broken into two lines."""
    file = str(CONFIGS / f"{name}.json")
    text = answer("--model", file, "--P", "4", "--gpu_config", "b200")
    assert max(map(len, text.splitlines())) <= 80
    decode = text.split("Decode: all steps\n")[1].split("\n\n")[0]
    assert all(len(line.split("  ")) > 3 for line in decode.splitlines())
