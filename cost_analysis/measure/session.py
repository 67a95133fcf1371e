"""Times and memory of real forward passes, phase by phase.

A job runs in a process of its own: its memory can be measured, a job that runs out of memory ends
alone, and the parent runs several jobs in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from cost_analysis.common.errors import InputError, shown
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.measure.checkpoints import checkpoint_folder, load_checkpoint
from cost_analysis.measure.journal_rows import Failed, Loaded, Request
from cost_analysis.measure.parallel_model import ParallelModel, build
from cost_analysis.telemetry.machine import affinity, process_memory, reset_peak_memory


def check_device(device: str) -> None:
    """Refuse a device that is not here.

    Raises:
        InputError: Neither "cpu" nor a CUDA device of this machine.
    """
    try:
        asked = torch.device(device)
    except RuntimeError:
        raise InputError(f"--device is {shown(device)}; it must be cpu, cuda or cuda:N") from None
    if asked.type not in ("cpu", "cuda"):
        raise InputError(f"--device is {shown(device)}; it must be cpu, cuda or cuda:N")
    here = torch.cuda.device_count()
    if asked.type == "cuda" and (asked.index or 0) >= here:
        counted = {0: "no CUDA device is", 1: "one CUDA device is"}.get(here, f"{here} are")
        raise InputError(f"{counted} here for --device {device}; use another, or cpu")


@dataclass(frozen=True, slots=True)
class Job:
    """A model and a request to run it on.

    Attributes:
        name: What reports call it; unique in a plan.
        spec: The architecture, with its streams.
        batch_size: Sequences.
        input_length: Prompt tokens of each.
        output_length: Generated tokens of each.
        dtype: "fp32", "bf16" or "fp16".
        device: "cpu" or a CUDA device.
        engine: "eager", or "graphs": a compiled decode step over a static cache.
        threads: CPU threads; None means PyTorch's choice.
        logits: "last" or "all" positions whose logits the prefill keeps.
        checkpoint: Folder or cached Hugging Face id of weights; None means random ones.
    """

    name: str
    spec: ModelSpec
    batch_size: int = 1
    input_length: int = 64
    output_length: int = 16
    dtype: str = "fp32"
    device: str = "cpu"
    engine: str = "eager"
    threads: int | None = None
    logits: str = "last"
    checkpoint: str | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a worker measured when it was asked for some requests.

    Attributes:
        requests: Each of them, timed.
        memory: As `Session.memory` [B].
    """

    requests: tuple[Request, ...]
    memory: dict[str, int]


