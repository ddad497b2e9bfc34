"""The edge of the console: whatever is printed passes through here, and loses what terminals obey.

Most of what fgbench prints contains text of others: names of a board, messages of a server, lines
of a file. `guarded` replaces standard output and error by streams that filter it, whoever writes:
click, a plugin, a warning or a traceback. Only `console` writes styles, around filtered text.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

from fgbench.terminal import plain, plain_json

if TYPE_CHECKING:
    from rich.console import Console

_PROGRESS = re.compile(r"\r|(?:\x1b\[A)+")
"""What the progress bars of other libraries begin a write with."""


@contextmanager
def guarded() -> Iterator[None]:
    """Filter what is written to standard output and error meanwhile."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        _Guarded(streams[0]),
        _Guarded(streams[1], progress=_PROGRESS),
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def console(*, stderr: bool = False, **options: Any) -> Console:
    """Return a rich console for standard output or error; it filters the text that it prints."""
    from rich.console import Console, RenderableType
    from rich.segment import Segment

    class FilteredConsole(Console):
        def render(self, renderable: RenderableType, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                text = segment.text if segment.control else plain(segment.text)
                yield segment if text is segment.text else Segment(text, segment.style)

    return FilteredConsole(file=_unguarded(stderr), stderr=stderr, **options)


def echo_heading(text: str) -> None:
    """Print a line in bold."""
    click.secho(plain(text), bold=True, file=_unguarded(stderr=False))


def json_text(value: Any, **options: Any) -> str:
    """Return a value as JSON, with `json.dumps`; what terminals obey is escaped in its strings."""
    import json

    return plain_json(json.dumps(value, ensure_ascii=False, **options))


def _unguarded(stderr: bool) -> TextIO:
    stream = sys.stderr if stderr else sys.stdout
    while isinstance(stream, _Guarded):
        stream = stream.unguarded
    return stream


class _Guarded:
    """A text stream that filters what is written.

    It has no `buffer`, so that nothing is written around it.
    """

    def __init__(self, stream: TextIO, progress: re.Pattern[str] | None = None) -> None:
        self.unguarded = stream
        self._progress = progress

    def write(self, text: str) -> int:
        """Write the text, filtered."""
        start = self._progress and self._progress.match(text)
        head = start[0] if start else ""
        self.unguarded.write(head + plain(text[len(head) :]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write the texts, filtered."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.unguarded, name)
