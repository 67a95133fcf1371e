"""Finds and reads the profiles: devices, engines and models, one TOML file each.

They lie in `profiles/` of a checkout, and in `cost_analysis/_profiles` of an installed package.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from cost_analysis.errors import LONGEST_PATH, InputError, shown, unknown_name
from cost_analysis.spec import ModelSpec
from cost_analysis.system import AttentionKernels, Engine, Hardware, Spread
from cost_analysis.units import DTYPES, parse_quantity

T = TypeVar("T")

LARGEST_FILE = 1_000_000
"""A profile is a page of text; a larger file is not one [B]."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """An architecture and where its figures come from.

    Attributes:
        name: Profile name.
        description: What people call it.
        source: Where its figures come from.
        spec: The architecture at P = 1.
        warning: What one should know who asks for it by this name.
    """

    name: str
    description: str
    source: str
    spec: ModelSpec
    warning: str = ""


@cache
def profiles_folder() -> Path:
    """The folder of the profiles that come with the package."""
    package = Path(__file__).parent
    installed = package / "_profiles"
    return installed if installed.is_dir() else package.parent / "profiles"


def profile_names(kind: str) -> list[str]:
    """Names of the profiles of a kind: "hardware", "engines" or "models"."""
    return sorted(path.stem for path in (profiles_folder() / kind).glob("*.toml"))


def load_hardware(name: str) -> Hardware:
    """A device by its name, an alias, or the path of a TOML file.

    Raises:
        InputError: No such device, or a file that does not describe one.
    """
    path = _find("hardware", "device", name)
    return _read(path, _hardware)


def load_engine(name: str) -> Engine:
    """An engine by its name, an alias, or the path of a TOML file.

    Raises:
        InputError: No such engine, or a file that does not describe one.
    """
    return _read(_find("engines", "engine", name), _engine)


def load_model(name: str) -> ModelProfile:
    """A model by its name, an alias, or the path of a TOML file.

    Raises:
        InputError: No such model, or a file that does not describe one.
    """
    return _read(_find("models", "model", name), _model)


def aliases(kind: str) -> dict[str, str]:
    """Every other name of the profiles of a kind, in lower case, and the profile it stands for."""
    found = {}
    for name in profile_names(kind):
        table = _parse(profiles_folder() / kind / f"{name}.toml")
        for alias in table.get("aliases", ()):
            found[str(alias).lower()] = name
    return found


def _find(kind: str, noun: str, name: str) -> Path:
    """The file of a profile: a path if it looks like one, else a name or alias in any case."""
    if name.endswith(".toml") or "\\" in name or name.startswith((".", "/", "~")):
        return _expanded(name)
    folder, folded = profiles_folder() / kind, name.strip().lower()
    names = profile_names(kind)
    if folded in names:
        return folder / f"{folded}.toml"
    known = aliases(kind)
    if folded in known:
        return folder / f"{known[folded]}.toml"
    raise unknown_name(noun, name, {*names, *known})


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # ~somebody whom the system does not know
        raise InputError(f"cannot read profile {shown(name)}: {error}") from None


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot read profile {shown(str(path), LONGEST_PATH)}: {reason}"
        ) from None
    if len(text) > LARGEST_FILE:
        raise InputError(
            f"profile {shown(str(path), LONGEST_PATH)} is larger than {LARGEST_FILE} bytes"
        )
    try:
        return tomllib.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"profile {shown(str(path), LONGEST_PATH)} is not TOML: {error}") from None


class _Table:
    """A TOML table whose fields are taken one by one, so that what is left over is a mistake."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self.content = content
        self.taken: set[str] = {"aliases"}

    def take(self, field: str, convert: Callable[[Any], T], *default: T) -> T:
        """The converted value of a field, or its default; without a default it must be there."""
        self.taken.add(field)
        try:
            if field in self.content:
                return convert(self.content[field])
            if default:
                return default[0]
            raise InputError("is missing")
        except InputError as error:
            raise InputError(
                f"profile {shown(str(self.path), LONGEST_PATH)}, field {field!r}: {error}"
            ) from None

    def refuse_the_rest(self) -> None:
        """Refuse fields that nobody took, with the nearest that exist."""
        for field in self.content:
            if field not in self.taken:
                error = unknown_name("field", field, self.taken - {"aliases"})
                raise InputError(f"profile {shown(str(self.path), LONGEST_PATH)}: {error}")