class Session:
    """A loaded model that runs one request again and again.

    Attributes:
        memory: Bytes "before" loading, "loaded", and at the "peak" of the last run; on a GPU as
            its allocator counts them, and what it had "reserved" at most.
    """

    def __init__(self, job: Job) -> None:
        """Load the model of a job."""
        if job.threads is not None:
            torch.set_num_threads(job.threads)
        self.job, self.cuda = job, job.device.startswith("cuda")
        if self.cuda:
            torch.cuda.set_device(job.device)  # what counts memory and waits means this one
        self.memory = {"before": self._used()}
        start = time.perf_counter()
        self.model = _model(job)
        self.load_seconds = time.perf_counter() - start
        self.memory["loaded"] = self._used()
        shape = (job.batch_size, job.input_length)
        self.prompt = torch.randint(0, int(job.spec.vocab_size), shape, device=job.device)
        self._kept = 0 if job.logits == "all" else 1
        self._step = decode_step(self.model, job.engine)
        self._static: Any = None

    @torch.inference_mode()
    def run(self) -> Request:
        """Run the request once; greedy tokens feed the next step, as generation does."""
        job = self.job
        self._reset_peak()
        tokens = job.input_length + job.output_length - 1
        cache = self._cache(tokens)
        times: list[float] = []
        with self._timed(times):
            logits = self.model(self.prompt, cache, logits_to_keep=self._kept)
        for past in range(job.input_length, tokens):
            token = logits[:, -1].argmax(-1, keepdim=True)
            position = torch.full((1, 1), past, device=token.device)
            with self._timed(times):
                logits = self._step(token, cache, position)
        self._note_peaks()
        prefill, *steps = times
        return Request(prefill=prefill, steps=tuple(steps), total=prefill + sum(steps))

    def _cache(self, tokens: int) -> Any:
        """A cache that grows, or the one static cache, which holds nothing but the prefixes."""
        size = self.job.batch_size
        if self.job.engine == "eager":
            return self.model.new_cache(size)
        if self._static is None:
            self._static = self.model.new_cache(size, tokens)
        else:
            self.model.renew(self._static, size)
        return self._static

    @contextmanager
    def _timed(self, times: list[float]) -> Iterator[None]:
        """Append the time of a block: by CUDA events on a GPU, by a clock on a CPU."""
        if not self.cuda:
            start = time.perf_counter()
            yield
            times.append(time.perf_counter() - start)
            return
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        torch.cuda.synchronize()
        events[0].record()
        yield
        events[1].record()
        torch.cuda.synchronize()
        times.append(events[0].elapsed_time(events[1]) / 1e3)

    def _used(self) -> int:
        if self.cuda:
            return torch.cuda.memory_allocated()
        return int(process_memory().resident or 0)

    def _note_peaks(self) -> None:
        if self.cuda:
            self.memory["peak"] = torch.cuda.max_memory_allocated()
            self.memory["reserved"] = torch.cuda.max_memory_reserved()
        else:
            self.memory["peak"] = int(process_memory().peak or 0)

    def _reset_peak(self) -> None:
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            reset_peak_memory()


def _model(job: Job) -> ParallelModel:
    if job.checkpoint is None:
        return build(job.spec, device=job.device, dtype=job.dtype)
    folder = checkpoint_folder(job.checkpoint)
    return load_checkpoint(folder, device=job.device, dtype=job.dtype)


Step = Callable[[torch.Tensor, Any, torch.Tensor], torch.Tensor]


def decode_step(model: ParallelModel, engine: str) -> Step:
    """One decode step: tokens (B, 1), a cache, and their position (1, 1), to logits.

    Args:
        model: The model.
        engine: "eager", or "graphs" for a compiled step (CUDA graphs on a GPU).
    """

    def step(tokens: torch.Tensor, cache: Any, position: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model(tokens, cache, positions=position)
        return logits

    if engine == "eager":
        return step
    mode = "reduce-overhead" if model.device.type == "cuda" else "default"
    compiled: Step = torch.compile(step, fullgraph=True, mode=mode)
    return compiled


def serve(connection: Connection, job: Job) -> None:
    """The worker process: load the job's model, then run it as often as the parent asks.

    Sends `Loaded` or `Failed`; answers each number of requests with `RunResult` or `Failed`, and
    ends at 0.
    """
    try:
        session = Session(job)
        connection.send(_loaded(session))
        while count := connection.recv():
            requests = tuple(session.run() for _ in range(count))
            connection.send(RunResult(requests, session.memory))
    except (MemoryError, torch.OutOfMemoryError) as error:
        connection.send(_failed(job, f"out of memory: {str(error).splitlines()[0]}"))
    except InputError as error:
        connection.send(_failed(job, str(error)))
    except RuntimeError as error:  # the CPU allocator and CUDA kernels raise no error of their own
        connection.send(_failed(job, str(error).splitlines()[0]))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return  # the parent is gone or going


def _loaded(session: Session) -> Loaded:
    return Loaded(
        job=session.job.name,
        load_seconds=session.load_seconds,
        threads=torch.get_num_threads(),
        parameters=session.model.parameter_count(),
        affinity=affinity(),
    )


def _failed(job: Job, reason: str) -> Failed:
    return Failed(job=job.name, reason=reason)
