"""Class-conditional trigram models of texts, for resampling parts of a text.

A token is a word, possibly with apostrophes inside, or one other character. White space before it
is part of the token, so that joined tokens are spaced and cased like the corpus.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise, repeat, takewhile
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Uniform: TypeAlias = Callable[[], float]
"""Returns the next number of a uniform random stream over [0, 1)."""

MAX_CHARACTERS = 4000
"""Only this many characters of a text are read."""
END = "\n"
"""The token after the last one of a text; no other token is a line break."""

_TOKEN = re.compile(r"(\s*)(\w+(?:['’]\w+)*|[^\w\s])")
_PAIR_DISCOUNT, _TOKEN_DISCOUNT = 0.5, 0.1
_REACH = 4
_BLOCK = 512


def tokenize(text: str) -> list[str]:
    """Return the tokens of a text; the first one counts as preceded by a blank."""
    pairs = _TOKEN.findall(text[:MAX_CHARACTERS])
    tokens = [f" {word}" if space else word for space, word in pairs]
    if pairs:
        tokens[0] = f" {pairs[0][1]}"
    return tokens


def detokenize(tokens: Iterable[str]) -> str:
    """Return the text of tokens."""
    return "".join(tokens).strip()


def uniforms(rng: np.random.Generator) -> Uniform:
    """Return a stream of uniform numbers; drawing them in blocks is faster than one by one.

    The numbers of a block are returned last to first.
    """
    blocks = (rng.random(_BLOCK)[::-1].tolist() for _ in repeat(None))
    return chain.from_iterable(blocks).__next__


def weighted_choice(weights: Sequence[float], total: float, uniform: Uniform) -> int:
    """Return an index with probability proportional to its weight; `total` is their sum."""
    left = uniform() * total
    for index, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return index
    return len(weights) - 1


class Context:
    """What followed a history of one or two tokens in the training texts.

    `token` is the last token of the history. `successors` lists the contexts that followed, one
    for each occurrence; `backoff` is the probability of dropping the older token and using
    `shorter`, and `predecessors` are the tokens seen before a history of two.
    """

    __slots__ = ("backoff", "predecessors", "shorter", "successors", "token")

    def __init__(self, token: str, shorter: Context | None = None) -> None:
        self.token = token
        self.shorter = shorter or self
        self.successors: list[Context] = []
        self.predecessors: set[str] = set()
        self.backoff = 0.0


class TrigramModel:
    """A trigram model with interpolated absolute discounting (Ney, Essen and Kneser 1994).

    After a history that occurred n times with t different next tokens, one of the n is drawn with
    probability 1 − d·t/n; otherwise the history is shortened by one token. d is 0.5 for histories
    of two tokens and 0.1 for one: single words without context make no sentences.
    """

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        self._any = Context("")
        self._singles: dict[str, Context] = {}
        self._pairs: dict[tuple[str, str], Context] = {}
        for tokens in texts:
            first, pair = END, self._pair(END, END)
            for token in (*tokens, END, END):
                second = pair.token
                following = self._pair(second, token)
                following.predecessors.add(first)
                pair.successors.append(following)
                self._singles[second].successors.append(following)
                if token != END:  # a text ends only after a token that has ended one
                    self._any.successors.append(self._singles[token])
                first, pair = second, following
        for contexts, discount in (
            (self._pairs.values(), _PAIR_DISCOUNT),
            (self._singles.values(), _TOKEN_DISCOUNT),
        ):
            for context in contexts:
                n = len(context.successors)
                context.backoff = discount * len(set(context.successors)) / n if n else 1.0

    def continuation(self, first: str, last: str, uniform: Uniform) -> Iterator[str]:
        """Yield random next tokens of a text that ends in the tokens `first` and `last`.

        Take no further token after `END`.
        """
        anything = self._any
        if not anything.successors:  # the training texts have no tokens
            yield END
        context = self._context(first, last)
        while True:
            while context is not anything and uniform() < context.backoff:
                context = context.shorter
            successors = context.successors
            following = successors[int(uniform() * len(successors))]
            if context is anything:
                following = self._context(last, following.token)
            context, last = following, following.token
            yield last

    def joints(self, ahead: Sequence[str]) -> list[tuple[int, set[str]]]:
        """Return where texts can continue in `ahead`: positions, and the tokens seen before.

        A position needs the two tokens from there on in the training texts, after some token.
        """
        pairs = map(self._pairs.get, pairwise(ahead))
        return [(at, pair.predecessors) for at, pair in enumerate(pairs) if pair]

    def _context(self, first: str, second: str) -> Context:
        """Return the longest known context of a text that ends in two tokens."""
        pair = self._pairs.get((first, second))
        return pair or self._singles.get(second, self._any)

    def _pair(self, first: str, second: str) -> Context:
        pair = self._pairs.get((first, second))
        if pair is None:
            single = self._singles.get(second)
            if single is None:
                single = self._singles[second] = Context(second, self._any)
            pair = self._pairs[first, second] = Context(second, single)
        return pair


class Span:
    """Part of a text that is to be rewritten: tokens[start:stop]."""

    def __init__(self, tokens: Sequence[str], start: int, stop: int) -> None:
        self._before, self._after = tokens[:start], tokens[stop:]
        self._first = tokens[start - 2] if start > 1 else END
        self._last = tokens[start - 1] if start else END
        self._ahead = (*tokens[stop : stop + _REACH + 2], END, END)[: _REACH + 2]
        self._near_end = END in self._ahead
        self._shortest, self._longest = stop - start - 1, 2 * (stop - start) + _REACH
        self._joints: dict[TrigramModel, list[tuple[int, set[str]]]] = {}

    def resample(self, model: TrigramModel, uniform: Uniform) -> list[str] | None:
        """Return the text with the span drawn from a model, continuing from the tokens before.

        The new part ends as soon as its last token was seen before two of the next few tokens
        after the span; the text continues there. Return None if no such joint is reached within
        about twice as many tokens as are replaced.
        """
        joints = self._joints.get(model)
        if joints is None:
            joints = self._joints[model] = model.joints(self._ahead)
        shortest = self._shortest
        written: list[str] = []
        continuation = model.continuation(self._first, self._last, uniform)
        for length, token in enumerate(islice(continuation, self._longest), 1):
            if token == END:
                # The end of a text fits where the old end is near.
                return [*self._before, *written] if self._near_end else None
            written.append(token)
            if length >= shortest:
                for skipped, predecessors in joints:
                    if token in predecessors:
                        return [*self._before, *written, *self._after[skipped:]]
        return None


def write_freely(length: int, model: TrigramModel, uniform: Uniform) -> list[str]:
    """Return a text drawn from `model`, cut off after `length` tokens."""
    continuation = model.continuation(END, END, uniform)
    return list(takewhile(END.__ne__, islice(continuation, length)))
