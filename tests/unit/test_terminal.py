"""Text of others on its way to a terminal or a spreadsheet."""

import io
import json
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgbench.cli import console as edge
from fgbench.cli import run_command
from fgbench.terminal import csv_cell, plain, plain_json

HOSTILE = {
    "clear": "\x1b[2J\x1b[1;1H",
    "title": "\x1b]0;title\x07",
    "clipboard": "\x1b]52;c;ZXZpbA==\x1b\\",
    "link": "\x1b]8;;http://example.org\x1b\\text\x1b]8;;\x1b\\",
    "colors": "\x1b[35;5mblink\x1b[0m",
    "reset": "\x1bc",
    "device": "\x1bP1;1|17/ab\x1b\\",
    "C1": "\x9b2J\x9d0;title\x9c\x85\x90",
    "overwrite": "a\rb\x08\x0b\x0c\x00\x7f",
    "bidi": "\u202e\u2066\u200f\u061c",
    "invisible": "\u200b\ufeff\u2060\U000e0041",
    "surrogate": "\ud800",
}
ALL = "".join(HOSTILE.values())


def is_clean(text: str) -> bool:
    return not any(char in text for char in set(ALL) if not char.isprintable() or char == "\ud800")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_plain_text_has_nothing_that_a_terminal_obeys(text):
    assert is_clean(plain(f"before {text} after"))
    assert plain(f"before {text} after").startswith("before ")
    assert plain(f"before {text} after").endswith(" after")


@pytest.mark.parametrize(
    "text", ["", "line\n\ttabbed\n", "é ü 日本語 العربية שלום", "👩‍🔬 ✓ ≈ −1", "a\u3000b"]
)
def test_plain_text_is_left_as_it_is(text):
    assert plain(text) == text


@given(st.text())
def test_plain_text_is_stable_and_can_be_encoded(text):
    assert plain(plain(text)) == plain(text)
    plain(text).encode("utf-8")


@given(st.dictionaries(st.text(), st.text() | st.sampled_from([*HOSTILE.values()])))
def test_plain_json_has_the_same_value(value):
    text = plain_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert is_clean(text)


@pytest.mark.parametrize(
    "text", ["=1", "+1", "-1", "@a", "＝1", "＋1", " =1", "\t=1", "\t1", "\u3000＝1", "\r1"]
)
def test_formulas_get_an_apostrophe(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", "1-2", " a", "synthesis+"])
def test_other_cells_are_left_as_they_are(text):
    assert csv_cell(text) == text


class Terminal(io.StringIO):
    def isatty(self):
        return True


@contextmanager
def on_a_terminal(monkeypatch):
    """Standard output and error as one terminal, after pytest has replaced them."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with redirect_stdout(Terminal()) as stream, redirect_stderr(stream):
        yield stream


def test_whoever_prints_is_filtered(monkeypatch):
    with on_a_terminal(monkeypatch) as terminal, edge.guarded():
        click.echo(ALL)
        click.echo(ALL, err=True)
        print(ALL, file=sys.stderr)
        sys.stdout.writelines([ALL])
        click.UsageError(ALL).show()
        edge.console().print(ALL, markup=False, highlight=False)
        edge.echo_heading("")
    written = terminal.getvalue().replace("\x1b[1m\x1b[0m", "")  # the empty heading
    assert is_clean(written)


def test_own_styles_reach_the_terminal(monkeypatch):
    with on_a_terminal(monkeypatch) as terminal, edge.guarded():
        edge.console().print("[bold]bold[/bold]")
        edge.echo_heading("heading")
    assert "\x1b[1mbold\x1b[0m" in terminal.getvalue()
    assert "\x1b[1mheading\x1b[0m" in terminal.getvalue()


def test_progress_bars_of_libraries_still_overwrite_their_line(monkeypatch):
    with on_a_terminal(monkeypatch) as terminal, edge.guarded():
        sys.stderr.write("\r 50%")
        sys.stderr.write("\x1b[A")
        sys.stdout.write("\rname")
    assert terminal.getvalue() == "\r 50%\x1b[A\N{REPLACEMENT CHARACTER}name"


def test_error_of_a_command_is_filtered(monkeypatch):
    name = "none" + "".join(char for char in ALL if char not in "\0\ud800")
    with on_a_terminal(monkeypatch) as terminal:
        assert run_command(["leaderboard", "show", name]) == 2
    assert is_clean(terminal.getvalue())


def test_nul_in_an_argument_is_one_sentence(capsys):
    assert run_command(["store", "info", "--store", "a\0b"]) == 2
    assert "NUL" in capsys.readouterr().err
