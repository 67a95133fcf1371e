"""Curves that were fitted to measured kernels: one TOML file a device and engine in the profiles.

`profiles/kernels/<device>/<engine>.toml` has a table for each family and format, `[product.bf16]`:
the fields of the curve's class, its source, and the errors on shapes that its fit had not seen;
and under `borrowed` the curves that it takes from another engine on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from os.path import commonpath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from cost_analysis.common.arrays import Number, maximum, minimum, single
from cost_analysis.common.errors import InputError
from cost_analysis.common.files import Table, mapping, number, parse, text, texts
from cost_analysis.inputs.engine import KernelSources
from cost_analysis.inputs.profiles import profiles_folder
from cost_analysis.kernels.shapes import (
    AllReduce,
    Attention,
    Experts,
    LatentAttention,
    Product,
    Shape,
)
from cost_analysis.kernels.times import FITTED, KernelTime

if TYPE_CHECKING:
    from tomlkit.items import Item
    from tomlkit.items import Table as TomlTable


class Curve(Protocol):
    """A fitted curve: a frozen data class of numbers and tuples of numbers."""

    def seconds(self, shape: Any, *, warm: bool = False) -> Number:
        """Time of one call [s]; `warm` where its weights or cache are in the device's cache."""


FAMILIES: Mapping[str, str] = {
    "product": "products",
    "quantise": "products",
    "decode": "attention",
    "prompt": "attention",
    "latent_decode": "attention",
    "latent_prompt": "attention",
    "experts": "experts",
    "all_reduce": "exchanges",
}
"""Families of curves, and the field of `KernelSources` that says whose an engine runs."""

_SMALLEST: Mapping[str, Shape] = {
    "product": Product(1.0, 32.0, 32.0, ""),
    "quantise": Product(1.0, 32.0, 32.0, ""),
    "decode": Attention(1.0, 1.0, 1.0, 1.0, 1.0, 64.0, 0.0, "bf16", True),
    "prompt": Attention(1.0, 1.0, 1.0, 1.0, 1.0, 64.0, 0.0, "bf16", False),
    "latent_decode": LatentAttention(1.0, 1.0, 1.0, 1.0, 576.0, "bf16", True),
    "latent_prompt": LatentAttention(1.0, 1.0, 1.0, 1.0, 576.0, "bf16", False),
    "experts": Experts(1.0, 64.0, 64.0, 1.0, 1.0, 1.0, ""),
    "all_reduce": AllReduce(2.0, 2.0),
}
"""Shapes so small that only the start of a kernel is left."""


def key_of(shape: Shape) -> tuple[str, str]:
    """The family and format of a shape, as tables and curves are found by."""
    if isinstance(shape, Product):
        return "product", shape.weights
    if isinstance(shape, Attention):
        return "decode" if shape.decodes else "prompt", shape.cache
    if isinstance(shape, LatentAttention):
        return "latent_decode" if shape.decodes else "latent_prompt", shape.cache
    if isinstance(shape, Experts):
        return "experts", shape.weights
    return "all_reduce", "bf16"


@dataclass(frozen=True, slots=True)
class FittedCurve:
    """A curve with where it comes from.

    Attributes:
        curve: The curve.
        source: The table that it was fitted to.
        errors: Errors on shapes that a fit had not seen, by name: "median", "ninety", and of the
            time at 8 rows over that at 1 "eight"; and the share within which 80 % of such ratios
            of its timings repeat, "noise".
        start: Time of the smallest kernel [s].
        lender: The engine whose curve it is, where that is another one; "" for its own.
    """

    curve: Curve
    source: str = ""
    errors: Mapping[str, float] = field(default_factory=dict)
    start: float = 0.0
    lender: str = ""


Curves = Mapping[tuple[str, str], FittedCurve]
"""The curves of an engine on a device, by family and format."""


def curve_class(family: str) -> type[Any]:
    """The class of the curves of a family."""
    from cost_analysis.kernels.attention import DecodeCurve, PromptCurve
    from cost_analysis.kernels.exchanges import ReduceCurve
    from cost_analysis.kernels.experts import ExpertCurve
    from cost_analysis.kernels.products import ProductCurve
    from cost_analysis.kernels.quantising import QuantiseCurve

    classes: dict[str, type[Any]] = {
        "product": ProductCurve,
        "quantise": QuantiseCurve,
        "decode": DecodeCurve,
        "prompt": PromptCurve,
        "latent_decode": DecodeCurve,
        "latent_prompt": PromptCurve,
        "experts": ExpertCurve,
        "all_reduce": ReduceCurve,
    }
    return classes[family]


