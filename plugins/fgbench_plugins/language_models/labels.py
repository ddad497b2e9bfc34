"""Parse a reply into the class that it names, or the reason why it names none.

A reply that names no class or several classes yields no class, never a default. Names are compared
ignoring case, and `_`, `-` and spaces are equivalent. If one name contains another, the longest
match counts ("card_arrival_delay" does not name "card_arrival").
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgbench_plugins.language_models.parsing import EMPTY, REFUSAL, is_refusal
from fgbench_plugins.language_models.replies import unwrapped

if TYPE_CHECKING:
    from fgbench import TokenChoice

NO_LABEL = "no label"
AMBIGUOUS = "ambiguous label"
NO_LOGPROBS = "no logprobs"
REASONS = (EMPTY, REFUSAL, NO_LABEL, AMBIGUOUS, NO_LOGPROBS)
"""Why a reply yields no label; an answer that failed has the reason of its failure."""

MIN_SIMILARITY = 0.7
"""Minimum edit similarity between a reply and the nearest class name, with `nearest`."""
_MIN_OPTION_MASS = 0.5
_MAX_LENGTH = 20_000
"""Number of characters of a reply in which a label is searched."""


@dataclass(frozen=True)
class Label:
    """The class that a reply names, or the reason for none; and probabilities (K,) if available."""

    index: int | None
    rejection: str | None = None
    probabilities: tuple[float, ...] | None = None


def read_label(
    reply: str,
    names: Sequence[str],
    *,
    options: Sequence[str] = (),
    descriptions: Sequence[str] = (),
    nearest: bool = False,
) -> Label:
    """Return the class that a reply names.

    `options` are marks that can stand for the classes ("1", "2" or "A", "B"), `descriptions` are
    their descriptions in the prompt. With `nearest`, a reply that names no class is matched to the
    class name with the smallest edit distance, if it is similar enough (Sahu et al. 2023).
    """
    body = unwrapped(reply).strip()[:_MAX_LENGTH]
    if not body:
        return Label(None, EMPTY)
    value = _json_value(body)
    if isinstance(value, bool | float) or value is None:
        return Label(None, NO_LABEL)
    body = str(value)
    if not body.strip():
        return Label(None, NO_LABEL)
    reader = _Reader(names, options, descriptions)
    stated = reader.stated(body)
    if len(stated) == 1:
        return Label(next(iter(stated)))
    if len(stated) > 1:
        return Label(None, AMBIGUOUS)
    if is_refusal(body):
        return Label(None, REFUSAL)
    mentioned, negated = reader.mentioned(body)
    if len(mentioned) == 1:
        return Label(next(iter(mentioned)))
    if mentioned or negated:
        return Label(None, AMBIGUOUS)
    return reader.nearest(body) if nearest else Label(None, NO_LABEL)


def label_of_tokens(tokens: Sequence[TokenChoice] | None, options: Sequence[str]) -> Label:
    """Return the most probable option by the log-probabilities of the first visible token.

    The options are single characters, so one token decides. Tokens that spell the same option, for
    example with a leading space, are added up; tokens without visible characters are skipped. The
    probabilities are normalized over the options. If the options together have less than half of
    the probability mass, the answer is not one of them.
    """
    first = first_visible(tokens)
    if first is None or not first.alternatives:
        return Label(None, NO_LOGPROBS)
    mass = option_masses(first, options)
    total = sum(mass)
    if total < _MIN_OPTION_MASS:
        return Label(None, NO_LABEL)
    probabilities = tuple(share / total for share in mass)
    best = max(probabilities)
    winners = [label for label, share in enumerate(probabilities) if best - share < 1e-9]
    if len(winners) > 1:
        return Label(None, AMBIGUOUS, probabilities)
    return Label(winners[0], None, probabilities)


def option_masses(token: TokenChoice, options: Sequence[str]) -> list[float]:
    """Return the probability (K,) of each option at a token, 0 if it is not listed."""
    alternatives = dict(token.alternatives)
    alternatives.setdefault(token.token, token.logprob)
    masses = [0.0] * len(options)
    labels = {option: label for label, option in enumerate(options)}
    for text, logprob in alternatives.items():
        label = labels.get(_visible(text))
        if label is not None and not math.isnan(logprob):
            masses[label] += math.exp(min(logprob, 0.0))
    return masses


def first_visible(tokens: Sequence[TokenChoice] | None) -> TokenChoice | None:
    """Return the first token of an answer that is not only whitespace and punctuation."""
    return next((token for token in tokens or () if _visible(token.token)), None)


def _visible(token: str) -> str:
    """Return a token without whitespace, including tokenizers' marks for it, and punctuation."""
    return token.replace("▁", " ").replace("Ġ", " ").replace("Ċ", " ").strip(" \t\r\n\"'`*#.()[]:")


def _json_value(body: str) -> str | int | float | bool | None:
    """Return the label of a reply in JSON, or the reply itself if it is not JSON."""
    fenced = re.fullmatch(r"```\w*\s*(.*?)\s*```", body, re.DOTALL)
    inner = fenced[1] if fenced else body
    start = re.search(r"\{[^{}]*\}", inner, re.DOTALL)
    if start and not inner.startswith(("[", '"')):
        inner = start[0]
    try:
        value = json.loads(re.sub(r",\s*([}\]])", r"\1", inner), strict=False)
    except (ValueError, RecursionError):
        return fenced[1] if fenced else body
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        for key, entry in value.items():
            if re.fullmatch(r"(?:predicted|final)?[_ ]?(?:label|class|category|answer|name|intent)"
                            r"(?:[_ ]?name)?", key, re.IGNORECASE):  # fmt: skip
                value = entry
                break
        else:
            value = next(iter(value.values())) if len(value) == 1 else None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str | int | float | bool) else None


