"""What an arm added, as texts for the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgbench.leaderboard.models import AddedRecord
from fgbench.numbers import NOTHING, number, percent

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Entry

_MAX_CLASSES = 8


@dataclass(frozen=True)
class AdditionsText:
    """The facts of `AddedRecord` over all seeds; a dash where there is none."""

    count: str = NOTHING
    classes: str = ""
    shared: str = NOTHING
    overlap: str = ""
    labels_from_bins: str = NOTHING
    labels_from_asked: str = ""
    wrong_way: str = NOTHING

    @property
    def sentence(self) -> str:
        """All of them in one line; empty if none is known."""
        if self.count == NOTHING:
            return ""
        parts = [f"{self.count} ({self.classes} by class)"]
        if self.shared != NOTHING:
            parts.append(f"{self.shared} of their source points targeted ({self.overlap})")
        if self.labels_from_bins != NOTHING:
            parts.append(
                f"label rates differ by {self.labels_from_bins} from the bins' and by "
                f"{self.labels_from_asked} from the requested ones"
            )
        if self.wrong_way != NOTHING:
            parts.append(f"{self.wrong_way} requested away from the diagonal")
        return "; ".join(parts)


def additions_text(entry: Entry) -> AdditionsText:
    """Return what an entry's arm added; dashes on boards of older versions."""
    if entry.synthetic is None or not entry.synthetic.added:
        return AdditionsText()
    added = AddedRecord.pooled(entry.synthetic.added)
    classes = " / ".join(f"{count:,}" for count in added.used[:_MAX_CLASSES])
    more = " / …" if len(added.used) > _MAX_CLASSES else ""
    return AdditionsText(
        count=f"{added.n_used:,} of {added.n_asked:,}",
        classes=classes + more,
        shared=_percent(added.shared),
        overlap="" if added.overlap is None else f"Jaccard {number(added.overlap)}",
        labels_from_bins=number(added.labels_from_bins),
        labels_from_asked=""
        if added.labels_from_asked is None
        else number(added.labels_from_asked),
        wrong_way=_percent(added.wrong_way / added.requests if added.requests else None),
    )


def _percent(share: float | None) -> str:
    return NOTHING if share is None else percent(share)
