"""The package that has the tables of kernel timings: where it is, and its names of things.

aiconfigurator-core (NVIDIA, Apache-2.0) has them as Parquet files. It is found without importing
it, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cost_analysis.common.errors import LONGEST_PATH, InputError, shown
from cost_analysis.inputs.profiles import profile_path

PACKAGE = "aiconfigurator-core"
"""Name of the package that has the tables."""

LICENCE = "Apache-2.0"
"""Licence of the package and its tables."""

KNOWN_VERSION = "0.12"
"""The version whose layout this module was written for."""

INSTALL = (
    "pip install 'parscale-cost[kernels]' (there are wheels for Linux x86-64, Python 3.11 to 3.13)"
)
"""How to install the tables, for messages."""

DEVICES = {
    "a100-sxm-80gb": "a100_sxm",
    "h100-sxm-80gb": "h100_sxm",
    "h200": "h200_sxm",
    "b200": "b200_sxm",
    "b300": "b300_sxm",
    "gb200": "gb200",
    "gb300": "gb300",
    "l40s": "l40s",
    "rtx-pro-6000": "rtx_pro_6000_server",
    "b60": "b60",
}
"""Our names of devices, and those of the package."""

ENGINES = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "trtllm"}
"""Our names of engines, and those of the package; collectives stand under names of libraries."""


@dataclass(frozen=True, slots=True)
class Library:
    """The installed package.

    Attributes:
        systems: Its folder of tables and descriptions of devices.
        version: Its version.
    """

    systems: Path
    version: str


def find_library(package: Path | None = None) -> Library:
    """The installed tables.

    Args:
        package: Folder of the package; None looks for the one that is installed.

    Raises:
        InputError: It is not installed, or its layout is not known.
    """
    try:
        import_module("pyarrow.parquet")
        import_module("yaml")
    except ImportError as error:
        missing = str(error.name).partition(".")[0]
        raise InputError(
            f"kernel tables need {missing}, which is not installed; {INSTALL}"
        ) from None
    if package is None:
        found = find_spec("aiconfigurator_core")
        if found is None or not found.submodule_search_locations:
            raise InputError(f"kernel tables need {PACKAGE}, which is not installed; {INSTALL}")
        package = Path(found.submodule_search_locations[0])
    # The version of the package that is read, which need not be the one that is installed.
    beside = list(distributions(name=PACKAGE, path=[str(package.parent)]))
    number = beside[0].version if beside else "of unknown version"
    if not (package / "systems" / "data").is_dir():
        raise InputError(
            f"{PACKAGE} {number} has no tables where version {KNOWN_VERSION} has them; "
            f"pip install '{PACKAGE}=={KNOWN_VERSION}.*'"
        )
    return Library(package / "systems", number)


def device_named(name: str) -> str:
    """The package's name of a device, by our name, an alias of its profile, or its own name.

    Raises:
        InputError: There are no tables of it.
    """
    profile = profile_path("hardware", name)
    for each in (name.lower(), profile.stem if profile else ""):
        if each in DEVICES:
            return DEVICES[each]
    if name in DEVICES.values():
        return name
    raise without_tables("device", name, DEVICES)


def engine_named(name: str) -> str:
    """The package's name of an engine.

    Raises:
        InputError: There are no tables of it.
    """
    found = ENGINES.get(name.lower(), name)
    if found not in {*ENGINES.values(), "nccl", "oneccl"}:
        raise without_tables("engine", name, ENGINES)
    return found


def without_tables(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for something of which there are no tables, with the nearest names that have some.

    Args:
        kind: What it is, e.g. "device".
        name: What was asked for.
        known: Everything of the kind that has tables.
    """
    import difflib  # only an error needs it

    names = sorted(known)
    near = difflib.get_close_matches(name.lower()[:60], names, n=2, cutoff=0.4)
    hint = f"; the nearest is {' or '.join(near)}" if near else ""
    return InputError(
        f"no kernel tables of {kind} {shown(name)}{hint}; there are some of {', '.join(names)}"
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file of the package holds.

    Raises:
        InputError: It is damaged.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(path.read_bytes(), loader)
    except (OSError, yaml.YAMLError):
        content = None
    if not isinstance(content, dict):
        raise damaged(path)
    return content


def damaged(path: Path) -> InputError:
    """The error for a file of the package that is damaged."""
    return InputError(
        f"{shown(str(path), LONGEST_PATH)} is damaged; "
        f"pip install --force-reinstall --no-deps {PACKAGE}"
    )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn errors of reading a Parquet file into one of ours.

    Raises:
        InputError: The file is damaged or cannot be read.
    """
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException):
        raise damaged(path) from None
