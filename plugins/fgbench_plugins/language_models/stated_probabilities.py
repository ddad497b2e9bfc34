"""The probabilities that a model states next to a text, such as "(55% negative, 45% positive)".

Probabilities count only if the class of each is named. A bare percentage is recognized, so that it
does not become part of the text, but yields no probabilities.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

_NUMBER = r"(?<![\w.,])\d{1,3}(?:[.,]\d{1,6})?(?!\w|[.,]\d)\s*[%％]?"
_FILLERS = re.compile(
    r"\b(?:p|prob|probs|probability|probabilities|chance|confidence|confident|likelihood|likely"
    r"|score|of|to|for|the|a|an|is|are|and|or|be|being|belongs?|belonging|class|label|about|approx"
    r"|approximately|around|roughly|text|this|it|with|category|estimated|y|x|in|as)\b"
)
_PROBABILITY_MARK = re.compile(r"[%％]|\bp\s*\(|\bprob\w*|\bconfiden\w*|\blikel\w*|\bchance\b")
_BRACKETS = {")": "(", "]": "[", "}": "{", "）": "（", "】": "【"}
_SEPARATOR = re.compile(r"\s+[-–—|:~]+\s*(?=\S)|\s*[-–—|]\s+|(?<=[.!?…\"”'»])\s+|[:：]\s*")
_MAX_LENGTH = 300


def split_claim(text: str, names: Sequence[str], *, named_only: bool = False) -> tuple[str, str]:
    """Return a text without the probabilities stated at its end, and that statement, or "".

    With `named_only`, a statement must name a class or mention probability.
    """
    text = text.rstrip()
    tail = text.rstrip(" .*_,;")
    if tail and tail[-1] in _BRACKETS:
        start = _opening(tail)
        if start > 0 and is_claim(tail[start:], names, named_only=named_only):
            return text[:start].rstrip(" -–—:,|*_"), text[start:]
    if named_only:
        return text, ""
    first = max(0, len(text) - _MAX_LENGTH)
    for match in _SEPARATOR.finditer(text, first):
        if match.start() > 0 and is_claim(text[match.end() :], names):
            return text[: match.start()].rstrip(), text[match.end() :]
    return text, ""


def is_claim(fragment: str, names: Sequence[str], *, named_only: bool = False) -> bool:
    """Return whether a fragment states probabilities and nothing else."""
    if not fragment or len(fragment) > _MAX_LENGTH or not re.search(r"\d", fragment):
        return False
    tokens = _tokens(fragment, tuple(names))
    if not any(kind == "number" for kind, _ in tokens):
        return False
    remainder = _pattern(tuple(names)).sub(" ", fragment.casefold())
    names_class = any(kind == "class" for kind, _ in tokens)
    mentions_probability = bool(
        re.search(r"\bp\s*\(|\bprob\w*|\bconfiden\w*|\blikelihood\b", remainder)
    )
    if named_only and not names_class and not mentions_probability:
        return False
    if not names_class and not _PROBABILITY_MARK.search(fragment.casefold()):
        return False
    return not re.search(r"\w", _FILLERS.sub(" ", remainder))


def claimed_probabilities(fragment: str, names: Sequence[str]) -> tuple[float, ...] | None:
    """Return the stated probability of each class (K,), None if a fragment does not state them."""
    tokens = _tokens(fragment, tuple(names))
    if not tokens or len(tokens) % 2:
        return None
    pairs = list(zip(tokens[::2], tokens[1::2], strict=True))
    kinds = (tokens[0][0], tokens[1][0])
    if kinds[0] == kinds[1] or any((first[0], second[0]) != kinds for first, second in pairs):
        return None
    stated: dict[int, float] = {}
    for pair in pairs:
        (_, label), (_, share) = sorted(pair)  # "class" sorts before "number"
        if int(label) in stated:
            return None
        stated[int(label)] = share
    return _complete(stated, len(names))


def claim_of_value(value: Any, names: Sequence[str]) -> tuple[float, ...] | None:
    """Return the probabilities (K,) that a JSON object assigns to classes by name, else None."""
    if not isinstance(value, Mapping):
        return None
    labels = _labels(tuple(names))
    stated: dict[int, float] = {}
    for key, share in value.items():
        label = labels.get(_normalized(str(key)))
        if label is None:
            continue
        number = _share(share) if isinstance(share, str) else share
        if type(number) not in (int, float) or not 0 <= number <= 100:
            return None
        stated[label] = number / 100 if number > 1 else float(number)
    return _complete(stated, len(names))


def _complete(stated: Mapping[int, float], n_classes: int) -> tuple[float, ...] | None:
    """Return a distribution: one of two classes suffices; of more, all must add up to 1."""
    if not stated or any(not 0 <= share <= 1 for share in stated.values()):
        return None
    if n_classes == 2 and len(stated) == 1:
        ((label, share),) = stated.items()
        stated = {label: share, 1 - label: 1 - share}
    total = sum(stated.values())
    if not 0.98 <= total <= 1.02:
        return None
    return tuple(stated.get(label, 0.0) / total for label in range(n_classes))


def _tokens(fragment: str, names: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return the classes and numbers of a fragment, in order."""
    labels = _first_labels(names)
    tokens: list[tuple[str, float]] = []
    for match in _pattern(names).finditer(fragment.casefold()):
        if match["number"] is not None:
            share = _share(match["number"])
            if share is not None:
                tokens.append(("number", share))
        else:
            tokens.append(("class", labels.get(_normalized(match["name"]), -1)))
    return tokens


def _share(text: str) -> float | None:
    """Return a number as a probability: "75%", "75" and "0.75" are the same."""
    bare = text.strip().rstrip("%％").strip()
    try:
        number = float(bare.replace(",", "."))
    except ValueError:
        return None
    return number / 100 if number > 1 or text.strip() != bare else number


@lru_cache(maxsize=64)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern for class names, longest first, and numbers, in case-folded text."""
    unique = {_normalized(name) for name in names} - {""}
    alternatives = [
        r"[\s_\-]+".join(map(re.escape, name.split()))
        for name in sorted(unique, key=lambda name: (-len(name), name))
    ]
    name = "|".join(alternatives) or r"(?!)"
    return re.compile(rf"(?<!\w)(?P<name>{name})(?!\w)|(?P<number>{_NUMBER})")


@lru_cache(maxsize=64)
def _labels(names: tuple[str, ...]) -> Mapping[str, int]:
    """Return the class of each name, the last one of equal names."""
    return {_normalized(name): label for label, name in enumerate(names)}


@lru_cache(maxsize=64)
def _first_labels(names: tuple[str, ...]) -> Mapping[str, int]:
    """Return the class of each name, the first one of equal names."""
    return {_normalized(name): label for label, name in reversed(list(enumerate(names)))}


def _normalized(name: str) -> str:
    return " ".join(re.split(r"[\s_\-]+", name.casefold())).strip()


def _opening(text: str) -> int:
    """Return the index of the opening bracket that matches the last character, −1 if none does."""
    depth = 0
    closing, opening = text[-1], _BRACKETS[text[-1]]
    for index in range(len(text) - 1, max(-1, len(text) - 1 - _MAX_LENGTH), -1):
        depth += (text[index] == closing) - (text[index] == opening)
        if depth == 0:
            return index
    return -1
