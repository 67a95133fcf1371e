"""The shape of the package: which module may import what, and what an import costs.

Which package may import which is held by import-linter (`[tool.importlinter]` in pyproject.toml).
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
import subprocess
import sys
import zipfile
from collections import Counter
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest

import cost_analysis

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cost_analysis"
MODULES = sorted(PACKAGE.rglob("*.py"))
ALLOWED = {
    "click": ("cli/*",),
    "PIL": ("figures/style",),
    "rich": ("report/render", "measure/profiling", "measure/validation"),
    "matplotlib": ("figures/*", "cli/plot"),
    "torch": ("measure/*",),
    "transformers": ("measure/parallel_model", "measure/checkpoints"),
    "safetensors": ("measure/checkpoints",),
    "huggingface_hub": ("measure/checkpoints", "inputs/models"),
    "pynvml": ("telemetry/nvml",),
    "pyarrow": ("search/sweep_files", "kernels/library", "kernels/tables"),
    "yaml": ("kernels/library",),
    "dask": ("search/sweep_workers",),
    "distributed": ("search/sweep_workers",),
}
"""Modules that may import a library; most libraries are optional, or slow to import."""

MOST_MODULES, MOST_LINES = 15, 400
"""In a folder of the package, and lines of a module."""

HEAVY = (
    "torch",
    "transformers",
    "huggingface_hub",
    "pandas",
    "scipy",
    "matplotlib",
    "numpy",
    "pyarrow",
    "dask",
)


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_heavy_libraries_stay_in_their_modules(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    for library, modules in ALLOWED.items():
        allowed = any(fnmatch(name_of(path), pattern) for pattern in modules)
        assert library not in roots or allowed, library


def test_no_folder_is_crowded_and_no_module_long() -> None:
    folders = Counter(path.parent for path in MODULES if path.stem != "__init__")
    assert max(folders.values()) <= MOST_MODULES
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_every_package_says_what_its_modules_hold() -> None:
    for folder in sorted({path.parent for path in MODULES} - {PACKAGE}):
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        listed = {line.split()[0] for line in text.splitlines() if line.strip()}
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        assert modules <= listed, f"{folder.name} does not list {modules - listed}"


def test_every_module_has_a_test_file_of_its_name() -> None:
    """tests/<package>/test_<module>.py is where a reader looks for its tests."""
    tested = [path for path in MODULES if path.stem != "__init__" and path.parent != PACKAGE]
    expected = {ROOT / "tests" / path.parent.name / f"test_{path.name}" for path in tested}
    assert len(expected) == len(tested) > 80
    missing = {str(path.relative_to(ROOT)) for path in expected if not path.is_file()}
    assert missing == set()


@pytest.mark.parametrize("command", ["import cost_analysis", "import cost_analysis.cli.main"])
def test_nothing_heavy_is_imported(command: str) -> None:
    assert loaded_after(command) == set()


def test_the_test_above_can_fail() -> None:
    assert loaded_after("import cost_analysis, pandas") >= {
        "pandas",
        "numpy",
    }  # and pyarrow, if any


def test_one_estimate_needs_no_numpy() -> None:
    command = "from cost_analysis.cli.main import cli; cli(['--model', '1.6B'], None, None, False)"
    assert loaded_after(command) == set()


def loaded_after(command: str) -> set[str]:
    code = f"{command}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(result.stdout.splitlines()[-1].split())


def public_objects() -> list[tuple[str, object]]:
    found = []
    for info in pkgutil.walk_packages([str(PACKAGE)], "cost_analysis."):
        if info.name.startswith("cost_analysis._"):
            continue
        try:
            module = import_module(info.name)
        except ModuleNotFoundError as error:
            if error.name in ALLOWED:  # of an optional extra that is not installed
                continue
            raise
        assert module.__doc__, f"module {info.name}"
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            if own and not name.startswith("_") and (inspect.isclass(value) or callable(value)):
                found.append((f"{info.name.removeprefix('cost_analysis.')}.{name}", value))
    return found


@pytest.mark.parametrize(("name", "value"), public_objects())
def test_everything_public_is_documented(name: str, value: object) -> None:
    assert (getattr(value, "__doc__", "") or "").strip(), name
    if inspect.isclass(value):
        for attribute, member in vars(value).items():
            if not attribute.startswith("_") and (
                inspect.isfunction(member) or isinstance(member, property)
            ):
                assert (member.__doc__ or "").strip(), f"{name}.{attribute}"


def test_public_names_exist() -> None:
    assert sorted(cost_analysis.__all__) == cost_analysis.__all__
    assert all(hasattr(cost_analysis, name) for name in cost_analysis.__all__)


def test_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, tracked):
        if not name.startswith(("tests/", "benchmarks/")) and (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source],
        capture_output=True, check=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    installed = {name for name in names if ".dist-info/" not in name}
    modules = {f"cost_analysis/{path.relative_to(PACKAGE)}" for path in MODULES}
    modules |= {"cost_analysis/py.typed"}
    profiles = {
        f"cost_analysis/_profiles/{path.relative_to(ROOT / 'profiles')}"
        for path in (ROOT / "profiles").rglob("*")
        if path.is_file()
    }
    assert installed == modules | profiles
