"""The generator `openai`: its parameters, and what is checked before anything is sent."""

import subprocess
import sys

import pytest

from fgbench import ConfigurationError, Price
from fgbench_plugins.generators.anthropic import AnthropicGenerator
from fgbench_plugins.generators.openai import OpenAIGenerator


def make(**parameters):
    return OpenAIGenerator.create({"model": "m", **parameters}, name="openai")


def test_transport_settings_are_not_part_of_identity():
    plain = make(base_url="http://host/v1").published_parameters()
    hurried = make(
        base_url="http://host/v1", concurrency=64, timeout=5, retries=0, api_key_env="MY_KEY"
    )
    assert hurried.published_parameters() == plain
    assert "concurrency" not in plain and plain["base_url"] == "http://host/v1"


def test_missing_key_fails_in_preflight(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    make(base_url="http://host/v1").preflight()
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        make().preflight()
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    make().preflight()


def test_unknown_price_is_allowed():
    assert make().chat_model().price is None
    assert make(price_prompt=1, price_completion=2).chat_model().price == Price(1, 2)
    assert make(price_prompt=0, price_completion=0).chat_model().price == Price()


def test_extra_body_accepts_table_or_json():
    for given in ({"think": False}, '{"think": false}'):
        assert make(extra_body=given).extra_body == {"think": False}
    for bad, words in (("think", "not valid JSON"), ("[1]", "dictionary")):
        with pytest.raises(ConfigurationError, match=words):
            make(extra_body=bad)


def test_extra_body_is_part_of_the_identity():
    plain, thinking = make(), make(extra_body={"reasoning_effort": "low"})
    assert plain.chat_model().identity != thinking.chat_model().identity


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"base_url": "http://me:hush@host/v1"}, "user name or a password"),
        ({"api_key_env": "sk-hush"}, "takes the name of an environment variable"),
        ({"base_url": "host:8000"}, "not an HTTP URL"),
        ({"concurrency": 0}, "concurrency"),
        ({"model": ""}, "model"),
    ],
)
def test_incompatible_settings_are_refused_while_planning(parameters, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        make(**parameters)
    assert "hush" not in str(caught.value)


def test_anthropic_has_its_own_key_and_identity(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "hush")
    part = AnthropicGenerator.create({"model": "claude"}, name="anthropic")
    identity = part.chat_model().identity
    assert (identity["engine"], identity["endpoint"]) == (
        "anthropic",
        "https://api.anthropic.com/v1",
    )
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY"):
        part.preflight()
    used = {access.name for access in AnthropicGenerator.accesses({"model": "claude"})}
    assert used == {"api.anthropic.com", "ANTHROPIC_API_KEY"}
    elsewhere = {"model": "m", "base_url": "http://host/v1"}
    assert {access.name for access in AnthropicGenerator.accesses(elsewhere)} == {"host"}


def test_room_for_thoughts_is_part_of_the_identity_only_if_set():
    assert "thinking_tokens" not in make().published_parameters()
    assert make(thinking_tokens=4000).published_parameters()["thinking_tokens"] == 4000


def test_planning_does_not_load_the_client():
    code = (
        "import sys, fgbench_plugins.generators.openai as home\n"
        "home.OpenAIGenerator.create({'model': 'm'}, name='openai').chat_model()\n"
        "assert not {'openai', 'httpx2', 'anyio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
