"""Notes on the entries of a board, one line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Entry


def noted(entries: Iterable[Entry]) -> list[str]:
    """Return the distinct notes of generators and classifiers, each with its entries.

    Entries that differ only in their calibrator share their notes.
    """
    places_of: dict[str, list[str]] = {}
    for entry in entries:
        where = f"{entry.dataset.title} · {entry.classifier.name} · {entry.arm}"
        for note in notes_of(entry):
            if where not in (places := places_of.setdefault(note, [])):
                places.append(where)
    return [f"{'; '.join(places)}: {note}" for note, places in places_of.items()]


def notes_of(entry: Entry) -> Iterator[str]:
    """Yield the notes of one entry's generator and classifier."""
    if entry.synthetic is not None:
        for note, count in entry.synthetic.notes.items():
            yield f"{note} ({count:,} replies to the generator)"
    for note in entry.provenance.notes:
        yield note
    usage = entry.usage
    if entry.synthetic is None and usage.requests:
        tokens = usage.prompt_tokens + usage.completion_tokens
        yield (
            f"the classifier asked a language model {usage.requests:,} times, {tokens:,} tokens, "
            f"${usage.cost_usd:,.2f}"
        )