_STATED = re.compile(
    r"^\W*(?:(?:my|the|final|correct|predicted|most likely|its)\s+)*"
    r"(?:label|class|category|answer|classification|output|result|prediction)"
    r"(?:\s+(?:of|for)\s+(?:the|this)\s+\w+)?\s*(?:is|:|=|-|–)+\s*(.+)$",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?(](?:\s|$)")
_NEGATIONS = frozenset(
    ("not", "non", "no", "isnt", "aint", "never", "neither", "nor", "without", "rather", "instead",
     "than", "cannot", "cant", "doesnt", "wasnt", "dont", "unlike", "against", "hardly", "nicht",
     "kein", "keine", "pas", "ni")
)  # fmt: skip
_NEGATION_WINDOW = 4
"""Words before a name in which a negation applies to it: "is not really a complaint"."""


class _Reader:
    """Finds the class names of a task in replies."""

    def __init__(
        self, names: Sequence[str], options: Sequence[str], descriptions: Sequence[str]
    ) -> None:
        self._names = [_words(name) for name in names]
        self._labels: dict[tuple[str, ...], int] = {}
        for label, words in enumerate(self._names):
            if words:
                self._labels.setdefault(words, label)
        self._longest = max(map(len, self._names), default=0)
        self._options = {option.casefold(): label for label, option in enumerate(options)}
        self._described = {}
        for label, text in enumerate(descriptions):
            if words := _words(text):
                self._described[words] = label
                self._described[self._names[label] + words] = label

    def stated(self, body: str) -> set[int]:
        """Return the classes stated as the answer: on the first line, or after "label:"."""
        lines = [line for line in body.split("\n") if line.strip()]
        labels = set(self._first_exact(lines[0]))
        for line in lines:
            if match := _STATED.match(line):
                labels |= self._first_exact(match[1])
        return labels

    def _first_exact(self, line: str) -> frozenset[int]:
        """Return the class that a line names, or else the class that its first sentence names."""
        labels = self._exactly(line)
        if labels:
            return labels
        letter = re.search(r"[^\W\d]", line)
        end = _SENTENCE_END.search(line, letter.end()) if letter else None
        return self._exactly(line[: end.start()]) if end else labels

    def _exactly(self, text: str) -> frozenset[int]:
        """Return the class whose name, option or both the text is; nothing otherwise.

        An option with the name of another class yields both classes.
        """
        words = _words(text)
        label = self._labels.get(words, self._described.get(words))
        if label is not None:
            return frozenset([label])
        head = re.match(
            r"\W*(?:(?:option|class|number|label|category)\s+)?(\w{1,3})\b\W*(.*)$",
            text,
            re.IGNORECASE | re.DOTALL,
        )
        marked = self._options.get(head[1].casefold()) if head and self._options else None
        if head is None or marked is None:
            return frozenset()
        rest = _words(head[2])
        named = self._labels.get(rest, self._described.get(rest))
        if not rest:
            return frozenset([marked])
        return frozenset() if named is None else frozenset([marked, named])

    def mentioned(self, body: str) -> tuple[set[int], set[int]]:
        """Return the classes that a text mentions, and those mentioned only with a negation."""
        words = _words(body)
        mentioned: set[int] = set()
        negated: set[int] = set()
        at = 0
        while at < len(words):
            size, label = self._longest_at(words, at)
            if label is None:
                at += 1
                continue
            before = words[max(0, at - _NEGATION_WINDOW) : at]
            (negated if _NEGATIONS & set(before) else mentioned).add(label)
            at += size
        return mentioned, negated - mentioned

    def _longest_at(self, words: tuple[str, ...], at: int) -> tuple[int, int | None]:
        for size in range(min(self._longest, len(words) - at), 0, -1):
            label = self._labels.get(words[at : at + size])
            if label is not None:
                return size, label
        return 1, None

    def nearest(self, body: str) -> Label:
        """Return the class whose name is nearest to the first line."""
        match = _STATED.match(body.split("\n", 1)[0])
        answer = " ".join(_words(match[1] if match else body.split("\n", 1)[0]))[:200]
        scores = [similarity(answer, " ".join(words)) for words in self._names]
        best = max(scores, default=0.0)
        if best < MIN_SIMILARITY:
            return Label(None, NO_LABEL)
        winners = [label for label, score in enumerate(scores) if best - score < 1e-9]
        return Label(winners[0]) if len(winners) == 1 else Label(None, AMBIGUOUS)


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W_]+", text.casefold().replace("’", "").replace("'", "")))


def similarity(first: str, second: str) -> float:
    """Return 1 − Levenshtein distance / length of the longer text."""
    if not first or not second:
        return float(first == second)
    row = list(range(len(second) + 1))
    for at, left in enumerate(first, start=1):
        corner, row[0] = row[0], at
        for to, right in enumerate(second, start=1):
            corner, row[to] = (
                row[to],
                min(row[to] + 1, row[to - 1] + 1, corner + (left != right)),
            )
    return 1 - row[-1] / max(len(first), len(second))
