"""Print a board: its verdict first, then on request all its numbers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fgbench.cli.console import console
from fgbench.terminal import plain_json

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Leaderboard


def print_board(
    board: Leaderboard,
    *,
    page: str = "",
    table: bool = False,
    metrics: Sequence[str] = (),
    sort: str | None = None,
    against: str | None = None,
    ascii_only: bool = False,
    notes: Sequence[str] = (),
) -> None:
    """Print the verdict of a board and `notes`; with `table` all its numbers and their notes.

    Models that answered in place of the one asked for are always named.
    Whatever standard output cannot encode is printed in ASCII.
    """
    from fgbench.leaderboard.verdict import verdict_of
    from fgbench.report.layout import Charset
    from fgbench.report.notes import noted, served_otherwise
    from fgbench.report.table import AGAINST, results_table
    from fgbench.report.verdict_text import verdict_text

    output = console(highlight=False, emoji=False)
    charset = Charset.of(sys.stdout.encoding, ascii_only=ascii_only)
    verdict = verdict_of(board)
    output.print(
        verdict_text(verdict, output.width, charset=charset, page=page),
        soft_wrap=True,
        end="",
    )
    for note in (*notes, *served_otherwise(board.entries)):
        output.print(charset.text(f"  {note}"), markup=False)
    if table:
        shown = results_table(
            board,
            metrics or None,
            output.width,
            sort,
            against=against or AGAINST,
            charset=charset,
        )
        output.print()
        output.print(shown, soft_wrap=True, end="")
        for note in noted(board.entries):
            output.print(charset.text(f"Note: {note}"), markup=False)


def json_with_verdict(board: Leaderboard) -> str:
    """Return a board as JSON with its verdict; readers of boards ignore the verdict."""
    import json

    from fgbench.leaderboard.verdict import verdict_of

    text = board.to_json().rstrip()
    verdict = json.dumps(verdict_of(board).model_dump(mode="json"), ensure_ascii=False, indent=1)
    indented = verdict.replace("\n", "\n ")
    whole = f'{text.removesuffix("}").rstrip()},\n "verdict": {indented}\n}}\n'
    return plain_json(whole)
