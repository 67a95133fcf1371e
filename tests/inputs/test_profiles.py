"""Profiles of devices, engines and models: shipped ones and those of users."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from cost_analysis import InputError, load_engine, load_hardware, load_model
from cost_analysis.inputs.engine import Spread
from cost_analysis.inputs.profiles import aliases, profile_names
from tests.helpers.data import ROOT

DEVICES = profile_names("hardware")
REQUIRED = {
    *("v100-sxm-16gb", "v100-sxm-32gb", "v100-pcie-16gb", "v100-pcie-32gb", "t4", "a10", "a10g"),
    *("a30", "a40", "a100-sxm-40gb", "a100-sxm-80gb", "a100-pcie-40gb", "a100-pcie-80gb"),
    *("rtx-a6000", "rtx-3090", "rtx-4090", "rtx-5090", "rtx-6000-ada", "l4", "l40s", "h20"),
    *("h100-sxm-80gb", "h100-pcie-80gb", "h100-nvl", "h200", "b200", "gb200", "mi210", "mi250x"),
    *("mi300x", "mi325x", "m2-ultra", "m3-max", "jetson-agx-orin-64gb", "xeon-8480", "epyc-9654"),
    "ryzen-7940hs",
}


def test_required_devices_have_profiles() -> None:
    assert set(DEVICES) >= REQUIRED


@pytest.mark.parametrize("name", DEVICES)
def test_every_figure_of_a_device_has_a_source(name: str) -> None:
    device = load_hardware(name)
    figures = {"memory", "bandwidth", "peak"}
    figures |= {"interconnect"} if device.interconnect else set()
    figures |= {"tdp"} if device.tdp else set()
    figures |= {"kernels"} if device.kernels else set()
    assert set(device.sources) == figures
    assert all(len(source) > 20 for source in device.sources.values())
    assert device.kind in ("gpu", "cpu", "soc")
    assert device.vendor
    assert device.architecture


@pytest.mark.parametrize("name", DEVICES)
def test_peaks_are_dense_and_in_proportion(name: str) -> None:
    """A sparse figure among dense ones is twice too large and stands out."""
    device = load_hardware(name)
    peak = device.peak
    sixteen = max(peak.get("bf16", 0), peak.get("fp16", 0))
    if device.kind == "gpu" and "bf16" in peak:
        assert peak["bf16"] == peak.get("fp16")
    if sixteen:
        assert sixteen >= peak["fp32"]
        assert peak.get("fp8", 0) <= 2.05 * sixteen
        # Four times on GeForce, whose 16-bit rate with float32 accumulation is halved.
        assert peak.get("int8", 0) <= 4.05 * sixteen
    if "fp4" in peak:
        # Twice fp8; on GeForce, whose fp8 rate with float32 accumulation is halved, four times; on
        # Blackwell Ultra, whose units for fp4 are larger, three times.
        times = {"rtx-5090": 4, "b300": 3.11, "gb300": 3}.get(name, 2)
        assert peak["fp4"] / peak["fp8"] == pytest.approx(times, rel=0.01)
        assert device.architecture.startswith("Blackwell")
    if "int4" in peak:
        assert peak["int4"] == pytest.approx(2 * peak["int8"], rel=0.01)
    # From an Apple laptop to Blackwell: FLOPs per byte at the ridge.
    assert 10 < max(peak.values()) / device.bandwidth < 3000


def test_known_figures() -> None:
    h100 = load_hardware("h100")
    assert (h100.name, h100.bandwidth, h100.peak["bf16"]) == ("h100-sxm-80gb", 3.35e12, 989.4e12)
    assert load_hardware("A100").memory == 80 * 2**30


@pytest.mark.parametrize("kind", ["hardware", "engines", "models"])
def test_names_and_aliases_are_unique(kind: str) -> None:
    names = [name.lower() for name in profile_names(kind)]
    assert names == sorted(names)
    assert not Counter(names) - Counter(set(names))
    assert not set(aliases(kind)) & set(names)
    assert set(aliases(kind).values()) <= set(names)


@pytest.mark.parametrize("name", profile_names("engines"))
def test_every_engine_names_its_source(name: str) -> None:
    engine = load_engine(name)
    assert engine.source
    assert engine.description


@pytest.mark.parametrize("name", profile_names("models"))
def test_every_model_names_its_source(name: str) -> None:
    profile = load_model(name)
    assert profile.source
    assert profile.spec.streams == 1


GOOD = """
description = "mine"
memory = "8 GiB"
bandwidth = "100 GB/s"
[peak]
bf16 = "10 TFLOP/s"
"""


def test_a_device_from_a_users_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    device = load_hardware(str(file))
    assert (device.name, device.memory, device.bandwidth) == ("mine", 8 * 2**30, 100e9)
    assert device.peak == {"bf16": 10e12}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('memory = "8 GiB"\n', "", "mine.toml', field 'memory': is missing"),
        ('"8 GiB"', '"8"', "field 'memory': '8' is not a positive quantity in B"),
        ('"8 GiB"', "8", "field 'memory': 8 is not a positive quantity in B"),
        ('"100 GB/s"', '"-1 GB/s"', "field 'bandwidth'"),
        ("bf16", "bf61", "field 'peak': unknown data type 'bf61'; did you mean bf16"),
        ('"10 TFLOP/s"', "[]", "field 'peak'"),
        ("[peak]", "[peaks]", "field 'peak': is missing"),
        ("memory", "memroy", "field 'memory': is missing"),
        ('description = "mine"', "description = 7", "field 'description': 7 must be text"),
        (
            'description = "mine"',
            'colour = "red"',
            "mine.toml': unknown field 'colour'; known: architecture",
        ),
        ("[peak]", "[peak", "is not TOML"),
        ("[peak]", "\x00", "is not TOML"),
    ],
)
def test_a_malformed_device(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        load_hardware(str(file))
    assert message in str(caught.value)


def test_an_unreadable_device(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*No such file"):
        load_hardware(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match=r"cannot read .*directory"):
        load_hardware(str(tmp_path))
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * 4_000_001)
    with pytest.raises(InputError, match="is larger than"):
        load_hardware(str(huge))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        load_hardware(str(binary))
    deep = tmp_path / "deep.toml"
    deep.write_text("a = " + "[" * 100_000)
    with pytest.raises(InputError, match="is not TOML"):
        load_hardware(str(deep))


@pytest.mark.parametrize(
    "line",
    [
        f"memory = {'9' * 5000}",
        f"memory = 0x{'f' * 5000}",
        'memory = "1e-300 GiB"',
        'memory = "1e300 GiB"',
        "memory = 1979-05-27T07:32:00Z",
        "memory = inf",
        "memory = {a = [1, 2]}",
        'kind = "banana"',
        "sources = {peak = 3}",
    ],
)
def test_odd_values_are_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "odd.toml"
    field = line.split(" =")[0]
    rest = "\n".join(row for row in GOOD.splitlines() if not row.startswith(field))
    file.write_text(f"{line}\n{rest}")
    with pytest.raises(InputError) as caught:
        load_hardware(str(file))
    assert len(str(caught.value)) < 600


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "windows.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_hardware(str(file)).description == "mine"


def test_an_engine_and_a_model_from_users_files(tmp_path: Path) -> None:
    engine = tmp_path / "fast.toml"
    engine.write_text('flops_efficiency = 0.9\nbandwidth_efficiency = 1\nkernel_floor = "2 us"\n')
    assert load_engine(str(engine)).kernel_floor == 2e-6
    engine.write_text("flops_efficiency = 1.5\nbandwidth_efficiency = 1\n")
    with pytest.raises(InputError, match=r"fast.toml': flops_efficiency is 1\.5"):
        load_engine(str(engine))
    engine.write_text("flops_efficiency = 1\nbandwidth_efficiency = 1\nkernel_floor = false\n")
    with pytest.raises(InputError, match="field 'kernel_floor'"):
        load_engine(str(engine))
    model = tmp_path / "odd.toml"
    model.write_text("hidden_size = 10\n")
    with pytest.raises(InputError, match="field 'intermediate_size': is missing"):
        load_model(str(model))


def test_names_in_any_case_and_the_nearest_for_a_wrong_one() -> None:
    assert load_model("qwen/qwen3-0.6B").name == "qwen3-0.6b"
    with pytest.raises(InputError, match="unknown device 'h10'; did you mean h100"):
        load_hardware("h10")
    with pytest.raises(InputError, match="unknown engine 'zzz'; known: cpu, eager, exllama"):
        load_engine("zzz")


def test_measured_terms_of_an_engine(tmp_path: Path) -> None:
    engine = tmp_path / "mine.toml"
    plain = "flops_efficiency = 0.9\nbandwidth_efficiency = 0.8\n"
    engine.write_text(
        f'{plain}link_latency = "5 us"\nwords = ["mine"]\nengine_class = "graphs"\n'
        '[attention]\nfloor = "8 us"\nscore_bytes = 2\n'
        '[spread]\nlow = 0.9\nhigh = 1.1\nnarrow = 1.5\ndevices = ["t4"]\nof_class = true\n'
    )
    read = load_engine(str(engine))
    assert (read.words, read.engine_class) == (("mine",), "graphs")
    assert read.link_latency == pytest.approx(5e-6)
    assert read.attention.floor == pytest.approx(8e-6)
    assert read.attention.score_bytes == 2.0
    assert read.spread is not None
    assert read.spread == Spread(0.9, 1.1, narrow=1.5, devices=("t4",), of_class=True)
    for wrong, message in (
        ("[attention]\nflor = 1\n", "field 'attention': unknown field 'flor'"),
        ("[spread]\nlow = 2\n", "field 'spread': a spread's low end"),
        ("attention = 3\n", "field 'attention': 3 must be a table"),
        ("words = 'a'\n", "field 'words': 'a' must be a list of texts"),
    ):
        engine.write_text(plain + wrong)
        with pytest.raises(InputError, match=message):
            load_engine(str(engine))


def test_an_engine_without_a_spread_has_that_of_its_class(tmp_path: Path) -> None:
    """Nothing was measured of it, but of others like it."""
    file = tmp_path / "mine.toml"
    plain = "flops_efficiency = 0.9\nbandwidth_efficiency = 0.8\n"
    file.write_text(plain + 'engine_class = "native"\n')
    assert load_engine(str(file)).spread == load_engine("native").spread
    file.write_text(plain + 'engine_class = "zzz"\n')
    assert load_engine(str(file)).spread is None
    file.write_text(plain)
    assert load_engine(str(file)).spread is None


def test_reached_shares_are_the_devices_or_its_generations(tmp_path: Path) -> None:
    device = tmp_path / "mine.toml"
    figures = 'memory = "1 GiB"\nbandwidth = "1 GB/s"\n'
    peak = '[peak]\nfp32 = "1 TFLOP/s"\n'
    ampere = load_hardware("a100")
    device.write_text(f'{figures}architecture = "Ampere (GA999)"\n{peak}')
    read = load_hardware(str(device))
    assert (read.reached_flops, read.reached_bandwidth) == (
        ampere.reached_flops, ampere.reached_bandwidth,
    )  # fmt: skip
    device.write_text(f"{figures}{peak}[reached]\nflops = 0.3\nbandwidth = 0.4\n")
    read = load_hardware(str(device))
    assert (read.reached_flops, read.reached_bandwidth) == (0.3, 0.4)
    device.write_text(f"{figures}{peak}[reached]\nflop = 0.3\n")
    with pytest.raises(InputError, match="did you mean flops"):
        load_hardware(str(device))


def test_every_generation_names_its_source() -> None:
    text = (ROOT / "profiles" / "generations.toml").read_text()
    generations = tomllib.loads(text)
    assert all(len(row["source"]) > 20 for row in generations.values())
    used = {load_hardware(name).architecture.split()[0] for name in DEVICES}
    assert set(generations) - {"other"} <= used


@pytest.mark.parametrize("name", ["eager", "graphs", "native", "cpu"])
def test_every_class_has_measured_terms(name: str) -> None:
    engine = load_engine(name)
    assert engine.engine_class == name
    assert engine.device_shares
    assert engine.soft_roofs
    assert engine.spread is not None


def test_the_home_of_an_unknown_user() -> None:
    with pytest.raises(InputError, match=r"cannot read profile '~no such user/x\.toml'"):
        load_hardware("~no such user/x.toml")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("flops_efficiency = true", "field 'flops_efficiency': True must be a number"),
        ("flops_efficiency = '1'", "field 'flops_efficiency': '1' must be a number"),
        ("soft_roofs = 1", "field 'soft_roofs': 1 must be true or false"),
        ("words = [3]", "field 'words': 3 must be text in quotes"),
        ("kernel_floor = 1", "field 'kernel_floor': 1 is not a positive quantity in s"),
    ],
)
def test_fields_of_an_engine_of_another_kind(tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "mine.toml"
    needed = {"flops_efficiency": 1, "bandwidth_efficiency": 1}
    rest = [f"{name} = {value}" for name, value in needed.items() if not line.startswith(name)]
    file.write_text("\n".join([line, *rest]))
    with pytest.raises(InputError) as error:
        load_engine(str(file))
    assert sentence in str(error.value)
