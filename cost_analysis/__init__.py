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

from cost_analysis.compare import Increase, increase
from cost_analysis.errors import InputError
from cost_analysis.estimate import Estimate, estimate
from cost_analysis.layout import Layout
from cost_analysis.ledger import Operator
from cost_analysis.memory import Memory, kv_cache_bytes, memory
from cost_analysis.operators import forward_pass
from cost_analysis.parameters import Parameters, parameters
from cost_analysis.profiles import load_engine, load_hardware, load_model
from cost_analysis.published import PublishedCost, published_cost
from cost_analysis.spec import ModelSpec, Precision, Workload
from cost_analysis.system import Engine, Hardware

if TYPE_CHECKING:
    from cost_analysis.scaling_law import ScalingLaw, fit
    from cost_analysis.sweeps import sweep
    from cost_analysis.training_runs import Runs, published_runs, read_runs

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
    "ScalingLaw": "scaling_law",
    "fit": "scaling_law",
    "Runs": "training_runs",
    "published_runs": "training_runs",
    "read_runs": "training_runs",
    "sweep": "sweeps",
}


def __getattr__(name: str) -> object:
    """The names that need NumPy, imported when they are first asked for."""
    if name not in _NEEDS_NUMPY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_NEEDS_NUMPY[name]}"), name)
    globals()[name] = value
    return value
