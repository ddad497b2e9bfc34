"""Which inputs count as equal: texts after normalization, numbers where they are the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence


def normalize(text: str) -> str:
    """Return the text in lower case, without punctuation, with single spaces.

    Unicode is normalized to NFKC. A text without any word keeps its punctuation.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded)) or " ".join(folded.split())


def group_numbers(inputs: Iterable[str | Sequence[float]]) -> list[int]:
    """Return the group of each input, numbered from 0 in the order of first appearance.

    Inputs of one group are texts that are equal after `normalize`, or equal rows of numbers.
    """
    groups: dict[str | tuple[float, ...], int] = {}
    return [
        groups.setdefault(normalize(item) if isinstance(item, str) else tuple(item), len(groups))
        for item in inputs
    ]