@cache
def load_curves(device: str, engine: str, families: tuple[str, ...] = tuple(FAMILIES)) -> Curves:
    """The curves of an engine on a device; none where the profiles have none.

    Args:
        device: Name of the device that was measured.
        engine: Name of the engine.
        families: The families that are asked for.

    Raises:
        InputError: A file that is damaged.
    """
    path = curves_path(profiles_folder(), device, engine)
    return read_curves(path, families) if path.is_file() else {}


def _lent(path: Path, key: str, lender: str) -> tuple[tuple[str, str], FittedCurve]:
    """The curve of another engine, beside a file, by its family and format."""
    family, _, name = key.partition(".")
    table = Table(path.with_name(f"{lender}.toml"), parse(path.with_name(f"{lender}.toml")))
    content = mapping(table.take(family, mapping)[name])
    curve = _curve(family, name, content, table.take("tables", text, ""))
    return (family, name), replace(curve, lender=lender)


def curves_path(folder: Path, device: str, engine: str) -> Path:
    """The file of the curves of an engine on a device, in a folder of profiles."""
    return folder / "kernels" / device / f"{engine}.toml"


def read_curves(path: Path, families: tuple[str, ...] = tuple(FAMILIES)) -> Curves:
    """The curves of a file.

    Args:
        path: The file.
        families: The families that are asked for; others are not looked at.

    Raises:
        InputError: A file that cannot be read, or that does not hold curves.
    """
    found = {}
    table = Table(path, parse(path))
    folder = table.take("tables", text, "")
    for key, lender in table.take("borrowed", texts, dict[str, str]()).items():
        if key.partition(".")[0] in FAMILIES.keys() - families:
            continue
        try:
            at, curve = _lent(path, key, lender)
        except KeyError:
            raise InputError(f"{path}: {lender} has no curve {key} to lend") from None
        found[at] = curve
    for family in FAMILIES:
        known = table.take(family, mapping, dict[str, Any]())
        for name, content in known.items() if family in families else ():
            try:
                found[family, name] = _curve(family, name, mapping(content), folder)
            except InputError as error:
                raise InputError(f"{path}, {family}.{name}: {error}") from None
    table.refuse_the_rest()
    return found


def _curve(family: str, name: str, content: dict[str, Any], folder: str) -> FittedCurve:
    """A curve; the folder of all tables of the file stands before its source."""
    source = f"{folder}{text(content.pop('source', ''))}"
    errors = {name: number(item) for name, item in mapping(content.pop("errors", {})).items()}
    kind = curve_class(family)
    names = {item.name for item in fields(kind)}
    if content.keys() != names:
        wrong = ", ".join(sorted(content.keys() ^ names))
        raise InputError(f"its fields must be those of {kind.__name__}; see {wrong}")
    numbers = {name: _numbers(value) for name, value in content.items()}
    curve: Curve = kind(**numbers)
    smallest: Any = _SMALLEST[family]
    if not isinstance(smallest, AllReduce):
        field = "cache" if hasattr(smallest, "cache") else "weights"
        smallest = smallest._replace(**{field: name})
    return FittedCurve(curve, source, errors, single(curve.seconds(smallest)))


def _numbers(value: object) -> float | tuple[float, ...]:
    return tuple(map(number, value)) if isinstance(value, list) else number(value)


PADDED = 8.0
"""Rows to which a product with narrow weights may be padded."""

LEAST_SHARE = 0.25
"""Share of a timed call that is the product itself, at least."""

Rates = tuple[float, float]
"""Bandwidth and peak as multiples of those of another device."""

_SCALED: Mapping[str, tuple[str, str]] = {
    "product": ("bandwidth", "peak"),
    "decode": ("memory", "peak"),
    "prompt": ("memory", "peaks"),
    "latent_decode": ("memory", "peak"),
    "latent_prompt": ("memory", "peaks"),
    "experts": ("bandwidth", "rate"),
}
"""The fields of a family's curves that are rates of the memory, and of multiplying."""


def _on_relative(family: str, fitted: FittedCurve, rates: Rates) -> FittedCurve:
    """A curve on a device of the same chip with another memory or clock."""
    curve: Any = fitted.curve
    changed = {
        name: tuple(rate * share for rate in value)
        if isinstance(value := getattr(curve, name), tuple)
        else value * share
        for name, share in zip(_SCALED.get(family, ()), rates, strict=False)
    }
    return replace(fitted, curve=replace(curve, **changed))


def _families_by_engine(sources: KernelSources) -> dict[str, tuple[str, ...]]:
    """The families of curves that are taken from each engine."""
    found: dict[str, tuple[str, ...]] = {}
    for family, kind in FAMILIES.items():
        engine = getattr(sources, kind)
        if engine:
            found[engine] = (*found.get(engine, ()), family)
    return found


