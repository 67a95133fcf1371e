"""What a language model costs to run with P parallel streams.

The public names, from architecture to answer:

>>> from cost_analysis import ModelSpec, Workload, estimate, load_hardware, load_engine
>>> spec = ModelSpec(hidden_size=2560, intermediate_size=13824, streams=2)
>>> answer = estimate(spec, Workload(batch_size=2), load_hardware("h100-sxm-80gb"),
...                   load_engine("graphs"))
>>> f"{answer.memory.total / 2**30:.2f} GiB"
'9.03 GiB'
"""

from cost_analysis.compare import Increase, increase
from cost_analysis.errors import InputError
from cost_analysis.estimate import Estimate, estimate
from cost_analysis.memory import Memory, kv_cache_bytes, memory
from cost_analysis.operators import Operator, forward_pass
from cost_analysis.parameters import Parameters, parameters
from cost_analysis.profiles import load_engine, load_hardware, load_model
from cost_analysis.published import PublishedCost, published_cost
from cost_analysis.spec import Engine, Hardware, ModelSpec, Precision, Workload

__version__ = "0.1.0"

__all__ = [
    "Engine",
    "Estimate",
    "Hardware",
    "Increase",
    "InputError",
    "Memory",
    "ModelSpec",
    "Operator",
    "Parameters",
    "Precision",
    "PublishedCost",
    "Workload",
    "estimate",
    "forward_pass",
    "increase",
    "kv_cache_bytes",
    "load_engine",
    "load_hardware",
    "load_model",
    "memory",
    "parameters",
    "published_cost",
]
