"""Finds and reads the profiles: devices, engines and models, one TOML file each.

They lie in `profiles/` of a checkout, and in `cost_analysis/_profiles` of an installed package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from cost_analysis.errors import LONGEST_PATH, InputError, shown, unknown_name
from cost_analysis.hub_cache import (
    CONFIG,
    cache_folder,
    hub_config,
    is_id,
    is_written_as_path,
    local_config,
)
from cost_analysis.product_rates import ProductRates
from cost_analysis.profile_fields import (
    Table,
    attention_kernels,
    mapping,
    number,
    parse,
    peaks,
    product_rates,
    quantity,
    size,
    spread,
    switch,
    text,
    texts,
    time,
    words,
)
from cost_analysis.spec import ModelSpec
from cost_analysis.system import AttentionKernels, Engine, Hardware

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """An architecture and where its figures come from.

    Attributes:
        name: Profile name.
        description: What people call it.
        source: Where its figures come from.
        spec: The architecture; at P = 1 unless its configuration states streams.
        warning: What one should know who asks for it by this name.
        assumed: What its configuration leaves out, and what transformers takes then.
    """

    name: str
    description: str
    source: str
    spec: ModelSpec
    warning: str = ""
    assumed: Mapping[str, Any] = field(default_factory=dict)


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


def load_model(name: str, *, download: bool = False) -> ModelProfile:
    """A model by its name, an alias, or a file that describes it.

    Args:
        name: A profile or an alias of one; the path of a TOML profile, of a `config.json` or of a
            folder with one; or a Hugging Face id that is in the local cache. A profile's name goes
            before a path that is written like one.
        download: Fetch the `config.json` of an id that is not in the cache.

    Raises:
        InputError: No such model, or a file that does not describe one.
    """
    if is_written_as_path(name):
        path = _expanded(name)
        return _read(path, _model) if name.endswith(".toml") else _configured(path, name)
    known = _known("models", name)
    if known is not None:
        return _read(known, _model)
    if local_config(Path(name)) is not None:
        return _configured(Path(name), name)
    cached = hub_config(name, download=download)
    if cached is None:
        raise _unknown_model(name)
    return _profile_of(cached, name)


def _configured(path: Path, name: str) -> ModelProfile:
    """The model of a configuration, called as its file, or its folder if that is `config.json`."""
    found = local_config(path) or path
    resolved = found.absolute()
    called = resolved.parent.name if found.name == CONFIG else found.stem
    return _profile_of(found, called or name)


def _profile_of(path: Path, name: str) -> ModelProfile:
    # Most estimates read no configuration, and need not import how each kind is read.
    from cost_analysis.model_configs import read_model

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


def aliases(kind: str) -> dict[str, str]:
    """The aliases of the profiles of a kind, in lower case, and the profile that each names."""
    found = {}
    for name in profile_names(kind):
        table = parse(profiles_folder() / kind / f"{name}.toml")
        for alias in table.get("aliases", ()):
            found[str(alias).lower()] = name
    return found


def _find(kind: str, noun: str, name: str) -> Path:
    """The file of a profile: a path if it looks like one, else a name or alias in any case."""
    if is_written_as_path(name):
        return _expanded(name)
    known = _known(kind, name)
    if known is None:
        raise unknown_name(noun, name, {*profile_names(kind), *aliases(kind)})
    return known


def _known(kind: str, name: str) -> Path | None:
    """The file of a profile by its name or an alias, in any case."""
    folder, folded = profiles_folder() / kind, name.strip().lower()
    if folded not in profile_names(kind):
        folded = aliases(kind).get(folded, "")
    return folder / f"{folded}.toml" if folded else None


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # ~somebody whom the system does not know
        raise InputError(f"cannot read profile {shown(name)}: {error}") from None


def _read(path: Path, build: Callable[[Table, str], Callable[[], T]]) -> T:
    """Parse a profile and build what it describes; an error names the file, and the field.

    Args:
        path: The file.
        build: Takes the fields of the table, and returns what makes the result of them.
    """
    table = Table(path, parse(path))
    make = build(table, path.stem)
    table.refuse_the_rest()
    try:
        return make()
    except InputError as error:
        raise InputError(f"profile {shown(str(path), LONGEST_PATH)}: {error}") from None


def _hardware(table: Table, name: str) -> Callable[[], Hardware]:
    return partial(
        Hardware,
        name=name,
        description=table.take("description", text, name),
        vendor=table.take("vendor", text, ""),
        architecture=table.take("architecture", text, ""),
        kind=table.take("kind", text, "gpu"),
        interconnect=table.take("interconnect", quantity("B/s"), None),
        devices_per_node=table.take("devices_per_node", size, None),
        network=table.take("network", quantity("B/s"), None),
        tdp=table.take("tdp", quantity("W"), None),
        sources=table.take("sources", texts, dict[str, str]()),
        **_reached(table),
        memory=table.take("memory", quantity("B")),
        bandwidth=table.take("bandwidth", quantity("B/s")),
        peak=table.take("peak", peaks),
        product_rates=table.take("product_rates", product_rates, dict[str, ProductRates]()),
    )


def _reached(table: Table) -> dict[str, float]:
    """What its kernels reach: as the profile states, else as its generation is known to."""
    generations = _generations()
    words = table.content.get("architecture")
    first = words.split()[0] if isinstance(words, str) and words.strip() else ""
    known = generations.get(first, generations["other"])
    stated = table.take("reached", mapping, dict[str, Any]())
    for name in stated:
        if name not in known:
            raise unknown_name("field", name, known)
    shares = {name: number(stated.get(name, share)) for name, share in known.items()}
    return {f"reached_{name}": share for name, share in shares.items()}


@cache
def _generations() -> dict[str, dict[str, float]]:
    """Shares of the datasheet that the kernels of an architecture generation reach."""
    table = parse(profiles_folder() / "generations.toml")
    return {
        name: {roof: float(row[roof]) for roof in ("flops", "bandwidth")}
        for name, row in table.items()
    }


def _engine(table: Table, name: str) -> Callable[[], Engine]:
    shares = ("elementwise_share", "quantised_flops_share", "quantised_bandwidth_share")
    fields: dict[str, Any] = {field: table.take(field, number, 1.0) for field in shares}
    times = ("kernel_floor", "link_latency", "layer_host_time", "step_host_time")
    fields |= {field: table.take(field, time, 0.0) for field in times}
    fields |= {field: table.take(field, switch, False) for field in ("device_shares", "soft_roofs")}
    return partial(
        Engine,
        name=name,
        description=table.take("description", text, name),
        source=table.take("source", text, ""),
        flops_efficiency=table.take("flops_efficiency", number),
        bandwidth_efficiency=table.take("bandwidth_efficiency", number),
        link_share=table.take("link_share", number, 1.0),
        attention=table.take("attention", attention_kernels, AttentionKernels()),
        engine_class=table.take("engine_class", text, ""),
        words=table.take("words", words, tuple[str, ...]()),
        spread=table.take("spread", spread, None),
        **fields,
    )


def _model(table: Table, name: str) -> Callable[[], ModelProfile]:
    description = table.take("description", text, name)
    source = table.take("source", text, "")
    warning = table.take("warning", text, "")
    if "config" in table.content:
        from cost_analysis.model_configs import model_of

        stated = table.take("config", mapping)
        # TOML has no null, which in a configuration is not the same as left out.
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
