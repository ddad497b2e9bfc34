"""Class-conditional trigram models of texts, for resampling parts of a text.

A token is a word, with an apostrophe in it if need be, or one other character; white space before
it is part of the token, so that joining tokens gives text that is spaced and cased as the corpus.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MAX_CHARACTERS = 4000
"""Of a longer text, only the beginning is read."""
END = "\n"
"""The token behind the last; no other token is a line break."""

_TOKEN = re.compile(r"\s*(\w+(?:['’]\w+)*|[^\w\s])")
_DISCOUNT = {2: 0.5, 1: 0.1}
_REACH = 4
_BLOCK = 512


def tokenize(text: str) -> list[str]:
    """Return the tokens of a text; the first one counts as preceded by a blank."""
    tokens = []
    text = text[:MAX_CHARACTERS]
    for match in _TOKEN.finditer(text):
        spaced = match.start(1) > match.start() or not tokens
        tokens.append(f" {match[1]}" if spaced else match[1])
    return tokens


def detokenize(tokens: Iterable[str]) -> str:
    """Return the text of tokens."""
    return "".join(tokens).strip()


class Uniforms:
    """Uniform random numbers, one at a time, drawn in blocks: scalar draws of numpy are slow."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._numbers: list[float] = []

    def __call__(self) -> float:
        """Return the next number of [0, 1)."""
        if not self._numbers:
            self._numbers = self._rng.random(_BLOCK).tolist()
        return self._numbers.pop()

    def below(self, n: int) -> int:
        """Return a number of 0 … n − 1."""
        return int(self() * n)

    def choose(self, weights: Sequence[float]) -> int:
        """Return an index with probability proportional to its weight."""
        left = self() * sum(weights)
        for index, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return index
        return len(weights) - 1


class TrigramModel:
    """A trigram model with interpolated absolute discounting (Ney, Essen and Kneser 1994).

    From a history seen n times with t different next tokens, one of the n is taken with
    probability 1 − d·t/n, and otherwise the history is shortened by one word. d is 0.5 for two
    words of history, and 0.1 for one: single words out of any context make no sentences.
    """

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        self._next: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for tokens in texts:
            padded = [END, END, *tokens, END, END]
            for at in range(2, len(padded)):
                token = padded[at]
                self._next[(padded[at - 2], padded[at - 1])].append(token)
                self._next[(padded[at - 1],)].append(token)
                if token != END:  # a text ends only behind a word that has ended one
                    self._next[()].append(token)
        self._types = {history: len(set(found)) for history, found in self._next.items()}
        self._followers = {h: frozenset(found) for h, found in self._next.items() if len(h) == 2}

    def draw(self, before: Sequence[str], uniform: Uniforms) -> str:
        """Return a next token after `before`, of which the last two count."""
        for length in (2, 1):
            history = tuple(before[-length:])
            found = self._next.get(history) if len(history) == length else None
            if found and uniform() >= _DISCOUNT[length] * self._types[history] / len(found):
                return found[uniform.below(len(found))]
        anywhere = self._next.get(())
        return anywhere[uniform.below(len(anywhere))] if anywhere else END

    def joins(self, before: str, after: str, second: str) -> bool:
        """Return whether `after` and then `second` were seen right behind `before`."""
        return second in self._followers.get((before, after), ())


def resample_span(
    tokens: Sequence[str], start: int, stop: int, model: TrigramModel, uniform: Uniforms
) -> list[str] | None:
    """Return `tokens` with tokens[start:stop] written anew, going on from what stands before.

    The new part ends where its last token has been seen before two of the next few tokens from
    `stop` on, and the text goes on there. After twice as many tokens as are replaced without such
    a joint it is given up, and None comes back.
    """
    before = [END, END, *tokens[max(0, start - 2) : start]]
    ahead = [*tokens[stop : stop + _REACH + 2], END, END][: _REACH + 2]
    written: list[str] = []
    for _ in range(2 * (stop - start) + _REACH):
        token = model.draw(before, uniform)
        if token == END:
            # The end of a text fits where the old one is near.
            return [*tokens[:start], *written] if END in ahead else None
        written.append(token)
        before.append(token)
        if len(written) >= stop - start - 1:
            for skipped in range(len(ahead) - 1):
                if model.joins(token, ahead[skipped], ahead[skipped + 1]):
                    return [*tokens[:start], *written, *tokens[stop + skipped :]]
    return None


def write_freely(length: int, model: TrigramModel, uniform: Uniforms) -> list[str]:
    """Return a text of `model`, cut off after `length` tokens."""
    written: list[str] = []
    while len(written) < length:
        token = model.draw([END, END, *written[-2:]], uniform)
        if token == END:
            break
        written.append(token)
    return written
