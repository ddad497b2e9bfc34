"""A compatible server that is not quite compatible: `transformers serve`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fgbench_plugins.generators.openai import OpenAIGenerator
from support.engine_servers import serving
from support.tiny_llama import NoCaps, ask, chat


@pytest.fixture(scope="module")
def server(tiny, tmp_path_factory):
    """Return the address of a server that ignores seeds, log-probabilities and schemas."""
    command = [
        *(Path(sys.executable).with_name("transformers"), "serve", str(tiny)),
        *("--device", "cpu", "--dtype", "float32"),
    ]
    with serving(command, tmp_path_factory.mktemp("serve") / "log.txt") as address:
        yield f"{address}/v1"


def test_ignored_request_fields_are_noted(server, tiny):
    part = OpenAIGenerator.create(
        {"model": str(tiny), "base_url": server, "structured": True, "concurrency": 4},
        name="openai",
    )
    model = part.chat_model()
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    plain, shaped, scored = ask(
        model,
        [
            chat("x", max_tokens=8, draw=0),
            chat("x", max_tokens=8, draw=1, schema=schema),
            chat("x", max_tokens=8, draw=2, top_logprobs=3),
        ],
        NoCaps(),
    )
    model.close()
    print(plain, shaped, scored, sep="\n")
    assert plain.ok and shaped.ok and scored.ok
    assert any("structured" in note for note in shaped.notes)
    assert scored.tokens is None
