"""Fixtures that every test shares: separate folders, and the command line as a process."""

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from support.llm_server import LlmServer
from support.runs import ENTRY, PROBE

settings.register_profile("fuzz", max_examples=5000)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run side by side: more threads than cores would only wait for each other. It is early
    # enough, for numpy and torch are imported later, and reaches the processes that tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    """Keep the store, the cache and the consents of each test apart from the user's."""
    monkeypatch.setenv("FGBENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FGBENCH_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("FGBENCH_DATA", raising=False)
    monkeypatch.delenv("FGBENCH_PLUGINS", raising=False)


@pytest.fixture
def real_data():
    """Return the folder of the real data sets, or skip."""
    folder = os.environ.get("FGBENCH_TEST_DATA")
    if not folder:
        pytest.skip("FGBENCH_TEST_DATA does not name the folder of the real data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return the folder of a tiny BERT, to be left as it is; needs torch."""
    from support.tiny_bert import save_tiny

    folder = tmp_path_factory.mktemp("tiny")
    save_tiny(folder)
    return folder


@pytest.fixture
def fgbench(tmp_path):
    """Run the command line in a process of its own, in the test's folder."""

    def call(*arguments, code=0, probe=False, **options):
        plugin = ["--plugin", str(PROBE)] if probe else []
        answer = subprocess.run(
            [*ENTRY, *map(str, arguments), *plugin],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=options.pop("timeout", 300),
            **options,
        )
        assert answer.returncode == code, answer.stderr + answer.stdout
        return answer

    return call


@pytest.fixture
def llm_server(monkeypatch):
    """Start OpenAI-compatible servers: `llm_server(latency=…, script=[…])`; see llm_server.py."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with ExitStack() as servers:
        yield lambda **behavior: servers.enter_context(LlmServer(**behavior))