class FittedKernels:
    """Times of an engine's kernels on a device by fitted curves."""

    def __init__(self, device: str, sources: KernelSources, rates: Rates = (1.0, 1.0)) -> None:
        """The kernels of the engines that `sources` names.

        Args:
            device: Name of the device that they were measured on.
            sources: Whose kernels.
            rates: Bandwidth and peak of a relative of that device, as multiples of its own.
        """
        self.device, self.sources, self.rates = device, sources, rates
        self._curves = {
            key: curve if rates == (1.0, 1.0) else _on_relative(key[0], curve, rates)
            for engine, families in _families_by_engine(sources).items()
            for key, curve in load_curves(device, engine, families).items()
        }

    def __eq__(self, other: object) -> bool:
        """Whether another is of the same kernels."""
        return isinstance(other, FittedKernels) and self._identity == other._identity

    def __hash__(self) -> int:
        """By device, sources and rates."""
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[object, ...]:
        return self.device, self.sources, self.rates

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._curves)

    def time(self, shape: Shape) -> KernelTime | None:
        """The time of a shape; None without a curve of its family and format."""
        found = self._curves.get(key_of(shape))
        if found is None:
            return None
        if isinstance(shape, Product) and shape.weights != "bf16":
            seconds = self._narrow(found, shape)
        else:
            seconds = found.curve.seconds(shape)
        return KernelTime(seconds, minimum(found.start, seconds), FITTED)

    def _narrow(self, found: FittedCurve, shape: Product) -> Number:
        """Time of a product with weights of fewer than 16 bits [s].

        Fewer rows are padded to `PADDED` where that is faster: some fp8 kernels of the tables take
        twice as long for one row as for eight, and whole runs show no such steps. The tables' call
        also turns 16-bit activations into fp8; in a model the norm or activation before the product
        does that, and their time for it (`quantise`) is taken off, but for at most three quarters.
        vLLM's products in nvfp4 hold it as well.
        """
        padded = shape._replace(rows=maximum(shape.rows, PADDED))
        seconds = minimum(found.curve.seconds(shape), found.curve.seconds(padded))
        quantise = self._curves.get(("quantise", shape.weights))
        if quantise is None:
            return seconds
        return maximum(seconds - quantise.curve.seconds(shape), LEAST_SHARE * seconds)


def curves_text(curves: Curves, header: Sequence[str]) -> str:
    """The TOML of the curves of an engine on a device.

    Args:
        curves: The curves.
        header: Lines of a comment at the top.
    """
    import tomlkit

    document = tomlkit.document()
    for line in header:
        document.add(tomlkit.comment(line))
    sources = [PurePosixPath(fitted.source) for fitted in curves.values() if not fitted.lender]
    folder = f"{commonpath([source.parent for source in sources])}/"
    document["tables"] = folder
    borrowed = {
        ".".join(key): fitted.lender for key, fitted in sorted(curves.items()) if fitted.lender
    }
    if borrowed:
        document["borrowed"] = borrowed
    for family in FAMILIES:
        names = sorted(
            name for (kind, name), each in curves.items() if kind == family and not each.lender
        )
        if names:
            own = [(name, curves[family, name]) for name in names]
            document[family] = _family_table(own, folder)
    return tomlkit.dumps(document)


def _family_table(curves: Sequence[tuple[str, FittedCurve]], folder: str) -> TomlTable:
    import tomlkit

    table = tomlkit.table(is_super_table=True)
    for name, fitted in curves:
        item = tomlkit.table()
        item["source"] = fitted.source.removeprefix(folder)
        errors = tomlkit.inline_table()
        errors.update({error: _written(value, 3) for error, value in fitted.errors.items()})
        item["errors"] = errors
        curve: Any = fitted.curve
        for each in fields(curve):
            value = getattr(curve, each.name)
            item[each.name] = (
                [_written(number) for number in value]
                if isinstance(value, tuple)
                else _written(value)
            )
        table[name] = item
    return table


def _written(value: float, digits: int = 4) -> Item:
    """A number to some significant digits, as short as TOML allows."""
    import tomlkit

    short = f"{value:.{digits}g}"
    mantissa, _, exponent = short.partition("e")
    return tomlkit.value(f"{mantissa}e{int(exponent)}" if exponent else short)


Loader = Callable[[str, KernelSources, Rates], FittedKernels]

fitted_kernels: Loader = cache(FittedKernels)
"""The fitted kernels of a device and some sources, read once."""
