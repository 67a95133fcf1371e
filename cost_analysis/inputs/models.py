"""A model by name: a profile, a `config.json`, or an id in the Hugging Face cache.

Only JSON is read: no code of a repository runs, and no weights are opened. The cache is only read,
unless a download is asked for, and then `config.json` alone is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cost_analysis.common.errors import LONGEST_PATH, InputError, shown, unknown_name
from cost_analysis.common.files import Table, mapping, size, switch, text
from cost_analysis.inputs.profiles import (
    aliases,
    expanded_path,
    is_written_as_path,
    profile_names,
    profile_path,
    read_profile,
)
from cost_analysis.inputs.spec import ModelSpec

CONFIG = "config.json"

_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
"""Hugging Face ids: owner/name."""


def is_id(name: str) -> bool:
    """Whether a name can be a Hugging Face id."""
    return _ID.fullmatch(name) is not None


def local_config(path: Path) -> Path | None:
    """The configuration at a path: the file itself or that of a folder; None if there is neither.

    Raises:
        InputError: A folder without one.
    """
    try:
        is_folder = path.is_dir()
        found = path / CONFIG if is_folder else path
        exists = found.exists()
    except (OSError, ValueError):  # a name that no file can have
        return None
    if is_folder and not exists:
        raise InputError(f"folder {shown(str(path), LONGEST_PATH)} holds no {CONFIG}")
    return found if exists else None


def hub_config(name: str, *, download: bool = False) -> Path | None:
    """The configuration of a Hugging Face id that is in the cache, or is fetched to it.

    Args:
        name: What may be an id.
        download: Fetch `config.json` from the hub where the cache lacks it.

    Returns:
        Its path; None if the name is not an id, or is not in the cache.

    Raises:
        InputError: It cannot be fetched, or huggingface_hub is not installed.
    """
    if not is_id(name):
        return None
    hub = _hub()
    try:
        cached = hub.try_to_load_from_cache(name, CONFIG)
    except (hub.errors.HFValidationError, OSError):
        return None
    if isinstance(cached, str):
        return Path(cached)
    return _downloaded(hub, name) if download else None


def _downloaded(hub: Any, name: str) -> Path:
    try:
        return Path(hub.hf_hub_download(name, CONFIG))
    except (hub.errors.HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"cannot download {CONFIG} of {shown(name)}: {reason[0][:200]}") from None


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise InputError(
            "a Hugging Face id needs huggingface_hub: pip install 'parscale-cost[hub]'; or give "
            f"the path of its {CONFIG}"
        ) from None
    return huggingface_hub


def cache_folder() -> str:
    """The folder of the cache, for messages."""
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """An architecture and where its figures come from.

    Attributes:
        name: Profile name.
        description: Its usual name.
        source: Where its figures come from.
        spec: The architecture; at P = 1 unless its configuration states streams.
        warning: What a user of this name should know.
        assumed: Fields that its configuration leaves out, with the values that transformers takes.
    """

    name: str
    description: str
    source: str
    spec: ModelSpec
    warning: str = ""
    assumed: Mapping[str, Any] = field(default_factory=dict)


def load_model(name: str, *, download: bool = False) -> ModelProfile:
    """A model by its name, an alias, or a file that describes it.

    Args:
        name: A profile or an alias of one; the path of a TOML profile, of a `config.json` or of a
            folder with one; or a Hugging Face id that is in the local cache. A profile's name takes
            precedence over a path that is written in the same way.
        download: Fetch the `config.json` of an id that is not in the cache.

    Raises:
        InputError: No such model, or a file that does not describe one.
    """
    if is_written_as_path(name):
        path = expanded_path(name)
        return read_profile(path, _model) if name.endswith(".toml") else _configured(path, name)
    known = profile_path("models", name)
    if known is not None:
        return read_profile(known, _model)
    if local_config(Path(name)) is not None:
        return _configured(Path(name), name)
    cached = hub_config(name, download=download)
    if cached is None:
        raise _unknown_model(name)
    return _profile_of(cached, name)


def _configured(path: Path, name: str) -> ModelProfile:
    """The model of a configuration, named after its file, or after its folder for `config.json`."""
    found = local_config(path) or path
    resolved = found.absolute()
    called = resolved.parent.name if found.name == CONFIG else found.stem
    return _profile_of(found, called or name)


def _profile_of(path: Path, name: str) -> ModelProfile:
    # Most estimates read no configuration and do not need to import the readers.
    from cost_analysis.inputs.configurations import read_model

    found = read_model(path, name)
    return ModelProfile(
        name=name,
        description=f"{name} ({found.architecture})",
        source=str(path),
        spec=found.spec,
        warning="; ".join(found.remarks),
        assumed=found.assumed,
    )


def _unknown_model(name: str) -> InputError:
    error = unknown_name("model", name, {*profile_names("models"), *aliases("models")})
    if not is_id(name):
        return error
    return InputError(
        f"{error}; it is neither a path nor a Hugging Face id in the cache "
        f"({cache_folder()}); --download fetches an id"
    )


def _model(table: Table, name: str) -> Callable[[], ModelProfile]:
    description = table.take("description", text, name)
    source = table.take("source", text, "")
    warning = table.take("warning", text, "")
    if "config" in table.content:
        from cost_analysis.inputs.configurations import model_of

        stated = table.take("config", mapping)
        # TOML has no null, which in a configuration differs from a field that is left out.
        config = {name: None if value == "null" else value for name, value in stated.items()}
        return lambda: ModelProfile(
            name, description, source, model_of(config, "config", name).spec, warning
        )
    fields: dict[str, Any] = {
        field: table.take(field, switch, field == "gated_mlp")
        for field in ("gated_mlp", "qkv_bias", "qk_norm", "tie_word_embeddings")
    }
    fields |= {field: table.take(field, size) for field in _MODEL_SIZES}
    return lambda: ModelProfile(name, description, source, ModelSpec(name=name, **fields), warning)


_MODEL_SIZES = (
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "hidden_size",
)
