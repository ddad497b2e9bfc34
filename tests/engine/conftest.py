"""Fixtures of the tests of real engines, which run in the tox environment `engine`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.tiny_llama import save_tiny_llama

_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            if find_spec("vllm") is None:
                item.add_marker(pytest.mark.skip(reason=_reason()))
            # Warnings from vLLM's own libraries are not ours to fix.
            item.add_marker(pytest.mark.filterwarnings("default"))


def _reason():
    noted = Path(sys.prefix) / "no-vllm.txt"  # see install.py
    why = noted.read_text(encoding="utf-8") if noted.is_file() else "run `tox -e engine`"
    return f"vllm is not installed: {why}"


@pytest.fixture(autouse=True, scope="session")
def _environment():
    before = dict(os.environ)
    os.environ.update(_ENVIRONMENT)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return the folder of the tiny Llama."""
    return save_tiny_llama(tmp_path_factory.mktemp("models") / "tiny-llama")
