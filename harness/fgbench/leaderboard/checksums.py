"""Checksums over what cannot be recomputed, so that `verify` detects a change of it.

An entry's numbers follow from its predictions, and its id from its coordinates. The rest cannot be
recomputed: the counts and costs of generation, and provenance; for published figures, the figures
themselves. Each of these fields has a checksum, computed when the entry is built. The board has one
over its name, its date, its primary contrast, the ids of its entries and their checksums. Checksums
detect accidents and careless edits. They do not detect somebody who changes a field together with
its checksums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fgbench.digests import digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fgbench.leaderboard.models import Entry
    from fgbench.primary import Primary

_DIGITS = 16
ON_TRUST = ("provenance", "synthetic", "usage")
PUBLISHED = ("metrics", "metric_versions", "higher_is_better", "undefined", "statistics")
"""Further fields of published figures that cannot be recomputed."""
FIRST_VERSION, SINCE_VERSION_2 = "1", ("margins", "statistics")
"""The first `statistics.version`, and the fields with a checksum since the next one."""


def entry_checksums(entry: Entry) -> dict[str, str]:
    """Return the checksum of each field that cannot be recomputed.

    Default values are left out, so that a field added later changes no checksum.
    """
    fields: tuple[str, ...] = ON_TRUST if entry.published is None else ON_TRUST + PUBLISHED
    if entry.published is None and entry.statistics.version != FIRST_VERSION:
        fields += SINCE_VERSION_2
    value = entry.model_dump(mode="json", include=set(fields), exclude_defaults=True)
    return {name: digest(value.get(name))[:_DIGITS] for name in sorted(fields)}


def board_checksum(name: str, created: str, entries: Iterable[Entry], primary: Primary) -> str:
    """Return the checksum of a board; the order of its entries does not matter.

    Defaults of `primary` are left out, as in the checksums of entries.
    """
    listed = [[entry.id, entry.checksums] for entry in sorted(entries, key=lambda entry: entry.id)]
    declared = primary.model_dump(mode="json", exclude_defaults=True)
    return digest([name, created, listed, *([declared] if declared else [])])[:_DIGITS]


def with_checksums(entry: Entry) -> Entry:
    """Return the entry with new checksums."""
    return entry.model_copy(update={"checksums": entry_checksums(entry)})
