"""Where the `config.json` of a model lies: a file, a folder, or the Hugging Face cache.

The cache is only read, unless a download is asked for, and then `config.json` alone is fetched.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cost_analysis.errors import LONGEST_PATH, InputError, shown

CONFIG = "config.json"

_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
"""Hugging Face ids: owner/name."""


def is_written_as_path(name: str) -> bool:
    """Whether a name is always taken for a path."""
    return name.endswith((".json", ".toml")) or "\\" in name or name.startswith((".", "/", "~"))


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
    """Where the cache is, for messages."""
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)
