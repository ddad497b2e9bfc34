"""Notes on the entries of a board, one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from fgbench.llm.served import is_notable, joined_notes

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Entry, SyntheticRecord

_FEWEST = 0.5
"""Below this share of the requested inputs, an entry says that it has few."""


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
        yield from _shortage(entry.synthetic)
        notes, served = joined_notes(entry.synthetic.notes)
        if served is not None:
            yield f"the generator's replies were {served}"
        for note, count in notes.items():
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


def served_otherwise(entries: Iterable[Entry]) -> list[str]:
    """Return a line on models that answered in place of the one asked for, or one after another."""
    counts: Counter[str] = Counter()
    lines = set()
    for entry in entries:
        if entry.synthetic is not None:
            counts.update(entry.synthetic.notes)
        lines |= {note for note in entry.provenance.notes if is_notable(note)}
    _, served = joined_notes(counts)
    return sorted(lines | ({served} if served is not None and is_notable(served) else set()))


def _shortage(record: SyntheticRecord) -> Iterator[str]:
    """Yield a warning if an arm has few or none of the inputs that it asked for."""
    if record.accepted >= _FEWEST * record.requested:
        return
    reasons = sorted(record.rejected_by.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{reason} ×{count:,}" for reason, count in reasons[:3])
    yield (
        f"only {record.accepted:,} of {record.requested:,} synthetic inputs were accepted"
        + (f" (rejected: {listed})" if listed else "")
    )
