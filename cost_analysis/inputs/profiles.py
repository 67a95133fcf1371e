"""Profiles of devices, engines and models: one TOML file each, found by name and read.

They are in `profiles/` of a checkout, and in `cost_analysis/_profiles` of an installed package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cost_analysis.common.errors import LONGEST_PATH, InputError, shown, unknown_name
from cost_analysis.common.files import (
    Table,
    check_known,
    mapping,
    number,
    parse,
    quantity,
    size,
    switch,
    text,
    texts,
    time,
    words,
)
from cost_analysis.common.units import parse_quantity
from cost_analysis.inputs.device import Hardware, ProductRates
from cost_analysis.inputs.dtypes import WIDER
from cost_analysis.inputs.engine import (
    ENGINE_SHARES,
    ENGINE_TIMES,
    WIDENINGS,
    AttentionKernels,
    Engine,
    KernelSources,
    Spread,
)

if TYPE_CHECKING:
    from tomlkit.items import Item
    from tomlkit.items import Table as TomlTable


def peaks(value: object) -> dict[str, float]:
    """Peaks by data type [FLOP/s]."""
    peaks = {}
    for dtype, rate in texts(value).items():
        if dtype not in WIDER:
            raise unknown_name("data type", dtype, WIDER)
        peaks[dtype] = parse_quantity(rate, "FLOP/s")
    return peaks


def product_rates(value: object) -> dict[str, ProductRates]:
    """Measured products by data type."""
    found = {}
    for dtype, measured in mapping(value).items():
        if dtype not in WIDER:
            raise unknown_name("data type", dtype, WIDER)
        columns = measured if isinstance(measured, Mapping) else {}
        whole = {"rows", "rates", "starts"} == set(columns)
        if not whole or not all(isinstance(values, list) for values in columns.values()):
            raise InputError(f"{dtype} must have lists 'rows', 'rates' and 'starts'")
        found[dtype] = ProductRates(
            tuple(map(number, columns["rows"])),
            tuple(map(quantity("B/s"), columns["rates"])),
            tuple(map(time, columns["starts"])),
        )
    return found


def attention_kernels(value: object) -> AttentionKernels:
    """The table of an engine's attention kernels."""
    content = mapping(value)
    times = {name: time(content.pop(name)) for name in ("floor",) if name in content}
    check_known(content, AttentionKernels)
    return AttentionKernels(**times, **{name: number(item) for name, item in content.items()})


def kernel_sources(value: object) -> KernelSources:
    """The table of the measured kernels that an engine runs."""
    content = texts(value)
    check_known(content, KernelSources)
    return KernelSources(**content)


def spread(value: object) -> Spread | None:
    """The table of an engine's spread."""
    content = mapping(value)
    devices, of_class = words(content.pop("devices", [])), switch(content.pop("of_class", False))
    check_known(content, Spread)
    numbers = {name: number(item) for name, item in content.items()}
    return Spread(**numbers, devices=devices, of_class=of_class)


def is_written_as_path(name: str) -> bool:
    """Whether a name is always taken as a path."""
    return name.endswith((".json", ".toml")) or "\\" in name or name.startswith((".", "/", "~"))


T = TypeVar("T")


@cache
def profiles_folder() -> Path:
    """The folder of the profiles that come with the package."""
    package = Path(__file__).parents[1]
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
    return read_profile(path, _hardware)


def load_engine(name: str) -> Engine:
    """An engine by its name, an alias, or the path of a TOML file.

    One without a spread of its own has that of its class.

    Raises:
        InputError: No such engine, or a file that does not describe one.
    """
    engine = read_profile(_find("engines", "engine", name), _engine)
    if engine.spread is None and engine.engine_class in profile_names("engines"):
        of_class = read_profile(_find("engines", "engine", engine.engine_class), _engine)
        return replace(engine, spread=of_class.spread)
    return engine


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
        return expanded_path(name)
    known = profile_path(kind, name)
    if known is None:
        raise unknown_name(noun, name, {*profile_names(kind), *aliases(kind)})
    return known


