"""Device, precision, threads and random state of torch while a part runs. Imports torch."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fgbench import ConfigurationError


def choose_device(device: str) -> torch.device:
    """Return the requested device; "auto" is the first available of cuda, mps and cpu."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        device = next(name for name, usable in available.items() if usable)
    if not available[device]:
        raise ConfigurationError(
            f"device={device}: not available to torch {torch.__version__}; use device=auto or cpu."
        )
    return torch.device(device)


def autocast(precision: str, device: torch.device) -> Any:
    """Return a context for computing: bf16 if requested, or for "auto" if the GPU supports it."""
    if precision == "auto":
        capable = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16" if capable else "float32"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def torch_state(
    device: torch.device, seed: int, *, threads: int, deterministic: bool
) -> Iterator[None]:
    """Seed torch and set threads and determinism, and restore all of it afterwards.

    On a GPU, `deterministic` restricts torch to deterministic algorithms; on a CPU, all algorithms
    used here are. `threads=0` is all cores. The number of threads is always set: the harness limits
    BLAS to one thread once torch is loaded, so that the first training of a process would otherwise
    differ from the next.
    """
    former_threads = torch.get_num_threads()
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    on_gpu = device.type != "cpu"
    forked = {"devices": [0], "device_type": device.type} if on_gpu else {"devices": []}
    with torch.random.fork_rng(**forked):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            getattr(torch, device.type).manual_seed(seed)
        torch.set_num_threads(threads or _cores())
        if device.type == "cuda" and deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(former_threads)
            torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)


def check_vocabulary(tokenizer: Any, model: Any, name: str) -> None:
    """Raise `ConfigurationError` if a tokenizer has tokens for which a model has no embedding."""
    largest = max(tokenizer.get_vocab().values(), default=-1)
    rows = getattr(model.get_input_embeddings(), "num_embeddings", largest + 1)
    if largest >= rows:
        raise ConfigurationError(
            f"model {name!r}: its tokenizer has token ids up to {largest:,}, but it has only "
            f"{rows:,} embeddings: call model.resize_token_embeddings(len(tokenizer)) before "
            "saving it."
        )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch ran out of device or host memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_memory(device: torch.device) -> None:
    """Release unreferenced memory after memory ran out."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the progress bars and advice of transformers, and restore them afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
