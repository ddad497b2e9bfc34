"""Whole runs with real engines: vLLM in the process, and its server behind `openai`."""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.request
from collections import Counter

import pytest

from support.engine_servers import serving
from support.tiny_bert import save_tiny

DATA = "known-posterior:train=40,validation=40,test=30"
# The texts are noise; a schema makes replies that can be parsed, and labels that can be right.
ASKED = "structured=true,max_tokens=120,texts=1,temperature=1"
OPTIONS = ["--seed", "0", "--bins", "10", "--arm", "synthesis+", "--replicates", "20", "--json"]
KEY = "canary-3f9d1c"


def synthetic(folder):
    """Return the lineage of all samples of the one run in a folder."""
    (run,) = (folder / "runs").iterdir()
    files = sorted((run / "samples").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def check(done, folder):
    """Check what every run must show, and return its board."""
    board = json.loads(done.stdout)  # whatever libraries print
    assert "Traceback (most recent" not in done.stderr and "WARNING" not in done.stderr
    assert len(done.stderr.splitlines()) < 25
    rows = synthetic(folder)
    verdicts = Counter(row["verdict"] for row in rows)
    print(verdicts)
    assert verdicts["accepted"] > 0
    for row in rows:
        if row["verdict"] == "accepted":
            assert row["raw"].startswith('{"texts":["')
            assert [message["role"] for message in row["messages"]] == ["system", "user"]
    counts = {entry["synthetic"]["accepted"] for entry in board["entries"] if entry["synthetic"]}
    assert counts == {verdicts["accepted"]}
    return board


def test_vllm_run_in_one_process_with_transformer_classifier(fgbench, tiny, tmp_path):
    save_tiny(tmp_path / "bert")
    command = [
        "run",
        *("--dataset", DATA),
        *("--classifier", "hf:model=bert,steps=4,device=cpu,max_length=32,batch_size=8,passes=2"),
        *("--generator", f"vllm:model={tiny},dtype=float32,max_model_len=4096,enforce_eager=true,"
                         f"block_size=32,{ASKED}"),
        *OPTIONS,
    ]  # fmt: skip
    done = fgbench(*command, timeout=500)
    board = check(done, tmp_path)
    (usage,) = {json.dumps(entry["usage"]) for entry in board["entries"] if entry["synthetic"]}
    assert json.loads(usage)["completion_tokens"] > 0
    assert board["entries"][0]["generator"]["params"]["model"] == tiny.name
    started = time.perf_counter()
    again = fgbench(*command, timeout=500)  # all of it is stored: no model is loaded
    assert json.loads(again.stdout)["entries"][0]["usage"] == board["entries"][0]["usage"]
    print(f"again: {time.perf_counter() - started:.1f} s")


@pytest.fixture(scope="module")
def server(tiny, tmp_path_factory):
    """Return the address of vLLM's own server, which asks for a key."""
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(tiny), "--served-model-name", "tiny", "--api-key", KEY),
        *("--dtype", "float32", "--max-model-len", "4096", "--enforce-eager"),
        *("--block-size", "32", "--distributed-executor-backend", "uni"),
        *("--gpu-memory-utilization", "0.4"),
        # Chunked prompts with a seed crash this engine on a CPU.
        *("--no-enable-chunked-prefill", "--max-num-batched-tokens", "8192"),
        *("--structured-outputs-config.disable_any_whitespace", "true"),
        *("--structured-outputs-config.backend", "xgrammar"),
    ]
    with serving(command, tmp_path_factory.mktemp("server") / "log.txt") as address:
        yield address


def test_run_over_vllm_server(fgbench, server, tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_KEY", KEY)
    command = [
        "run",
        *("--dataset", DATA),
        *("--generator", f"openai:model=tiny,base_url={server}/v1,api_key_env=TINY_KEY,{ASKED}"),
        *OPTIONS,
    ]
    done = fgbench(*command, timeout=500)
    check(done, tmp_path)
    with urllib.request.urlopen(f"{server}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    hits, queries = (
        float(re.search(rf"^vllm:prefix_cache_{name}_total\S* (\S+)$", metrics, re.M)[1])
        for name in ("hits", "queries")
    )
    print(f"prefix cache: {hits / queries:.0%} of {queries:.0f} tokens")
    assert hits / queries > 0.3
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
    assert KEY not in done.stdout + done.stderr


def test_wrong_key_ends_run_with_one_error(fgbench, server, monkeypatch):
    monkeypatch.setenv("TINY_KEY", "wrong")
    generator = f"openai:model=tiny,base_url={server}/v1,api_key_env=TINY_KEY,{ASKED}"
    done = fgbench(
        "run", "--dataset", DATA, "--generator", generator, *OPTIONS, code=1, timeout=500
    )
    assert "TINY_KEY" in done.stderr and "Traceback (most recent" not in done.stderr