def profile_path(kind: str, name: str) -> Path | None:
    """The file of a profile by its name or an alias, in any case."""
    folder, folded = profiles_folder() / kind, name.strip().lower()
    if folded not in profile_names(kind):
        folded = aliases(kind).get(folded, "")
    return folder / f"{folded}.toml" if folded else None


def expanded_path(name: str) -> Path:
    """A path, `~` replaced by the home directory."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # the home directory of an unknown user
        raise InputError(f"cannot read profile {shown(name)}: {error}") from None


def read_profile(path: Path, build: Callable[[Table, str], Callable[[], T]]) -> T:
    """Parse a profile and build what it describes; an error names the file, and the field.

    Args:
        path: The file.
        build: Takes the fields of the table, and returns a function that makes the result.
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
        kernels=table.take("kernels", text, ""),
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


def _reached(table: Table) -> dict[str, Any]:
    """The shares that its kernels reach: as the profile states, else those of its generation."""
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
    shares = (
        "elementwise_share",
        "quantised_flops_share",
        "quantised_bandwidth_share",
        "kernel_factor",
    )
    fields: dict[str, Any] = {field: table.take(field, number, 1.0) for field in shares}
    fields |= {field: table.take(field, time, 0.0) for field in ENGINE_TIMES}
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
        kernels=table.take("kernels", kernel_sources, KernelSources()),
        **fields,
    )


def engine_text(engine: Engine, uncertainty: Mapping[str, float]) -> str:
    """The TOML of an engine's profile.

    Args:
        engine: The engine.
        uncertainty: Standard error of the logarithm of each coefficient, shown beside it.
    """
    import tomlkit

    profile = tomlkit.document()
    profile["description"] = engine.description
    profile["engine_class"] = engine.engine_class
    if engine.words:
        profile["words"] = list(engine.words)
    for name in _SWITCHES:
        profile[name] = getattr(engine, name)
    measured = engine.kernels != KernelSources()
    for name in _NUMBERS:
        if name.startswith("kernel_") and name != "kernel_floor" and not measured:
            continue
        profile[name] = _figure(name, getattr(engine, name), uncertainty.get(name))
    source = " ".join(engine.source.split())  # as it is read; early tomlkit changes line ends
    profile["source"] = tomlkit.string(source, multiline=True)
    if measured:
        profile.add(tomlkit.nl())
        profile["kernels"] = {
            item.name: getattr(engine.kernels, item.name)
            for item in fields(KernelSources)
            if getattr(engine.kernels, item.name)
        }
    profile.add(tomlkit.nl())
    profile["attention"] = _attention_table(engine.attention, uncertainty)
    if engine.spread is not None:
        profile.add(tomlkit.nl())
        profile["spread"] = _spread_table(engine.spread)
    return tomlkit.dumps(profile)


_NUMBERS = (*ENGINE_SHARES, *ENGINE_TIMES)
_SWITCHES = ("device_shares", "soft_roofs")


def _figure(name: str, value: float, error: float | None = None) -> Item:
    """A coefficient to three digits, a time in microseconds, and its uncertainty as a comment."""
    import tomlkit

    time = name in (*ENGINE_TIMES, "floor") and value  # 0 needs no unit
    item = tomlkit.string(f"{value * 1e6:.3g} us") if time else tomlkit.value(f"{value:.3g}")
    if error is not None:
        item.comment(f"±{error:.0%}")
        item.trivia.comment_ws = "  "
    return item


def _attention_table(attention: AttentionKernels, uncertainty: Mapping[str, float]) -> TomlTable:
    import tomlkit

    table = tomlkit.table()
    for item in fields(AttentionKernels):
        value = getattr(attention, item.name)
        if value or item.name != "filling_blocks":  # only stated for the engines that have it
            error = uncertainty.get(f"attention.{item.name}")
            table[item.name] = _figure(item.name, value, error)
    return table


def _spread_table(spread: Spread) -> TomlTable:
    import tomlkit

    table = tomlkit.table()
    for name in ("low", "high", *WIDENINGS):
        table[name] = _figure(name, getattr(spread, name))
    table["devices"] = list(spread.devices)
    if spread.of_class:
        table["of_class"] = True
    return table
