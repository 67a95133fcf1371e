"""The shape of the package: which module may import what, and what an import costs."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

import cost_analysis

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cost_analysis"
MODULES = sorted(PACKAGE.glob("*.py"))
ALLOWED = {
    "click": {
        "commands",
        "accuracy_commands",
        "claim_commands",
        "claim_options",
        "precision_commands",
        "layout_commands",
        "law_commands",
        "plot_command",
        "plot_options",
        "paper_figure_commands",
        "measure_commands",
        "plan_commands",
        "plan_options",
        "serving_options",
        "sweep_commands",
        "options",
        "layout_options",
        "sections",
        "option_types",
        "delivery",
    },
    "PIL": {"plot_style"},
    "rich": {"report"},
    "matplotlib": {
        "plot_style",
        "law_plots",
        "cost_plots",
        "breakdown_plot",
        "measured_plot",
        "accuracy_plot",
        "pareto_plot",
        "serving_plot",
        "heat_map_plot",
        "method_plot",
    },
    "torch": {
        "torch_model",
        "stock_models",
        "checkpoints",
        "parity",
        "measure",
        "validation",
        "microbenchmarks",
        "layer_benchmarks",
        "calibrate",
    },
    "transformers": {"torch_model", "stock_models", "checkpoints", "parity"},
    "safetensors": {"checkpoints"},
    "huggingface_hub": {"checkpoints", "hub_cache"},
    "pynvml": {"nvml"},
    "pyarrow": {"sweep_files"},
    "dask": {"sweep_run"},
    "distributed": {"sweep_run"},
}
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

# From what is asked to what is answered: a module imports from lines above its own, never below.
ORDER = (
    {"errors", "arrays", "readings", "host"},
    {"units", "dtypes", "energy", "nvml", "pareto", "files", "durable_files", "sizes", "hub_cache"}
    | {"parquet_join"},
    {"layers"},
    {"telemetry", "stability", "journal"},
    {"meter"},
    {"spec", "ledger", "product_rates", "expert_load"},
    {"layout"},
    {"request_lengths"},
    {"system", "axes"},
    {"grid"},
    {"matrices", "forward"},
    {"exchanges", "activations"},
    {"latent_operators"},
    {"parameters", "attention_operators", "mlp_operators", "kernel_time"},
    {"memory"},
    {"operators"},
    {"latency", "profile_fields", "config_fields"},
    {"pipeline"},
    {"dense_configs"},
    {"expert_configs"},
    {"model_configs"},
    {"estimate", "capacity", "profiles", "csv_table", "law_curve"},
    {"serving"},
    {"measurements"},
    {"predictions", "coefficients"},
    {"latency_fit", "operator_fit", "accuracy"},
    {"latency_folds", "engine_profile"},
    {"published", "compare", "training_runs", "law_minimum"},
    {"departures", "request", "law_evidence", "torch_model", "sweep_columns"},
    {"sweeps", "sweep_summary"},
    {"sweep_files"},
    {"sweep_run"},
    {"stock_models"},
    {"scaling_law", "checkpoints", "measure", "request_costs"},
    {"law_intervals", "baselines", "parity", "campaign", "microbenchmarks"},
    {"profiling", "validation_plan", "layer_benchmarks"},
    {"calibrate"},
    {"claims", "comparison", "law_report", "crossover", "ladder", "methods"},
    {"method_cost", "format_claims"},
    {"method_choice"},
    {"candidates"},
    {"planner"},
    {"plan_question"},
    {"crossings", "increases"},
    {"verdicts"},
    {"records", "layout_choice"},
    {"serving_view"},
    {"report", "option_types"},
    {"layout_pages"},
    {"validation"},
    {"law_data", "cost_data", "breakdown_data", "heat_map_data"},
    {"captions"},
    {"plot_style"},
    {
        "law_plots",
        "cost_plots",
        "breakdown_plot",
        "measured_plot",
        "accuracy_plot",
        "heat_map_plot",
        "method_plot",
    },
    {"pareto_plot", "serving_plot"},
    {"plots"},
    {"accuracy_pages"},
    {"fit_pages"},
    {
        "pages",
        "catalogue",
        "claim_pages",
        "comparison_pages",
        "measure_pages",
        "parity_pages",
        "profile_pages",
    },
    {"plan_table"},
    {"plan_pages", "serving_pages"},
    {"method_pages", "sweep_pages", "format_pages"},
    {"sections"},
    {"options", "delivery"},
    {"layout_options"},
    {"claim_options"},
    {"plan_options", "serving_options", "plot_options", "law_commands"},
    {"paper_figure_commands"},
    {
        "claim_commands",
        "precision_commands",
        "layout_commands",
        "plot_command",
        "measure_commands",
        "accuracy_commands",
        "plan_commands",
        "sweep_commands",
    },
    {"commands"},
)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_heavy_libraries_stay_in_their_modules(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    for library, modules in ALLOWED.items():
        assert library not in roots or path.stem in modules, library


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_data_flows_one_way(path: Path) -> None:
    level = {name: index for index, names in enumerate(ORDER) for name in names}
    if path.stem in ("__init__", "__main__"):
        return
    for name in imports(path):
        if name.startswith("cost_analysis."):
            used = name.split(".")[1]
            assert level.get(used, -1) <= level[path.stem], f"{path.stem} imports {used}"


@pytest.mark.parametrize("command", ["import cost_analysis", "import cost_analysis.commands"])
def test_nothing_heavy_is_imported(command: str) -> None:
    assert loaded_after(command) == set()


def test_the_test_above_can_fail() -> None:
    assert loaded_after("import cost_analysis, pandas") >= {
        "pandas",
        "numpy",
    }  # and pyarrow, if any


def test_one_estimate_needs_no_numpy() -> None:
    command = "from cost_analysis.commands import cli; cli(['--model', '1.6B'], None, None, False)"
    assert loaded_after(command) == set()


def loaded_after(command: str) -> set[str]:
    code = f"{command}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(result.stdout.splitlines()[-1].split())


def public_objects() -> list[tuple[str, object]]:
    found = []
    for info in pkgutil.iter_modules([str(PACKAGE)]):
        if info.name in ("_profiles", "__main__"):
            continue
        try:
            module = import_module(f"cost_analysis.{info.name}")
        except ModuleNotFoundError as error:
            if error.name in ALLOWED:  # of an optional extra that is not installed
                continue
            raise
        assert module.__doc__, f"module {info.name}"
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__
            if own and not name.startswith("_") and (inspect.isclass(value) or callable(value)):
                found.append((f"{info.name}.{name}", value))
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
    modules = {f"cost_analysis/{path.name}" for path in MODULES} | {"cost_analysis/py.typed"}
    profiles = {
        f"cost_analysis/_profiles/{path.relative_to(ROOT / 'profiles')}"
        for path in (ROOT / "profiles").rglob("*")
        if path.is_file()
    }
    assert installed == modules | profiles