def _read(path: Path, build: Callable[[_Table, str], Callable[[], T]]) -> T:
    """Parse a profile and build what it describes; an error names the file, and the field.

    Args:
        path: The file.
        build: Takes the fields of the table, and returns what makes the result of them.
    """
    table = _Table(path, _parse(path))
    make = build(table, path.stem)
    table.refuse_the_rest()
    try:
        return make()
    except InputError as error:
        raise InputError(f"profile {shown(str(path), LONGEST_PATH)}: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{shown(value)} must be text in quotes")
    return " ".join(value.split())


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise InputError(f"{shown(value)} must be a table of texts")
    return {str(key): _text(item) for key, item in value.items()}


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{shown(value)} must be a table")
    return dict(value)


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InputError(f"{shown(value)} must be a list of texts")
    return tuple(_text(item) for item in value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{shown(value)} must be true or false")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise InputError(f"{shown(value)} must be a number")
    return float(value)


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{shown(value)} must be a whole number")
    return value


def _quantity(unit: str) -> Callable[[Any], float]:
    return lambda value: parse_quantity(value, unit)


def _time(value: Any) -> float:
    """A time that may be nothing."""
    nothing = value == 0 and not isinstance(value, bool)
    return 0.0 if nothing else parse_quantity(value, "s")


def _peaks(value: Any) -> dict[str, float]:
    peaks = {}
    for dtype, text in _texts(value).items():
        if dtype not in DTYPES:
            raise unknown_name("data type", dtype, DTYPES)
        peaks[dtype] = parse_quantity(text, "FLOP/s")
    return peaks


def _hardware(table: _Table, name: str) -> Callable[[], Hardware]:
    return partial(
        Hardware,
        name=name,
        description=table.take("description", _text, name),
        vendor=table.take("vendor", _text, ""),
        architecture=table.take("architecture", _text, ""),
        kind=table.take("kind", _text, "gpu"),
        interconnect=table.take("interconnect", _quantity("B/s"), None),
        tdp=table.take("tdp", _quantity("W"), None),
        sources=table.take("sources", _texts, dict[str, str]()),
        **_reached(table),
        memory=table.take("memory", _quantity("B")),
        bandwidth=table.take("bandwidth", _quantity("B/s")),
        peak=table.take("peak", _peaks),
    )


def _reached(table: _Table) -> dict[str, float]:
    """What its kernels reach: as the profile states, else as its generation is known to."""
    generations = _generations()
    words = table.content.get("architecture")
    first = words.split()[0] if isinstance(words, str) and words.strip() else ""
    known = generations.get(first, generations["other"])
    stated = table.take("reached", _mapping, dict[str, Any]())
    for name in stated:
        if name not in known:
            raise unknown_name("field", name, known)
    shares = {name: _number(stated.get(name, share)) for name, share in known.items()}
    return {f"reached_{name}": share for name, share in shares.items()}


@cache
def _generations() -> dict[str, dict[str, float]]:
    """Shares of the datasheet that the kernels of an architecture generation reach."""
    table = _parse(profiles_folder() / "generations.toml")
    return {
        name: {roof: float(row[roof]) for roof in ("flops", "bandwidth")}
        for name, row in table.items()
    }


def _engine(table: _Table, name: str) -> Callable[[], Engine]:
    shares = ("elementwise_share", "quantised_flops_share", "quantised_bandwidth_share")
    fields: dict[str, Any] = {field: table.take(field, _number, 1.0) for field in shares}
    times = ("kernel_floor", "link_latency", "layer_host_time", "step_host_time")
    fields |= {field: table.take(field, _time, 0.0) for field in times}
    fields |= {
        field: table.take(field, _switch, False) for field in ("device_shares", "soft_roofs")
    }
    return partial(
        Engine,
        name=name,
        description=table.take("description", _text, name),
        source=table.take("source", _text, ""),
        flops_efficiency=table.take("flops_efficiency", _number),
        bandwidth_efficiency=table.take("bandwidth_efficiency", _number),
        link_share=table.take("link_share", _number, 1.0),
        attention=table.take("attention", _attention_kernels, AttentionKernels()),
        engine_class=table.take("engine_class", _text, ""),
        words=table.take("words", _words, tuple[str, ...]()),
        spread=table.take("spread", _spread, None),
        **fields,
    )


def _attention_kernels(value: Any) -> AttentionKernels:
    content = _mapping(value)
    times = {name: _time(content.pop(name)) for name in ("floor",) if name in content}
    _check_known(content, AttentionKernels)
    return AttentionKernels(**times, **{name: _number(item) for name, item in content.items()})


def _spread(value: Any) -> Spread | None:
    content = _mapping(value)
    devices = _words(content.pop("devices", []))
    _check_known(content, Spread)
    numbers = {name: _number(item) for name, item in content.items()}
    return Spread(**numbers, devices=devices)


def _check_known(content: Mapping[str, Any], kind: type) -> None:
    known = [item.name for item in dataclass_fields(kind)]
    for name in content:
        if name not in known:
            raise unknown_name("field", name, known)


def _model(table: _Table, name: str) -> Callable[[], ModelProfile]:
    description = table.take("description", _text, name)
    source = table.take("source", _text, "")
    fields: dict[str, Any] = {
        field: table.take(field, _switch, field == "gated_mlp")
        for field in ("gated_mlp", "qkv_bias", "qk_norm", "tie_word_embeddings")
    }
    fields |= {field: table.take(field, _size) for field in _MODEL_SIZES}
    warning = table.take("warning", _text, "")
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
