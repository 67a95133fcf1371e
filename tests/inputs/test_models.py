"""Models by name, by file and by Hugging Face id."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from cost_analysis import InputError, load_model
from cost_analysis.inputs import models
from cost_analysis.inputs.profiles import profile_names
from tests.helpers.cases import CONFIGS, configuration
from tests.helpers.program import process

LLAMA = configuration("llama-3.2-1b")
MIXTRAL = configuration("mixtral-8x7b")
GEMMA = configuration("gemma-2-2b")
ALIKE = {path.stem for path in CONFIGS.glob("*.json")} & set(profile_names("models"))


def test_paths_without_a_file(tmp_path: Path, refusal: Callable[..., str]) -> None:
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


def test_a_folder_with_a_configuration(
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


def test_only_json_is_opened(tmp_path: Path, record: Callable[..., Any]) -> None:
    """Code and pickled weights of a repository are not opened."""
    content = json.dumps(LLAMA | {"auto_map": {"AutoConfig": "evil.C"}})
    folder = make(tmp_path / "m", content.encode())
    (folder / "evil.py").write_text("raise SystemExit('executed')")
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert record("--model", str(folder))["parameters"]["total"] == 1_235_814_400


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
        """Log nothing."""


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


class ValidationError(ValueError):
    """As huggingface_hub raises it for a name that is not an id."""


class HttpError(OSError):
    """As huggingface_hub raises it for a file that it does not get."""


def hub(**functions: Callable[..., Any]) -> Callable[[], Any]:
    errors = SimpleNamespace(HFValidationError=ValidationError, HfHubHTTPError=HttpError)
    return lambda: SimpleNamespace(errors=errors, **functions)


def raising(error: Exception) -> Callable[..., Any]:
    def function(*_: object) -> None:
        raise error

    return function


@pytest.mark.parametrize("error", [ValidationError("no id"), OSError("disk")])
def test_an_unreadable_cache_counts_as_empty(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_hub", hub(try_to_load_from_cache=raising(error)))
    assert models.hub_config("somebody/something") is None
    assert models.hub_config("no id at all") is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HttpError("404 Client Error\nmore of it"), "404 Client Error"),
        (ValueError(""), "ValueError"),
        (OSError("x" * 1000), "x" * 200),
    ],
)
def test_a_download_that_fails_is_one_sentence(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = {"try_to_load_from_cache": lambda *_: None, "hf_hub_download": raising(error)}
    monkeypatch.setattr(models, "_hub", hub(**functions))
    with pytest.raises(InputError) as caught:
        models.hub_config("somebody/something", download=True)
    assert str(caught.value) == (f"cannot download config.json of 'somebody/something': {reason}")


def test_what_is_downloaded_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    functions = {
        "try_to_load_from_cache": lambda *_: None,
        "hf_hub_download": lambda *_: str(tmp_path / "config.json"),
    }
    monkeypatch.setattr(models, "_hub", hub(**functions))
    assert load_model("somebody/llama", download=True).spec.name == "somebody/llama"
