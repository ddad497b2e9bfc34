"""Numbers as text: the digits, signs and breaks that every output shares."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fgbench
from fgbench.numbers import (
    ascii_text,
    count,
    date,
    in_words,
    interval,
    margin_text,
    number,
    percent,
    plural,
    signed,
)

FINITE = st.floats(-100, 100, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.18551599, ".186"),
        (0.13746637, ".137"),
        (1.0, "1.000"),
        (0.9996, "1.000"),
        (0.0, ".000"),
        (-0.0, ".000"),
        (-0.0004, ".000"),
        (-0.0364, "−.036"),
        (12.3456, "12.346"),
        (None, "–"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "+.012"), (-0.0123, "−.012"), (0.0004, ".000"), (-0.0, ".000"), (1.5, "+1.500")],
)
def test_signed(value, text):
    assert signed(value) == text


def test_interval_has_the_digits_of_its_ends_and_does_not_break():
    assert interval((0.117, 0.1543)) == "[.117,\N{NO-BREAK SPACE}.154]"
    assert interval((-0.039, -0.0336), differs=True) == "[−.039,\N{NO-BREAK SPACE}−.034]"
    assert interval((-0.0001, 0.02), differs=True) == "[.000,\N{NO-BREAK SPACE}+.020]"
    assert " " not in interval((0.1, 0.2))
    assert interval(None) == "–"


@given(FINITE)
def test_text_reads_back_to_three_decimals(value):
    for text in (number(value), signed(value)):
        read = float(text.replace("−", "-"))
        assert abs(read - value) <= 0.0005000001
        assert re.fullmatch(r"[+−]?(\d+)?\.\d{3}", text)
        assert not text.startswith(("0", "+0", "−0"))


@given(FINITE)
def test_signed_and_number_have_the_same_digits(value):
    assert signed(value).lstrip("+−") == number(value).lstrip("−")


@given(st.text())
def test_ascii_text_is_ascii(text):
    assert ascii_text(text).isascii()


def test_ascii_substitutes():
    assert ascii_text("−.036 ±.01 → ● ■ ◆ ◇ · é") == "-.036 +/-.01 -> * # = ? - ?"
    assert ascii_text("plain") == "plain"


def test_counts_margins_and_words():
    assert [margin_text(x) for x in (0.01, 0.005, 0.1, 1.0)] == [".01", ".005", ".1", "1"]
    assert count(1415) == "1,415"
    assert date("2026-11-21T04:05:05.445Z") == "21 Nov 2026"
    assert [date(text) for text in ("", "some day")] == ["", "some day"]
    assert percent(0.2971) == "30\N{NO-BREAK SPACE}%"
    assert [in_words(n) for n in (0, 2, 12, 13)] == ["no", "two", "twelve", "13"]
    assert [plural(n, "seed") for n in (1, 3)] == ["1 seed", "3 seeds"]


def test_scripts_of_the_page_format_no_number_of_the_board():
    folder = Path(fgbench.__file__).parent / "report" / "static"
    for script in folder.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert "toFixed" not in text, script.name
        assert "Math.round" not in text, script.name
