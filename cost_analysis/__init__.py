"""What a language model costs to run with P parallel streams.

The public names, from architecture to answer:

>>> from cost_analysis import ModelSpec, Workload, estimate, load_hardware, load_engine
>>> spec = ModelSpec(hidden_size=2560, intermediate_size=13824, streams=2)
>>> answer = estimate(spec, Workload(batch_size=2), load_hardware("h100-sxm-80gb"),
...                   load_engine("graphs"))
>>> f"{answer.memory.total / 2**30:.2f} GiB"
'8.92 GiB'
"""

from importlib import import_module
from typing import TYPE_CHECKING

from cost_analysis.common.errors import InputError
from cost_analysis.cost.estimate import Estimate, Increase, estimate, increase
from cost_analysis.cost.forward_pass import forward_pass
from cost_analysis.cost.memory import Memory, kv_cache_bytes, memory
from cost_analysis.cost.operator import Operator
from cost_analysis.cost.published import PublishedCost, published_cost
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.models import load_model
from cost_analysis.inputs.profiles import load_engine, load_hardware
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.weights import Parameters, parameters

if TYPE_CHECKING:
    from cost_analysis.law.runs import Runs, published_runs, read_runs
    from cost_analysis.law.scaling_law import ScalingLaw, fit
    from cost_analysis.search.sweep import sweep

__version__ = "0.1.0"

__all__ = [
    "Engine",
    "Estimate",
    "Hardware",
    "Increase",
    "InputError",
    "Layout",
    "Memory",
    "ModelSpec",
    "Operator",
    "Parameters",
    "Precision",
    "PublishedCost",
    "Runs",
    "ScalingLaw",
    "Workload",
    "estimate",
    "fit",
    "forward_pass",
    "increase",
    "kv_cache_bytes",
    "load_engine",
    "load_hardware",
    "load_model",
    "memory",
    "parameters",
    "published_cost",
    "published_runs",
    "read_runs",
    "sweep",
]

_NEEDS_NUMPY = {
    "ScalingLaw": "law.scaling_law",
    "fit": "law.scaling_law",
    "Runs": "law.runs",
    "published_runs": "law.runs",
    "read_runs": "law.runs",
    "sweep": "search.sweep",
}


def __getattr__(name: str) -> object:
    """The names that need NumPy, imported when they are first asked for."""
    if name not in _NEEDS_NUMPY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_NEEDS_NUMPY[name]}"), name)
    globals()[name] = value
    return value
