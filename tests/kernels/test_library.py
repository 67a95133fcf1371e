"""The package of kernel tables is found without importing it; what is missing is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cost_analysis.common.errors import InputError
from cost_analysis.kernels import library as module
from cost_analysis.kernels.library import (
    DEVICES,
    ENGINES,
    device_named,
    engine_named,
    find_library,
    read_yaml,
)


def test_the_installed_package_is_found_and_not_imported(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "aiconfigurator_core", raising=False)
    found = find_library()
    assert found.systems == package / "systems"
    assert found.version == "0.12.0"
    assert "aiconfigurator_core" not in sys.modules


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"aiconfigurator-core.*parscale-cost\[kernels\].*3\.13"):
        find_library()


@pytest.mark.parametrize("name", ["pyarrow.parquet", "yaml"])
def test_a_missing_reader_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=f"{name.split('.')[0]}, which is not installed; pip"):
        find_library()


def test_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pip install 'aiconfigurator-core==0\.12\.\*'"):
        find_library(tmp_path)


def test_devices_are_found_by_our_names_aliases_and_theirs() -> None:
    assert device_named("h100") == device_named("H100-SXM-80GB") == device_named("h100_sxm")
    assert {device_named(name) for name in DEVICES} == set(DEVICES.values())
    assert {engine_named(name) for name in ENGINES} == set(ENGINES.values())


def test_what_has_no_tables_is_told_from_what_has() -> None:
    with pytest.raises(InputError, match=r"no kernel tables of device 'rtx-4090'.*some of a100"):
        device_named("rtx-4090")
    with pytest.raises(InputError, match=r"'tensort-llm'; the nearest is tensorrt-llm.*; there"):
        engine_named("tensort-llm")


@pytest.mark.parametrize("content", ["a: [1", "- 1\n", "\x00"])
def test_damaged_descriptions_are_said(tmp_path: Path, content: str) -> None:
    path = tmp_path / "device.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match="is damaged; pip install --force-reinstall"):
        read_yaml(path)
    with pytest.raises(InputError, match="is damaged"):
        read_yaml(tmp_path / "missing.yaml")
