"""Carries out a validation: plans the models, runs them group by group, keeps the journal."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cost_analysis import __version__
from cost_analysis.common.errors import InputError
from cost_analysis.inputs.spec import Workload
from cost_analysis.law.family import size_of
from cost_analysis.law.runs import published_runs
from cost_analysis.law.scaling_law import fit
from cost_analysis.measure.journal import (
    Journal,
    Member,
    Row,
    groups,
    members,
    open_journal,
    plan_of,
)
from cost_analysis.measure.profiling import available_memory, open_meter
from cost_analysis.measure.runner import Limits, run_group
from cost_analysis.measure.session import Job, check_device
from cost_analysis.telemetry.machine import host
from cost_analysis.telemetry.meter import Meter

if TYPE_CHECKING:
    from rich.progress import Progress


def run(
    options: dict[str, Any],
    limits: dict[str, Any],
    path: Path,
    progress: Callable[[], Progress],
    *,
    resume: bool,
    force: bool,
) -> list[Row]:
    """Run a validation, or what is left of one, and return its journal.

    Args:
        options: `size`, `dataset`, `batch_size`, `input_length`, `output_length`, `device`,
            `dtype`, `engine`, `threads`.
        limits: `rounds` and `seconds` of a group.
        path: The journal.
        progress: Opens the bar that shows how far it is.
        resume: Go on with a journal that is there; its options must be these.
        force: Run what does not seem to fit too.

    Raises:
        InputError: A journal of another plan, a device that is not there, or nothing that fits.
    """
    check_device(options["device"])
    with open_journal(path, resume=resume) as journal, open_meter(options["device"]) as meter:
        jobs = _plan(journal, options, meter, force=force)
        with progress() as bar:
            for group in jobs:
                task = bar.add_task("", total=limits["rounds"])

                def tell(name: str, count: int, _seconds: float, task: Any = task) -> None:
                    stage = f"{name}, warm-up" if count < 0 else name
                    bar.update(task, description=stage, completed=max(count, 0))

                run_group(group, Limits(**limits), journal, tell, meter)
                bar.remove_task(task)
        journal.append({"kind": "ended", "clock_hz": host().clock, **meter.cost()})
        for finding in meter.findings():
            journal.append({"kind": "finding", "text": finding})
        return journal.rows


def _plan(
    journal: Journal, options: dict[str, Any], meter: Meter, *, force: bool
) -> list[list[Job]]:
    """The jobs of a journal, group by group: those that it has, or new ones written to it."""
    law = fit(published_runs(options["dataset"])).law
    plan = members(options["size"], law)
    if journal.rows:
        header = plan_of(journal.rows)
        _same(header, options)
    else:
        # One row, so that a journal has the whole plan or none of it.
        header = {"kind": "plan", **options, **_environment(meter)}
        header |= _jobs(plan, options, force=force)
        journal.append(header)
    specs = {member.label: member.spec for member in plan}
    together: dict[int, list[Job]] = {}
    for row in header["jobs"]:
        together.setdefault(row["group"], []).append(_job(row, specs[row["label"]], options))
    return list(together.values())


def _same(plan: Row, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if plan.get(name) != value:
            raise InputError(
                f"the journal was begun with {name} = {plan.get(name)}, not {value}; resume it "
                "with the options that it was begun with"
            )


def _jobs(plan: list[Member], options: dict[str, Any], *, force: bool) -> Row:
    """The jobs that fit, and why others do not."""
    work = Workload(options["batch_size"], options["input_length"], options["output_length"])
    together, refused = groups(plan, work, options["dtype"], available_memory(options), force=force)
    if not together:
        raise InputError(f"no model of this size fits: {refused[0][1]}; try a smaller --size")
    base = plan[0].label
    home = next(n for n, group in enumerate(together, start=1) if group[0].label == base)
    jobs = []
    for number, group in enumerate(together, start=1):
        paired = group[0].label == base
        for member in group:
            jobs.append(
                {
                    "job": f"{base} ({number})" if member.label == base else member.label,
                    "label": member.label,
                    "role": member.role,
                    "group": number,
                    "base": f"{base} ({number if paired else home})",
                    "paired": paired,
                    "parameters": size_of(member.spec),
                }
            )
    return {"jobs": jobs, "refused": {member.label: reason for member, reason in refused}}


def _job(row: Row, spec: Any, options: dict[str, Any]) -> Job:
    fields = ("batch_size", "input_length", "output_length", "dtype", "device", "engine", "threads")
    return Job(row["job"], spec, **{name: options[name] for name in fields})


def _commit() -> str | None:
    """The commit of the checkout that runs; None in an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    asked = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return asked.stdout.strip() or None


def _environment(meter: Meter) -> Row:
    """Where and with what the samples are taken."""
    machine = asdict(host())
    machine.pop("missing")
    return {
        "machine": {**machine, **meter.describe()},
        "command": " ".join(["parscale-cost", *sys.argv[1:]]),
        "versions": {
            "parscale-cost": __version__,
            "commit": _commit(),
            "torch": torch.__version__,
            "transformers": version("transformers"),
            "python": platform.python_version(),
        },
    }
