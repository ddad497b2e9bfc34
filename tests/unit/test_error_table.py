"""What the messages of real servers mean: each row of the table, and collected messages."""

import json
from pathlib import Path

import pytest

from fgbench_plugins.language_models.error_table import (
    RULES,
    ErrorClass,
    classify,
    rejected_field,
)
from fgbench_plugins.language_models.faults import status_fault
from fgbench_plugins.language_models.server_error import duration, server_error

COLLECTED = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "stored" / "server_errors.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
"""Messages from public reports, shortened; `source` is the repository and the thread."""
SENT = ("system", "response_format", "logprobs", "seed", "n", "max_tokens", "stop", "top_p",
        "temperature")  # fmt: skip


def error_of(case):
    return server_error(case["status"], case.get("headers", {}), case["body"])


def test_enough_messages_are_collected_from_different_reports():
    assert len({case["source"] for case in COLLECTED}) >= 60
    assert {case["class"] for case in COLLECTED} >= {
        "key", "model", "credit", "rate limit", "prompt too long", "content filter", "overloaded",
        "transport",
    }  # fmt: skip


@pytest.mark.parametrize("case", COLLECTED, ids=lambda case: case["source"])
def test_collected_message_has_its_class(case):
    error = error_of(case)
    field = rejected_field(error, SENT)
    assert field == case.get("field")
    assert (ErrorClass.FIELD if field else classify(error)) == case["class"]


@pytest.mark.parametrize(
    "case", [case for case in COLLECTED if "wait" in case], ids=lambda case: case["source"]
)
def test_wait_is_read_wherever_a_server_names_it(case):
    assert error_of(case).wait == pytest.approx(case["wait"])


@pytest.mark.parametrize(
    "case", [case for case in COLLECTED if "wait" not in case], ids=lambda case: case["source"]
)
def test_no_wait_is_invented(case):
    assert error_of(case).wait is None


def test_every_rule_decides_a_message():
    """A row that no message needs is a guess."""
    examples = [
        *map(error_of, COLLECTED),
        *(server_error(status, {}, text) for status, text in LOOK_ALIKES),
    ]
    for rule in RULES:
        first = [error for error in examples if next(filter(_matching(error), RULES), None) is rule]
        assert first, rule


def _matching(error):
    return lambda rule: rule.matches(error)


LOOK_ALIKES = {
    (400, "This model's maximum context length is 256 tokens."): "prompt too long",
    (400, "response_format json_schema is not supported by this model, choose another model "
     "that is not found lacking"): "request",
    (404, "model 'm' not found, try pulling it first"): "model",
    (404, "No such model"): "model",
    (404, "This model is reserved for paying customers"): "model",
    (404, "404 page not found"): "address",
    (404, "No endpoints found matching your data policy"): "model",
    (403, "This account was flagged for review"): "key",
    (400, "A quotation about billing is missing from your messages"): "request",
    (400, "The key of your object must be a string"): "request",
    (400, "Invalid value for messages[0]: the model cannot read it"): "request",
    (429, "Limit 100000 tokens per day (TPD), used 100000. Please try again in 14m24s."):
        "credit",
    (429, "Limit 100000 tokens per day (TPD), used 99990. Please try again in 1m30s."):
        "rate limit",
    (429, "limit: 0.5 requests per second"): "rate limit",
    (429, "You exceeded your current quota, see your plan and billing details"): "rate limit",
    (401, "Invalid authentication credentials"): "key",
    (403, "You must provide an API key: authentication required"): "key",
    (400, "max_tokens is too large: 100000. This model supports at most 16384"): "parameter",
    (413, "<html><body>413 Request Entity Too Large</body></html>"): "prompt too long",
    (403, "You are being rate-limited"): "rate limit",
    (502, "Bad gateway"): "transport",
    (500, "<html><body>oops</body></html>"): "transport",
    (500, "The server had an error"): "overloaded",
    (418, ""): "request",
}  # fmt: skip


@pytest.mark.parametrize(("case", "name"), LOOK_ALIKES.items(), ids=lambda item: str(item)[:60])
def test_phrases_decide_and_single_words_do_not(case, name):
    status, text = case
    assert classify(server_error(status, {}, text)) == name


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30), ("30s", 30), ("1m30s", 90), ("250ms", 0.25), ("1.5 s", 1.5), ("2 hours", 7200),
        ("1h2m3s", 3723), ("3 milliseconds", 0.003), ("1 day", 86400), ("6m0s", 360),
        ("soon", None), ("", None), ("12 apples", None), ("5 minutes", 300),
    ],
)  # fmt: skip
def test_duration_forms(text, seconds):
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30s"}, 30),
        ({"retry-after": "1m30s"}, 90),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "6m0s"}, None),
    ],
)
def test_wait_in_headers(headers, seconds):
    assert server_error(429, headers, "").wait == seconds


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000", ""])
@pytest.mark.parametrize("place", ["America/New_York", "Asia/Kolkata"])
def test_date_without_zone_is_utc(monkeypatch, place, zone):
    import time
    from email.utils import formatdate

    monkeypatch.setenv("TZ", place)
    time.tzset()
    try:
        then = formatdate(time.time() + 30).removesuffix("-0000").strip()
        assert 27 < server_error(429, {"retry-after": f"{then} {zone}".strip()}, "").wait < 31
    finally:
        monkeypatch.undo()
        time.tzset()


def test_hostile_bodies_are_read_in_bounds():
    deep = "x"
    for _ in range(5000):
        deep = {"error": deep}
    wide = {"error": {"message": ["a" * 1000] * 100_000, "details": [{"reason": "b"}] * 100_000}}
    for body in (deep, wide, None, 5, [], [[]], {"error": None}, {"error": {"message": {}}}):
        assert classify(server_error(400, {}, body)) == "request"


def test_message_is_one_short_line():
    fault = status_fault(400, {}, {"error": {"message": "a\n" * 10_000}}, (), "m")
    assert "\n" not in fault.reason and len(fault.reason) < 220


def test_documented_table_has_every_class():
    text = (Path(__file__).parents[2] / "docs" / "language-models.md").read_text("utf-8")
    table = text.partition("| class | recognized by |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert sorted(rows) == sorted(f"`{name}`" for name in ErrorClass)
